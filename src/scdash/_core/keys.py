"""Where results live in AnnData: the one place that knows the names of the slots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scdash._core.errors import NotFittedError, check_data
from scdash._core.fit_genes import FitGenes, fit_genes
from scdash._core.fit_record import Record, open_record

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


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

    @property
    def velocity_genes(self) -> str:
        """`var` key of the genes that have a velocity, under the name that CellRank and scVelo look for."""
        return f"{self.velocity}_genes"

    @property
    def position(self) -> str:
        """`obs` key of the place of every cell on the time axis of the fit."""
        return f"{self.key}_position"


def require_fit(adata: "AnnData", key: str) -> Record:
    """Return the fit under `adata.uns[key]` with defaults for missing settings, or say what to run.

    The returned record is a copy: what is written to it does not reach `adata`.
    """
    check_data(adata)
    entry = adata.uns.get(key)
    if not isinstance(entry, Mapping) or "params" not in entry:
        held = _results(adata, "params", "edges")
        raise NotFittedError(
            f"No model under adata.uns[{key!r}]. Run `scdash.tl.fit_dynamics(adata, key_added={key!r})` first"
            + (f", or pass key= one of {held}." if held else ".")
        )
    function = "fit_perturbode" if "screen" in entry else "fit_dynamics"
    return open_record(entry, f"adata.uns[{key!r}]", f"scdash.tl.{function}(adata, ..., key_added={key!r})")


SCREENS_CHOOSE = (
    "A perturbation screen has no time: scdash.tl.fit_perturbode(adata, perturbation_key=...) fits it and chooses lambda and the "
    "other settings itself, by held-out perturbations (scdash.get.history); scdash.tl.stability(adata) counts how often edges "
    "are selected."
)
"""What a user of a screen does instead of a call that needs time."""


def has_screen(adata: "AnnData") -> bool:
    """Return whether the data look like a perturbation screen: they have the fit of one, or the default column of labels."""
    fits = (entry for entry in adata.uns.values() if isinstance(entry, Mapping))
    return "perturbation" in adata.obs or any("screen" in entry and "params" in entry for entry in fits)


def require_timed_fit(
    adata: "AnnData",
    key: str,
    remedy: str = "this needs a fit of scdash.tl.fit_dynamics. Of screens read scdash.get.grn, and predict with "
    "scdash.tl.predict_perturbations or scdash.tl.perturb",
) -> Record:
    """Return the fit of dynamics under `key`; raise for that of a screen, which has no time, with a `remedy`."""
    entry = require_fit(adata, key)
    if "screen" in entry:
        raise ValueError(f"uns[{key!r}] is the fit of a screen, which has no time; {remedy}.")
    return entry


def genes_of(adata: "AnnData", entry: Mapping[str, Any], key: str, *, every: bool = False) -> FitGenes:
    """Compare the genes of a fit of dynamics or of a screen with `adata.var_names`; see `fit_genes`."""
    return fit_genes(adata, entry["genes"], f"adata.uns[{key!r}]", every=every)


def check_genes(adata: "AnnData", key: str) -> None:
    """Compare the genes of the fit under `key` with those of the data, where there is such a fit."""
    entry = adata.uns.get(key)
    if isinstance(entry, Mapping) and "params" in entry and "genes" in entry:
        genes_of(adata, require_fit(adata, key), key)


def genes_of_modality(
    mdata: "MuData", entry: Mapping[str, Any], key: str, genes: Iterable[Any] | None = None
) -> FitGenes:
    """Compare the genes of a result of paired modalities with those of the modality they were chosen from."""
    name = str(entry["params"]["x"])
    listed = entry["genes"] if genes is None else genes
    if name not in getattr(mdata, "mod", {}):
        raise KeyError(f"mdata has no modality {name!r}, which mdata.uns[{key!r}] was fitted on.")
    return fit_genes(mdata.mod[name], listed, f"mdata.uns[{key!r}]")


def stored_key(data: "AnnData | MuData", key: str | None, *, needed: str = "weights") -> str:
    """Return `key`, or the name of the result that is read where none is given.

    "dynamics" of an AnnData; of a MuData "sbnn", or the only result that holds `needed` where that one has another name.
    """
    check_data(data)
    if key is not None:
        return key
    if not hasattr(data, "mod"):
        return "dynamics"
    found = _results(data, "params", needed)
    return found[0] if len(found) == 1 else "sbnn"


def _results(data: Any, *needed: str) -> list[str]:
    """Return the names of the results in `uns` that hold everything `needed`."""
    stored = getattr(data, "uns", {}).items()
    return [str(name) for name, entry in stored if isinstance(entry, Mapping) and set(needed) <= set(entry)]


def require_paired(mdata: "MuData", key: str, function: str = "sbnn") -> Record:
    """Return the result under `mdata.uns[key]` with defaults, or say which function of `scdash.tl` to run."""
    entry = mdata.uns.get(key) if hasattr(mdata, "uns") else None
    if not isinstance(entry, Mapping) or "params" not in entry:
        held = _results(mdata, "params")
        raise NotFittedError(
            f"No result under mdata.uns[{key!r}]. Run `scdash.tl.{function}(mdata, key_added={key!r})` first"
            + (f", or pass key= one of {held}." if held else ".")
        )
    return open_record(entry, f"mdata.uns[{key!r}]", f"scdash.tl.{function}(mdata, ..., key_added={key!r})")


def require_result(adata: "AnnData", slot: str, *needed: str, what: str, run: str) -> Record:
    """Return another stored result (scores, influences, modules), or say what to run.

    `slot`: key of `uns`. `needed`: entries it must hold. `what`: what is missing, for the message. `run`: the call
    that makes it, for the message.
    """
    check_data(adata)
    entry = adata.uns.get(slot)
    if not isinstance(entry, Mapping) or any(name not in entry for name in needed):
        raise NotFittedError(f"No {what} under adata.uns[{slot!r}]. Run `{run}` first.")
    return open_record(entry, f"adata.uns[{slot!r}]", run)
