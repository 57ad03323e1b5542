"""Tables of a fit of a screen: errors of every predictor on held-out perturbations, and what was observed of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.screens.forward import NONE, OTHERS, Forward, gene_sd, squared_errors
from scdash.screens.held_out import HeldOutScores, mean_of_others, score_changes
from scdash.screens.inputs import ScreenInputs
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.times.responses import TimedResponses


def held_out_by_perturbation(found: Forward | None, stats: PerturbationStatistics) -> pd.DataFrame:
    """Return the error of every predictor on every held-out perturbation, one row each."""
    if found is None:
        return pd.DataFrame({"perturbation": np.array([], dtype=str)})
    held, sd = np.flatnonzero(stats.fold >= 0), gene_sd(stats)
    table = {
        "perturbation": np.asarray(stats.screen.names, dtype=str)[held],
        "kind": np.asarray(stats.screen.kinds, dtype=str)[held],
    }
    errors = {name: squared_errors(predicted, stats, sd)[held] for name, predicted in found.predictions().items()}
    return pd.DataFrame(table | {name: error for name, error in errors.items() if np.isfinite(error).any()})


def held_out_table(
    inputs: ScreenInputs, stats: PerturbationStatistics, predicted: Floats, observed: Floats, held: NDArray[np.int64]
) -> tuple[pd.DataFrame, HeldOutScores]:
    """Score predicted changes (held, genes) of the perturbations `held` of the screen, beside the trivial references."""
    whole = inputs.whole
    used = np.ones(stats.screen.n_perturbations, bool)
    mean = np.broadcast_to(mean_of_others(stats, used), observed.shape)
    free = ~whole.targets[held]
    rows = []
    guesses = (("fit", predicted), (OTHERS, mean), (NONE, np.zeros(mean.shape)))
    for name, guess in guesses:
        for i, r in enumerate(held):
            one = slice(i, i + 1)
            score = score_changes(guess[one], observed[one], mean[one], free[one], stats.within_sd)
            rows.append((whole.names[r], name, score.pearson, score.wr2, score.rmse))
    table = pd.DataFrame(rows, columns=["perturbation", "predictor", "pearson_of_changes", "wr2", "rmse_sd"])
    return table, score_changes(predicted, observed, mean, free, stats.within_sd)


def held_out_changes(inputs: ScreenInputs, stats: PerturbationStatistics, held: NDArray[np.int64]) -> Floats:
    """Return observed mean changes from control (held, genes) of perturbations that were not fitted.

    Of perturbations sampled at several times this is the response that all their times say together.
    """
    if stats.timed is not None:
        change, counts = held_out_at_times(inputs, stats.timed, stats.centre, held)
        own = replace(stats.timed, change=change, counts=counts, free=~inputs.whole.targets[held])
        return own.pooled()[0]
    whole, cells = inputs.whole, inputs.cells
    means = [cells[np.flatnonzero(whole.cells == r)].mean(axis=0) for r in held]
    observed: Floats = np.stack(means) - stats.centre
    return observed


def held_out_at_times(
    inputs: ScreenInputs, timed: TimedResponses, centre: Floats, held: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the same at each time, (held, times, genes), NaN for none, and the cells behind it (held, times)."""
    whole, cells = inputs.whole, inputs.cells
    shape = (len(held), len(timed.times.values))
    change, counts = np.full((*shape, len(centre)), np.nan), np.zeros(shape, dtype=np.int64)
    for i, r in enumerate(held):
        for number in range(shape[1]):
            rows = np.flatnonzero((whole.cells == r) & (timed.times.cells == number))
            counts[i, number] = len(rows)
            if len(rows):
                change[i, number] = cells[rows].mean(axis=0) - centre
    return change, counts


def held_perturbations(inputs: ScreenInputs) -> NDArray[np.int64]:
    """Return the numbers, in the whole screen, of the perturbations that were not fitted."""
    fitted = set(inputs.screen.names)
    return np.array([r for r, name in enumerate(inputs.whole.names) if name not in fitted], dtype=np.int64)
