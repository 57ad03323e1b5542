"""The sparse regression that a fit starts from, as a value of a call."""

from dataclasses import dataclass, replace
from typing import Any

from scdash._core.values import Value
from scdash.regression.settings import TransitionSettings

PRODUCTS = 4


@dataclass(frozen=True, repr=False)
class Regression(Value):
    """Settings of the sparse regression between states that a fit starts from; None stands for what suits the data.

    They are for time courses (states). Cells are started from the mean of many regressions, each without any choice of
    its own, where these settings are refused.

    Parameters
    ----------
    products
        Strongest regulators of a gene whose squares and products are offered to its prediction: a number, True (4) or
        False (none).
    half_samples
        Half-samples of the trajectories behind the selection frequencies; 0: none.
    lambdas
        Penalties of the path, decreasing; 1 is the largest correlation that is possible.
    prior_weights
        Edges of the prior pay the penalty divided by one of these weights, which is chosen by held-out error; `(1.0,)`
        leaves the prior out of the regression.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Regression(half_samples=50)
    Regression(half_samples=50)
    """

    products: bool | int | None = None
    half_samples: int | None = None
    lambdas: tuple[float, ...] | None = None
    prior_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("lambdas", "prior_weights"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("products", "half_samples"):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < 0):
                raise ValueError(f"{name} must be a whole number, 0 or more, found {value!r}.")
        if self.lambdas is not None and not all(0 < value for value in self.lambdas):
            raise ValueError(f"lambdas must be positive and decrease, found {self.lambdas!r}.")
        replace(TransitionSettings(), **self.changes())  # its checks

    def changes(self) -> dict[str, Any]:
        """Return the settings of `TransitionSettings` that are given."""
        found = self.given()
        if isinstance(self.products, bool):
            found["products"] = PRODUCTS if self.products else 0
        return found
