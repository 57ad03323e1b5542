"""Sparsity methods as values of a call: what `sparsity=` of `scdash.tl.fit_dynamics` takes beside names."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, final

from scdash._core.errors import unknown
from scdash._core.types import PriorLike
from scdash._core.values import Value
from scdash.sparsity._base import SPARSITIES
from scdash.sparsity._dash import LEVELS
from scdash.sparsity._hard_concrete import GATE_RATE
from scdash.sparsity._path_norm import Reduction
from scdash.sparsity._schedule import GeometricSchedule

Strength = float | tuple[float, ...]
ABOUT_PRIOR = ("coregulation", "no_prior_targets")  # belong to the prior rather than to the method's record
NO_PRIOR_TARGETS = ("mean", "zero")


class Method(Value):
    """A sparsity method and its options; `method` is the name under which its record is registered."""

    method: ClassVar[str]

    def __init_subclass__(cls) -> None:
        METHODS[cls.method] = cls

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            if isinstance(getattr(self, one.name), list):
                object.__setattr__(self, one.name, tuple(getattr(self, one.name)))
        schedule = getattr(self, "schedule", None)
        if schedule is not None and not isinstance(schedule, GeometricSchedule):
            raise TypeError(f"schedule must be a scdash.sparsity.GeometricSchedule, found {schedule!r}.")
        lambdas = getattr(self, "lambdas", None)
        if isinstance(lambdas, str) and not (lambdas == "cv" and isinstance(self, DASH)):
            raise ValueError(
                f"lambdas={lambdas!r}: give numbers; scdash.tl.sparsity_path tries many strengths of a penalty."
            )
        if getattr(self, "no_prior_targets", "mean") not in NO_PRIOR_TARGETS:
            raise unknown("no_prior_targets", self.no_prior_targets, NO_PRIOR_TARGETS)  # type: ignore[attr-defined]
        SPARSITIES[self.method](**self.options())  # its checks

    def options(self) -> dict[str, Any]:
        """Return the options of the method's record that differ from their defaults."""
        return {name: value for name, value in self.given().items() if name not in ABOUT_PRIOR and value != "cv"}


METHODS: dict[str, type[Method]] = {}
"""The methods that have a value; `sparsity="l0"` is `L0()`."""


@final
@dataclass(frozen=True, repr=False)
class DASH(Method):
    r"""Iterative pruning by magnitude and agreement with the prior (Hossain, Fischer et al. 2024), `sparsity="dash"`.

    Without a prior it has nothing to add and prunes by magnitude.

    Parameters
    ----------
    lambdas
        Weight of the prior in the scores, one number in [0, 1] or (first layer, second layer); "cv" runs
        `scdash.tl.cross_validate` first. None: 0.5 and 0.95 (`scale="matched"`), 0.05 and 0.01 (`scale="paper"`).
    scale
        "matched" brings both halves of a score to one scale, so that 0.5 means half and half; "paper" does not.
    no_prior_targets
        What the prior says of targets without any edge in it. "mean" gives them what the others get on average, so that
        a sparse prior does not take all their inputs (with modules their own weights say which are kept). "zero" is the
        paper, and right where a target without edges is known to have no regulator, as in simulations: on SIM350 "mean"
        cost 2.5 points of balanced accuracy with modules.
    coregulation
        DataFrame(source, target[, weight]) of gene pairs that act together (symmetric); None: the regulators that share
        targets in the prior, :math:`|A||A|^\top`. For the first layer of `Phoenix(encoder="modules")` only.
    schedule
        When how much is pruned; None: what suits the model, its start and the data.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.cross_validate : Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).

    Examples
    --------
    >>> scdash.sparsity.DASH(lambdas=0.5)
    DASH(lambdas=0.5)
    """

    method: ClassVar[str] = "dash"
    lambdas: Strength | Literal["cv"] | None = None
    scale: Literal["matched", "paper"] = "matched"
    no_prior_targets: Literal["mean", "zero"] = "mean"
    coregulation: PriorLike | None = None
    schedule: GeometricSchedule | None = None


@final
@dataclass(frozen=True, repr=False)
class MagnitudePruning(Method):
    """Iterative magnitude pruning, `sparsity="imp"`: DASH without a prior.

    Parameters
    ----------
    schedule
        When how much is pruned; None: what suits the model, its start and the data.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.cross_validate : Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).
    """

    method: ClassVar[str] = "imp"
    schedule: GeometricSchedule | None = None


@final
@dataclass(frozen=True, repr=False)
class PriorPruning(Method):
    """Iterative pruning by the prior alone, `sparsity="bio"`; equal scores are ordered by magnitude.

    Parameters
    ----------
    no_prior_targets
        What the prior says of targets without any edge in it, as for `DASH`.
    schedule
        When how much is pruned; None: what suits the model, its start and the data.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.cross_validate : Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).
    """

    method: ClassVar[str] = "bio"
    no_prior_targets: Literal["mean", "zero"] = "mean"
    schedule: GeometricSchedule | None = None


@final
@dataclass(frozen=True, repr=False)
class TrainPruneFinetune(Method):
    """Train dense, prune to several levels, fine-tune each, `sparsity="posthoc"`; the one-standard-error rule chooses.

    Parameters
    ----------
    levels
        Fractions of zeros to try.
    repeats
        Models that all this is done with.
    tuning_epochs
        Bound on the epochs of fine-tuning.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.cross_validate : Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).
    """

    method: ClassVar[str] = "posthoc"
    levels: tuple[float, ...] = LEVELS
    repeats: int = 3
    tuning_epochs: int = 100


@final
@dataclass(frozen=True, repr=False)
class L0(Method):
    """L0 regularisation by random gates (Louizos et al. 2018), `sparsity="l0"`.

    Parameters
    ----------
    lambdas
        Strength; None: the largest whose held-out error is within one standard error of the lowest.
    reduction
        The expected number of weights as a "sum", or as a "mean" over them, which carries over between sizes.
    granularity
        One gate per "weight", or one per "input" unit of a layer.
    gate_rate
        Factor on the learning rate of the gates.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.
    """

    method: ClassVar[str] = "l0"
    lambdas: float | None = None
    reduction: Reduction = "mean"
    granularity: Literal["weight", "input"] = "weight"
    gate_rate: float = GATE_RATE


@final
@dataclass(frozen=True, repr=False)
class CNode(Method):
    """An L1 penalty on paths from inputs to outputs (C-NODE, Aliee et al. 2021), `sparsity="cnode"`.

    Parameters
    ----------
    lambdas
        Strength; None: the largest whose held-out error is within one standard error of the lowest.
    reduction
        "sum" as in the paper, or "mean" over inputs x outputs.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.
    """

    method: ClassVar[str] = "cnode"
    lambdas: float | None = None
    reduction: Reduction = "mean"


@final
@dataclass(frozen=True, repr=False)
class PathReg(Method):
    """Gates and weights penalised along whole paths (PathReg, Aliee et al. 2022), `sparsity="pathreg"`.

    Parameters
    ----------
    lambdas
        Strengths (of the gates, of the weights); None: the largest whose held-out error is within one standard error of
        the lowest, the gates' a tenth of the weights'.
    reduction
        "sum" as in the paper, or "mean" over inputs x outputs.
    granularity
        One gate per "weight" (Eq. 11), or one per "input" unit of a layer as in the released code, which can only switch
        whole inputs off.
    gate_rate
        Factor on the learning rate of the gates.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.
    """

    method: ClassVar[str] = "pathreg"
    lambdas: tuple[float, float] | None = None
    reduction: Reduction = "mean"
    granularity: Literal["weight", "input"] = "weight"
    gate_rate: float = GATE_RATE


@final
@dataclass(frozen=True, repr=False)
class LassoNet(Method):
    """LassoNet (Lemhadri et al. 2021) for neural ODEs, `sparsity="lassonet"`; for `MLP` and `SecondOrder`.

    Parameters
    ----------
    lambdas
        Strength, multiplied by the learning rate in every step; None: the largest whose held-out error is within one
        standard error of the lowest.
    rho
        Bound on first-layer weights relative to skip weights: 0 is a linear lasso.
    connection
        "inner" adds S x to dx/dt, "outer" to the solution.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.
    """

    method: ClassVar[str] = "lassonet"
    lambdas: float | None = None
    rho: float = 10.0
    connection: Literal["inner", "outer"] = "inner"


@final
@dataclass(frozen=True, repr=False)
class GroupLasso(Method):
    """Group lasso on the inputs of one network per target (Bellot et al. 2022), `sparsity="group_lasso"`.

    Parameters
    ----------
    lambdas
        Strength, multiplied by the learning rate in every step; None: the largest whose held-out error is within one
        standard error of the lowest.
    hidden
        Hidden units of each target's network, where the model is not made with `per_target=True` already.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.sparsity_path : Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.
    """

    method: ClassVar[str] = "group_lasso"
    lambdas: float | None = None
    hidden: int = 10
