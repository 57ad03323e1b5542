"""What prunes a network that is trained on a screen, from the same arguments as for dynamics over time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp

from scdash._core.logging import logger
from scdash._core.network import Network
from scdash.networks import plain
from scdash.sparsity import GeometricSchedule, Method, Prior, Sparsity, as_sparsity, method_with, sparsity_options

# in rounds of 100 steps: the network has formed after ten, and ends near a density of 0.04 per matrix after 40
TRANSPORT = GeometricSchedule(first=0.5, first_epoch=10, then=0.2, every=3)
# Two matrices that are 5 % dense each leave too few paths through modules: pruning by magnitude alone then halves the AUPRC.
MODULES = replace(TRANSPORT, until=0.9)


@dataclass(frozen=True)
class ScreenSparsity:
    """Arguments of `fit_dynamics` about sparsity, for a screen."""

    sparsity: str | Sparsity = "dash"
    lambdas: Any = None
    scale: Literal["matched", "paper"] = "matched"
    missing: Literal["mean", "zero"] = "mean"
    schedule: GeometricSchedule | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, sparsity: str | Method | Sparsity) -> Self:
        """Return what the value of a call stands for."""
        found = sparsity_options(sparsity)
        names = {"sparsity_options": "options"}
        return cls(**{names.get(name, name): value for name, value in found.items()})

    def build(self, prior: sp.csr_matrix | None, default: GeometricSchedule) -> tuple[Sparsity, Prior | None]:
        """Return the method and the prior (given as signs, row regulates column) as the method takes it."""
        if prior is None and self.sparsity == "dash":
            logger.info("    no prior: nothing for DASH to add, the L1 penalty alone keeps the network sparse")
            return as_sparsity("none"), None
        asked = {"lambdas": self.lambdas, "schedule": self.schedule}
        method = method_with(self.sparsity, dict(self.options), asked, schedule=default, scale=self.scale)
        if method.levels:
            raise ValueError(
                f"sparsity={method.name!r} retrains whole models and is not for screens; use 'dash' or 'imp'."
            )
        if prior is None and method.name == "bio":
            raise ValueError("sparsity='bio' prunes by the prior alone: pass `prior`, or use sparsity='imp'.")
        return method, None if prior is None else Prior(
            Network.from_outgoing(abs(prior)).incoming, missing=self.missing
        )

    def config(self) -> dict[str, Any]:
        """Return JSON-like settings for `from_config`; a `Sparsity` object is known by its name and options alone."""
        own = {} if isinstance(self.sparsity, str) else {k: v for k, v in self.sparsity.config().items() if k != "name"}
        return {
            "sparsity": self.name,
            "lambdas": self.lambdas if self.lambdas is None else [float(v) for v in np.atleast_1d(self.lambdas)],
            "scale": self.scale,
            "missing": self.missing,
            "schedule": None if self.schedule is None else asdict(self.schedule),
            "options": dict(self.options) | own,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild from `config()`, also after h5ad."""
        found = plain(config)
        lambdas, schedule = found["lambdas"], found["schedule"]
        return cls(
            found["sparsity"],
            None if lambdas is None else tuple(lambdas),
            found["scale"],
            found["missing"],
            None if schedule is None else GeometricSchedule(**schedule),
            found["options"],
        )

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.sparsity if isinstance(self.sparsity, str) else self.sparsity.name
