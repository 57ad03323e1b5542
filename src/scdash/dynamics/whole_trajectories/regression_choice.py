"""Which regressions a training starts from: chosen by how well their mean predicts what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scdash._core.parallel import spread_all
from scdash.dynamics.whole_trajectories.folds import Fold
from scdash.dynamics.whole_trajectories.one_fit import Ingredients, held_out_error, in_threads
from scdash.dynamics.whole_trajectories.selection import best
from scdash.dynamics.whole_trajectories.start import Paths, Regressions, regression_starts
from scdash.training.rollouts import GeneWise

CHOOSING = "choosing the regressions"
RATES = ((0.12, 0.6), (0.06, 0.3))  # of genes that follow their regulators faster, or slower
AVERAGED = (5, 8)  # weak penalties, or strong ones among them: batches want stronger ones than halves of the same cells


@dataclass(frozen=True)
class RegressionChoice:
    """Ingredients with the regressions that were chosen, and what they were chosen by."""

    made_of: Ingredients
    starts: list[GeneWise]  # (folds,), the mean of the chosen regressions as each fold has them
    table: pd.DataFrame  # regressions (in words), error, fold 1 and so on


def candidates(own: Regressions) -> list[Regressions]:
    """Return the regressions to choose among: at the rates of `RATES`, averaged over as many penalties as `AVERAGED`."""
    return [replace(own, rates=rates, averaged=number) for rates in RATES for number in AVERAGED]


def choose_regressions(
    made_of: Ingredients, folds: Sequence[Fold], *, progress: bool | None = None
) -> RegressionChoice:
    """Return the regressions whose mean, without training and without a prior, has the smallest error on the folds."""
    offered = candidates(made_of.regressions)
    pieces = [(made_of, offered, fold) for fold in folds]
    found = spread_all(_starts, pieces, CHOOSING, progress=progress, threads=in_threads(folds[0].train))
    pairs = zip(found, folds, strict=True)
    errors = np.array([[held_out_error(start, fold) for start in starts] for starts, fold in pairs]).T
    chosen = best(errors)
    table = pd.DataFrame({"regressions": [str(one) for one in offered], "error": errors.mean(axis=1)})
    table = table.assign(**{f"fold {k + 1}": column for k, column in enumerate(errors.T)})
    return RegressionChoice(replace(made_of, regressions=offered[chosen]), [starts[chosen] for starts in found], table)


def regression_work(folds: int) -> dict[str, tuple[int, float]]:
    """Return what the choice takes, for the bar of the whole call; see `one_fit.work_of`."""
    return {CHOOSING: (folds, 0.4)}


def _starts(made_of: Ingredients, offered: Sequence[Regressions], fold: Fold) -> list[GeneWise]:
    """Return the mean of the regressions of every offer on what a fold learns from."""
    paths: Paths = {}
    weight, regulators = (made_of.velocity_weight,), made_of.regulators
    return [
        regression_starts(fold.train, weight, regulators=regulators, regressions=one, paths=paths)[0] for one in offered
    ]
