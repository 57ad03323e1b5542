"""Where results live in AnnData: the one place that knows the names of the slots."""

from dataclasses import dataclass
from typing import Any

from scdash._errors import NotFittedError, check_data


@dataclass(frozen=True)
class DynamicsKeys:
    """Slots of one fit, all derived from `key_added`."""

    key: str = "dynamics"

    @property
    def grn(self) -> str:
        """`varp` key of the network, row regulates column."""
        return f"{self.key}_grn"

    @property
    def sensitivity(self) -> str:
        """`varp` key of the direct sensitivities at the control's state (screens), row regulates column."""
        return f"{self.key}_sensitivity"

    @property
    def total_effect(self) -> str:
        """`varp` key of the simulated total effects of perturbing the row on the column (screens)."""
        return f"{self.key}_total_effect"

    @property
    def velocity(self) -> str:
        """`layers` key of dx/dt."""
        return f"{self.key}_velocity"

    @property
    def genes(self) -> str:
        """`var` key of the mask of modelled genes."""
        return f"{self.key}_genes"


def require_fit(adata: Any, key: str) -> dict[str, object]:
    """Return `adata.uns[key]`, or say what to run when no fit is stored there."""
    check_data(adata)
    entry = adata.uns.get(key)
    if not isinstance(entry, dict) or "params" not in entry:
        raise NotFittedError(
            f"No model under adata.uns[{key!r}]. Run `scdash.tl.fit_dynamics(adata, key_added={key!r})` first."
        )
    return entry


def require_paired(mdata: Any, key: str, function: str = "sbnn") -> dict[str, Any]:
    """Return `mdata.uns[key]`, or say which function of `scdash.tl` to run."""
    entry = mdata.uns.get(key) if hasattr(mdata, "uns") else None
    if not isinstance(entry, dict) or "params" not in entry:
        raise NotFittedError(
            f"No result under mdata.uns[{key!r}]. Run `scdash.tl.{function}(mdata, key_added={key!r})` first."
        )
    return entry
