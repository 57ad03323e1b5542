"""How a model of dynamics is validated, as a value of a call."""

from dataclasses import dataclass
from typing import Literal

from scdash._core.errors import unknown
from scdash._core.values import Value


@dataclass(frozen=True, repr=False)
class Validation(Value):
    """How `scdash.tl.fit_dynamics` evaluates what it has fitted.

    Parameters
    ----------
    null_models
        Cells that are trained on whole trajectories: compare the model with null models, which have no network, random
        regulators, shuffled priors or shuffled time and are trained in the same way on the same folds, and give a verdict
        (`scdash.get.report`). "full" chooses epochs, prior and pruning anew for each, which takes about ten times as long;
        False leaves the verdict out.
    hold_out
        Fraction of the trajectories (or of the states of each, where there are fewer than three) that is kept for test, and
        for other fits than those by folds the same again for validation, where no `split_key` names them. None: cells that
        are trained on whole trajectories hold nothing out, since their errors come from folds; others a tenth.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Validation(null_models=False)
    Validation(null_models=False)
    """

    null_models: bool | Literal["full"] = True
    hold_out: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.null_models, bool) and self.null_models != "full":
            raise unknown("null_models", self.null_models, ("True", "False", "full"))
        if self.hold_out is not None and not 0 < self.hold_out < 1:
            raise ValueError(f"hold_out must be a fraction between 0 and 1, found {self.hold_out!r}.")
