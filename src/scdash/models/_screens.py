"""The model of perturbation screens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

from scdash import fields
from scdash._core.values import Value
from scdash._data._screen import KINDS
from scdash._errors import unknown, unused
from scdash.models._base import Model
from scdash.training._transport_config import TransportConfig

PRIOR_WEIGHT, FOLDS = 5.0, 5


@final
@dataclass(frozen=True, repr=False)
class Transport(Value, TransportConfig):
    """Settings of PerturbODE's training by transport of control cells, `PerturbODE(fit=Transport(...))`.

    Parameters
    ----------
    loss
        Distance of the transported cells from those of a regime: "mean" (of their means) or "w2" (needs geomloss).
    n_modules
        Modules of genes; None: as many as genes, at most 100; 0: every gene is a module of its own.
    l1
        Weight of the sum of absolute weights in the loss.
    steps
        Bound on the number of steps; None: 15,000, or 5,000 where the sparsity method prunes by a schedule.
    cycle
        Steps of the first cosine cycle of the learning rate; each later one is twice as long.
    learning_rate
        Largest step size of Adam.
    regimes
        Regimes in a batch.
    cells
        Control cells that are carried to each regime; None: 16 for "w2", 2 for "mean".
    duration
        Time for which cells are carried.
    ode_steps
        Steps of solvers with fixed steps.
    solver
        "exponential", "rk4" or a solver of torchdiffeq.
    clip
        Bound on the norm of the gradient.
    learn_strength
        Learn how strongly perturbations act beside the network.
    knockdown
        Fraction of production that a knockdown takes away; None: from the data, gene by gene.
    diffuse
        Noise of diffused targets in standard deviations of the genes; 0: off.
    diffuse_duration
        Time for which diffused targets are carried back.
    check_every
        Steps between validations; such a round is an epoch to a pruning schedule.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    Examples
    --------
    >>> scdash.models.Transport(steps=2000, n_modules=50)
    Transport(n_modules=50, steps=2000)
    """


@final
@dataclass(frozen=True, repr=False)
class PerturbODE(Model):
    """PerturbODE (Lin et al.) for perturbation screens, `model="perturbode"`; see `scdash.tl.fit_perturbode`.

    Parameters
    ----------
    fit
        "equilibrium": steady states are matched by sparse regression over the regimes, in seconds. "transport", or
        `Transport(...)` with its settings: control cells are carried through the ODE, as in the paper.
    kind
        `"overexpression"` (perfect), `"shift"` (imperfect over-expression), `"knockout"`, `"knockdown"`, or a mapping
        from label or gene to one of these.
    separator
        Between the genes of a combined perturbation.
    prior_weight
        Edges of the prior pay the penalty divided by this weight; 1 leaves the prior out of the regression. None: 5.
        For `fit="equilibrium"` with a prior.
    n_folds
        Groups of regimes held out in turn; None: 5. For `fit="equilibrium"`.
    n_subsamples
        Random halves of the regimes on which the fit is repeated for `selection_frequency`; 0: none (NaN).
    fine_tune
        Steps (100 to 300) by which the matched network is trained on as an ODE; kept only if that lowers the error of
        held-out regimes by more than two standard errors. 0: not tried. It rarely changes the network for the better.
    hold_out
        Labels of regimes that take no part in fitting and are scored afterwards.
    min_cells
        Regimes with fewer cells are left out, with a warning.
    unknown_targets
        What to do with targets that are no genes of the data: an error naming them, or their cells are dropped.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    Examples
    --------
    >>> scdash.models.PerturbODE(kind="knockout", hold_out=("G003",))
    PerturbODE(kind='knockout', hold_out=('G003',))
    """

    name: ClassVar[str] = "perturbode"
    fit: Literal["equilibrium", "transport"] | Transport = "equilibrium"
    kind: str | Mapping[str, str] = "overexpression"
    separator: str = "+"
    prior_weight: float | None = None
    n_folds: int | None = None
    n_subsamples: int = 0
    fine_tune: int = 0
    hold_out: Sequence[str] = ()
    min_cells: int = 10
    unknown_targets: Literal["error", "drop"] = "error"

    def __post_init__(self) -> None:
        if self.way not in ("equilibrium", "transport"):
            raise unknown("fit", self.fit, ("equilibrium", "transport", "Transport(...)"))
        if self.unknown_targets not in ("error", "drop"):
            raise unknown("unknown_targets", self.unknown_targets, ("error", "drop"))
        for kind in [self.kind] if isinstance(self.kind, str) else self.kind.values():
            if kind not in KINDS:
                raise unknown("kind", kind, KINDS)
        held = (self.hold_out,) if isinstance(self.hold_out, str) else tuple(self.hold_out)
        object.__setattr__(self, "hold_out", held)
        self._check_regression()
        for name, least in (("min_cells", 1), ("n_subsamples", 0), ("fine_tune", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, found {getattr(self, name)!r}.")

    def _check_regression(self) -> None:
        """Raise for settings of the regression that are out of range, or given where there is none."""
        names = ("prior_weight", "n_folds", "n_subsamples", "fine_tune")
        for name in [name for name in names if name in self.given() and self.way == "transport"]:
            raise unused(name, "it is for fit='equilibrium'; see scdash.tl.stability for repeats of transport")
        if self.prior_weight is not None and self.prior_weight < 1:
            raise ValueError(f"prior_weight must be at least 1, found {self.prior_weight!r}.")
        if self.n_folds is not None and self.n_folds < 2:
            raise ValueError(f"n_folds must be at least 2, found {self.n_folds!r}.")

    @property
    def way(self) -> str:
        """How the model is fitted, "equilibrium" or "transport"."""
        return "transport" if isinstance(self.fit, Transport) else str(self.fit)

    @property
    def transport(self) -> Transport:
        """Settings of transport."""
        return self.fit if isinstance(self.fit, Transport) else Transport()

    @property
    def folds(self) -> int:
        """Groups of regimes held out in turn."""
        return FOLDS if self.n_folds is None else self.n_folds

    @property
    def weight(self) -> float:
        """Weight of the prior in the regression."""
        return PRIOR_WEIGHT if self.prior_weight is None else self.prior_weight

    def field(self, n_genes: int) -> fields.PerturbODE:
        """Return the vector field of the regression for that many genes."""
        return fields.PerturbODE(n_genes)
