"""Settings of the regression of transitions, with one preset for time courses and one for single cells."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from scdash._core.errors import check_choice, check_least


def _grid(high: float, low: float, number: int) -> tuple[float, ...]:
    return tuple(float(value) for value in np.geomspace(high, low, number))


@dataclass(frozen=True)
class TransitionSettings:
    """What `fit_transitions` does; the defaults suit replicated time courses in units of about [0, 1]."""

    # regression
    lambdas: tuple[float, ...] = field(default_factory=lambda: _grid(0.6, 0.02, 16))
    """Decreasing penalties; 1 is the largest possible correlation where features are standardised."""
    prior_weights: tuple[float, ...] = (1.0, 5.0, 20.0)
    """Edges of the prior pay lambda / weight; which weight is chosen by held-out error."""
    standardize: bool = True
    """Penalise effects per SD of every regulator and target; False: one common scale (cells, where batches differ)."""
    wider: float = 0.5
    """Fraction of the chosen penalty at which the edges are found that training on whole trajectories begins with."""
    max_active: int | None = 50
    """Regulators of a gene beyond which its path stops."""
    # dynamics
    slopes: tuple[float, ...] = (1.0, 0.3)
    """Steepness s of the activation softsign(s (x - 1/2)) / s, chosen by held-out error; 1 is PHOENIX's in these units.

    Another slope is PHOENIX in other units: states 1/2 + s (x - 1/2) obey a field with slope 1 and the same effects.
    """
    driver: Literal["exponential", "trapezoid"] = "exponential"
    """Mean of phi over an interval: weighted by its influence on the end, or plain over the observations within."""
    lags: tuple[int, ...] = (1,)
    """Transitions between states this many observations apart; time courses use the first."""
    rates: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Grid of the rate shared by all genes, in units of 1 / (median time between observations)."""
    gene_rates: tuple[float, ...] = (0.5, 0.75, 1.0, 1.33, 2.0)
    """Factors of the shared rate offered to every gene; (1.0,) keeps it shared."""
    # noise
    detect_constants: bool = True
    """Find genes that do not change; their rate is 0 and they are averaged over time."""
    rounds: int = 3
    """Fits in all: after each but the last, states are denoised by the fitted dynamics."""
    # ranking and prediction
    hub_exponent: float = 0.15
    """Regulators of many genes are penalised less; 0 is off."""
    mcp: float | None = None
    """Concavity of the penalty of the last fit; None: lasso."""
    half_samples: int = 24
    """Half-samples of trajectories behind the selection frequencies; 0 is off."""
    stability_lambdas: int = 4
    """Penalties, up to the chosen one, over which frequencies are averaged."""
    products: int = 4
    """Strongest regulators of a gene whose squares and products are offered to its prediction; 0 is off."""
    # choice
    folds: int = 5
    sharing: float = 1.0
    """Weight of all genes' mean error curve beside a gene's own when its penalty is chosen; 0: own alone."""
    splits: tuple[str, ...] = ("train",)
    """Parts of the series that are fitted."""

    def __post_init__(self) -> None:
        if not self.lambdas or any(b >= a for a, b in zip(self.lambdas, self.lambdas[1:], strict=False)):
            raise ValueError("TransitionSettings.lambdas must decrease.")
        check_least("TransitionSettings.folds", self.folds, 2)
        if not self.prior_weights or min(self.prior_weights) < 1:
            raise ValueError(f"TransitionSettings.prior_weights must be at least 1, found {self.prior_weights}.")
        if not self.rates or not self.gene_rates or min(*self.rates, *self.gene_rates, *self.slopes, 1) < 0:
            raise ValueError("TransitionSettings: rates, gene_rates and slopes must be positive and not empty.")
        if self.rounds < 1 or not self.lags or min(self.lags) < 1:
            raise ValueError("TransitionSettings: rounds and lags must be at least 1.")
        check_choice("TransitionSettings.driver", self.driver, ("exponential", "trapezoid"))

    @classmethod
    def for_time_courses(cls, **changes: Any) -> Self:
        """Return the settings for replicated time courses (the default)."""
        return replace(cls(), **changes)

    @classmethod
    def for_genomes(cls, **changes: Any) -> Self:
        """Return the settings for time courses of thousands of genes: fewer folds, rounds and half-samples, no products."""
        settings = cls(
            lambdas=_grid(0.6, 0.06, 8),
            prior_weights=(1.0, 20.0),
            max_active=30,
            slopes=(1.0,),
            rates=(0.5, 1.0, 2.0),
            gene_rates=(0.67, 1.0, 1.5),
            rounds=2,
            half_samples=12,
            stability_lambdas=2,
            products=0,
            folds=3,
        )
        return replace(settings, **changes)

    @classmethod
    def for_cells(cls, **changes: Any) -> Self:
        """Return the settings for smoothed pseudotime bins of single cells, whose rates and penalties are the same for all genes.

        Neighbouring bins share cells and batches differ in scale, so nothing is standardised or denoised.
        """
        settings = cls(
            lambdas=_grid(1.2, 0.1, 8),
            standardize=False,
            slopes=(1.0,),
            driver="trapezoid",
            lags=(1, 3),
            rates=(0.06, 0.12, 0.25, 0.5, 1.0),
            gene_rates=(1.0,),
            detect_constants=False,
            rounds=1,
            hub_exponent=0.0,
            products=0,
            half_samples=0,
        )
        return replace(settings, **changes)
