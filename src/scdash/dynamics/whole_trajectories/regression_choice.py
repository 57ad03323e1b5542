"""Which regressions a training starts from: chosen by how well the models that start from their mean predict what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scdash._core.errors import NonFiniteError
from scdash._core.parallel import spread_all
from scdash.dynamics.whole_trajectories.evaluation import held_out_error
from scdash.dynamics.whole_trajectories.folds import Fold
from scdash.dynamics.whole_trajectories.one_fit import DenseTrial, Ingredients, dense_trial, in_threads
from scdash.dynamics.whole_trajectories.start import Paths, Regressions, regression_starts
from scdash.training.rollouts import GeneWise

CHOOSING = "choosing the regressions"
RATES = ((0.12, 0.6), (0.06, 0.3))  # of genes that follow their regulators faster, or slower
TRAINED = 2  # regressions with the smallest errors, of which trained models decide
AVERAGED = (5, 8)  # weak penalties, or strong ones among them: batches want stronger ones than halves of the same cells


@dataclass(frozen=True)
class RegressionChoice:
    """Ingredients with the regressions that were chosen, and what they were chosen by."""

    made_of: Ingredients
    trial: DenseTrial  # training from the chosen regressions, without a prior and with the first kind of starts
    table: pd.DataFrame  # regressions (in words), trained (error of the best trained model), error, fold 1 and so on


def candidates(own: Regressions) -> list[Regressions]:
    """Return the regressions to choose among: at the rates of `RATES`, averaged over as many penalties as `AVERAGED`."""
    return [replace(own, rates=rates, averaged=number) for rates in RATES for number in AVERAGED]


def choose_regressions(
    made_of: Ingredients, folds: Sequence[Fold], *, progress: bool | None = None
) -> RegressionChoice:
    """Return the regressions from which a training without a prior reaches the smallest error on the folds.

    Of all that are offered those two are trained from whose means have the smallest errors: the error of a mean that was
    not trained says little of how far training leads from it.
    """
    offered = candidates(made_of.regressions)
    pieces = [(made_of, offered, fold) for fold in folds]
    found = spread_all(_starts, pieces, CHOOSING, progress=progress, threads=in_threads(folds[0].train))
    pairs = zip(found, folds, strict=True)
    errors = np.array([[held_out_error(start, fold) for start in starts] for starts, fold in pairs]).T
    mean = np.where(np.isfinite(errors).all(axis=1), errors.mean(axis=1), np.inf)
    trials, failed = {}, None
    for place in mean.argsort(kind="stable")[:TRAINED]:
        own, starts = replace(made_of, regressions=offered[place]), [of_fold[place] for of_fold in found]
        try:
            trials[int(place)] = own, dense_trial(own, folds, starts, 1.0, mixed=own.mixed_starts[0], progress=progress)
        except NonFiniteError as error:  # the other one may do better
            failed = error
    if failed is not None and not trials:
        raise failed
    trained = {place: float(trial.lowest.mean()) for place, (_, trial) in trials.items()}
    chosen = min(trained, key=lambda place: trained[place])
    table = pd.DataFrame({"regressions": [str(one) for one in offered], "error": errors.mean(axis=1)})
    table.insert(1, "trained", table.index.map(trained))
    table = table.assign(**{f"fold {k + 1}": column for k, column in enumerate(errors.T)})
    return RegressionChoice(*trials[chosen], table)


def regression_work(folds: int) -> dict[str, tuple[int, float]]:
    """Return what the choice takes, for the bar of the whole call; see `one_fit.work_of`."""
    return {CHOOSING: (folds, 0.4)}


def _starts(made_of: Ingredients, offered: Sequence[Regressions], fold: Fold) -> list[GeneWise]:
    """Return the mean of the regressions of every offer on what a fold learns from."""
    paths: Paths = {}
    weight, regulators = (made_of.settings.velocity_weight,), made_of.regulators
    return [
        regression_starts(fold.train, weight, regulators=regulators, regressions=one, paths=paths)[0] for one in offered
    ]
