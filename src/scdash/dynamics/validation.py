"""How a model of dynamics is judged, as a value of a call."""

from dataclasses import dataclass
from typing import Literal

from scdash._core.values import Value
from scdash._errors import unknown


@dataclass(frozen=True, repr=False)
class Validation(Value):
    """How `scdash.tl.fit_dynamics` judges what it has fitted.

    Parameters
    ----------
    null_models
        Cells only: compare the model with predictions that need no network, with random sets of regulators, shuffled
        priors and shuffled time, and give a verdict (`scdash.get.report`). False leaves the verdict out; "full" chooses
        every setting of the null models anew (about ten times longer).

    Examples
    --------
    >>> scdash.Validation(null_models=False)
    Validation(null_models=False)
    """

    null_models: bool | Literal["full"] = True

    def __post_init__(self) -> None:
        if not isinstance(self.null_models, bool) and self.null_models != "full":
            raise unknown("null_models", self.null_models, ("True", "False", "full"))
