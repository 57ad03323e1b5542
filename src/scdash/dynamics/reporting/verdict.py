"""The verdict on a fit: what held-out predictions distinguish, what they do not, what was not tested, and the table of errors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from scdash._core.decisions import CLEAR, Difference
from scdash.dynamics.comparisons.baselines import BASELINES, BASELINES_OF_TIMES
from scdash.dynamics.comparisons.null_models import NO_NETWORK, RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME
from scdash.dynamics.whole_trajectories.selection import Errors

Outcome: TypeAlias = Literal["better", "not distinguished", "not tested", "not used"]

SAME = 1e-9  # relative difference up to which two fits are the same fit
TINY = 1e-12  # errors below count as this, so that an error of 0 has a logarithm


@dataclass(frozen=True)
class Comparison:
    """A model against null models of one kind, on the same held-out trajectories.

    The gain is the logarithm of the null model's error over the model's: errors of null models are positive and skewed to
    the right (among random sets of regulators a few are far off), and their logarithms have the spread that two standard
    deviations stand for.
    """

    outcome: Outcome = "not tested"
    null_error: float = float("nan")  # mean over folds, and over null models of the kind
    gain: float = float("nan")  # mean log ratio of errors, positive where the model's is lower
    fold_error: float = float("nan")  # standard error of the gain over folds
    set_error: float = float("nan")  # standard error of the gain over null models, were the model one of them
    number: int = 0  # null models of the kind


@dataclass(frozen=True)
class Verdict:
    """What held-out trajectories say of a network beside null models; every outcome is one comparison.

    `supports_network` is True if left-out trajectories are predicted better than without a network AND better than with
    random regulators. It is never True where the other half of the same cells was predicted, which tests no trajectory.
    """

    supports_network: bool
    network: Comparison
    regulators: Comparison
    prior: Comparison
    time: Comparison
    baselines: Comparison
    best_null: str  # the null model with the smallest error
    best_baseline: str  # the baseline without a model with the smallest error

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for `uns`: the outcomes, the figures behind them, and the names."""
        kinds = ("network", "regulators", "prior", "time", "baselines")
        own = {kind: getattr(self, kind) for kind in kinds}
        figures = {
            f"{kind}_{name}": float(value)
            for kind, comparison in own.items()
            for name, value in asdict(comparison).items()
            if name != "outcome"
        }
        return {
            "supports_network": self.supports_network,
            **{kind: comparison.outcome for kind, comparison in own.items()},
            "best_null": self.best_null,
            "best_baseline": self.best_baseline,
            "figures": figures,
        }


def compare(ours: Errors, nulls: Any) -> Comparison:
    """Compare errors over folds (folds,) with those of null models of one kind (null models, folds), NaN where not fitted.

    "better": the mean log ratio of errors exceeds two of its standard errors over folds and, where there are several null
    models, two of their standard deviations (with that of their mean), since the model itself is one draw of what they are
    draws of. "not tested": fewer than two folds, no null model with an error, or the same fit.
    """
    known = np.atleast_2d(np.asarray(nulls, dtype=np.float64)) if len(nulls) else np.empty((0, len(ours)))
    known = known[~np.isinf(known).any(axis=1) & np.isfinite(known).any(axis=1)]
    if not len(known) or not np.isfinite(ours).all():
        return Comparison()
    gains = np.log(np.maximum(known, TINY)) - np.log(np.maximum(ours, TINY))
    fitted = np.isfinite(gains)
    paired = Difference.of(np.nanmean(gains[:, fitted.any(axis=0)], axis=0))
    of_each = np.nanmean(gains, axis=1)
    sets = float(of_each.std(ddof=1) * np.sqrt(1 + 1 / len(of_each))) if len(of_each) > 1 else float("nan")
    found = Comparison("not tested", float(np.nanmean(known)), paired.mean, paired.error, sets, len(of_each))
    if not paired.tested or (np.abs(gains) <= SAME)[fitted].all():
        return found
    clear = paired.clearly_positive and (len(of_each) == 1 or paired.mean > CLEAR * sets)
    return Comparison("better" if clear else "not distinguished", *list(asdict(found).values())[1:])


def verdict_of(ours: Errors, others: Mapping[str, Errors], *, prior_used: bool | None, trajectories: bool) -> Verdict:
    """Compare the errors of a model over folds with those of its null models and of the baselines.

    `ours`: of the model, (folds,). `others`: of every null model and every baseline, by name. `prior_used`: whether
    the model uses its prior; None: there is none. `trajectories`: whether whole trajectories were left out, rather
    than the other half of the cells.
    """

    def of_kind(kind: str) -> list[Errors]:
        return [errors for name, errors in others.items() if name.startswith(kind)]

    network, regulators = compare(ours, of_kind(NO_NETWORK)), compare(ours, of_kind(RANDOM))
    prior = Comparison("not used") if prior_used is False else compare(ours, of_kind(SHUFFLED_PRIOR))
    known = {*BASELINES, *BASELINES_OF_TIMES}
    beside = {name: errors - ours for name, errors in others.items()}  # null models may lack folds
    best_null = _lowest({name: errors for name, errors in beside.items() if name not in known})
    best_baseline = _lowest({name: errors for name, errors in beside.items() if name in known})
    return Verdict(
        trajectories and network.outcome == regulators.outcome == "better",
        network,
        regulators,
        prior,
        compare(ours, of_kind(SHUFFLED_TIME)),
        compare(ours, [others[best_baseline]] if best_baseline else []),
        best_null,
        best_baseline,
    )


def _lowest(errors: Mapping[str, Errors]) -> str:
    """Return the name of the smallest mean error, empty where there is none."""
    means = {name: float(np.nanmean(values)) for name, values in errors.items() if np.isfinite(values).any()}
    known = {name: mean for name, mean in means.items() if np.isfinite(mean)}
    return min(known, key=lambda name: known[name]) if known else ""


def error_table(model: str, ours: Errors, others: Mapping[str, Errors]) -> pd.DataFrame:
    """Return one row per predictor, the model first.

    `model`: name of the model. `ours`, `others`: mean squared errors over that of a constant, (folds,), of the model
    and of all others by name; NaN on folds on which a null model was not fitted.

    The result has columns `predictor`, `error` (mean over folds; infinite where predictions diverge),
    `standard_error` (over folds, NaN of one), `difference` (to the model: positive where the model is better),
    `difference_error` (standard error of the paired difference) and `fold 1`, ...
    """
    rows = []
    for name, errors in ({model: ours} | dict(others)).items():
        fitted = ~np.isnan(errors)
        own, paired = Difference.of(errors[fitted]), difference(errors, ours)
        row = {"predictor": name, "error": own.mean, "standard_error": own.error}
        row |= {"difference": paired.mean, "difference_error": paired.error}
        rows.append(row | {f"fold {k + 1}": float(value) for k, value in enumerate(errors)})
    return pd.DataFrame(rows)


def difference(errors: Errors, ours: Errors) -> Difference:
    """Return by how much errors exceed those of the model, paired over the folds that both have."""
    fitted = np.isfinite(errors) & np.isfinite(ours)
    return Difference.of((errors - ours)[fitted] if not np.isinf(errors).any() else [])
