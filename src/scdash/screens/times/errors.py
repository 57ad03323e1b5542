"""Errors of perturbations and of times that were left out, at every sampled time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.screens.baselines.linear_model import sum_of_singles
from scdash.screens.forward import LINEAR, NETWORK, NONE, OTHERS, SINGLES, Forward, gene_sd
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.times.responses import TimedResponses

RELAXED, BEFORE = "own response, relaxed", "change at the time before"
COLUMNS = ["left_out", "time", "predictor", "perturbations", "error", "standard_error"]
PERTURBATION, TIME = "perturbation", "time"


@dataclass(frozen=True)
class TimedForward:
    """Predictions (perturbations, times, genes) of perturbations and of times that were left out, by predictor.

    `share` is the part of what the network says beside the mean of the other perturbations that is believed: the one
    with the least error in perturbations left out.
    """

    share: float
    perturbations: Mapping[str, Floats]
    times: Mapping[str, Floats]  # NaN at the first time, before which nothing is known


def timed_forward(found: Forward | None, stats: PerturbationStatistics) -> TimedForward | None:
    """Return what is predicted of perturbations left out, and of each time from the times before it; None without times."""
    timed = stats.timed
    if timed is None:
        return None
    times = times_left_out(timed)
    if found is None:
        return TimedForward(1.0, {}, times)
    means = np.full(timed.change.shape, np.nan)
    for fold in range(int(stats.fold.max()) + 1):
        out = stats.fold == fold
        means[out] = timed.mean_of(~out)
    level = timed.relaxation.at(timed.times.values)[None, :, None]
    own = level * (found.network - found.others)[:, None, :]
    share, shares = shares_of_folds(own, timed.change - means, stats)
    each, targets = (timed.change[:, number] for number in range(len(timed.times.values))), ~timed.free
    singles = [sum_of_singles(change, targets, targets) for change in each]
    predictions = {
        NETWORK: means + shares[:, None, None] * own,
        OTHERS: means,
        NONE: np.zeros_like(means),
        LINEAR: means + level * (found.linear - found.others)[:, None, :],
        SINGLES: np.stack(singles, axis=1),
    }
    return TimedForward(share, predictions, times)


def shares_of_folds(own: Floats, left: Floats, stats: PerturbationStatistics) -> tuple[float, Floats]:
    """Return the fraction, between 0 and 1, of `own` that predicts `left` with the least error, from all perturbations left out.

    And (perturbations,) the share that the other folds give, with which errors are measured. Both arrays are
    (perturbations, times, genes); 1 where `own` is nothing.
    """
    sd = gene_sd(stats)
    usable = stats.free[:, None, :] & np.isfinite(left) & np.isfinite(own)
    a, b = (np.where(usable, part / sd, 0.0) for part in (own, left))
    product, square = (a * b).sum(axis=(1, 2)), (a**2).sum(axis=(1, 2))
    held = stats.fold >= 0

    def best(rows: NDArray[np.bool_]) -> float:
        total = float(square[rows].sum())
        return float(np.clip(product[rows].sum() / total, 0.0, 1.0)) if total > 0 else 1.0

    shares = np.array([best(held & (stats.fold != fold)) for fold in stats.fold])
    return best(held), shares


def times_left_out(timed: TimedResponses) -> dict[str, Floats]:
    """Return predictions of every time but the first from the times before it alone, (perturbations, times, genes)."""
    names = (RELAXED, BEFORE, OTHERS, NONE)
    found = {name: np.full(timed.change.shape, np.nan) for name in names}
    every = np.ones(len(timed.change), bool)
    every[0] = False
    for number in range(1, len(timed.times.values)):
        known = timed.until(number)
        sampled = known.counts.sum(axis=1)[:, None] > 0
        found[RELAXED][:, number] = np.where(sampled, relaxed(known, timed.times.values[[number]])[:, 0], np.nan)
        found[BEFORE][:, number] = last_change(known)
        found[OTHERS][:, number] = np.where(sampled, known.mean_of(every)[-1], np.nan)
        found[NONE][:, number] = np.where(sampled, 0.0, np.nan)
    return found


def relaxed(timed: TimedResponses, times: Floats) -> Floats:
    """Return what the responses of the perturbations (perturbations, times, genes) are at any times."""
    whole = timed.common_response() + timed.responses()
    level = timed.relaxation.at(times)
    return np.asarray(level[None, :, None] * whole[:, None, :])


def last_change(timed: TimedResponses) -> Floats:
    """Return the change (perturbations, genes) at the last time at which each perturbation was sampled, NaN for none."""
    found = np.full((len(timed.change), timed.change.shape[2]), np.nan)
    for number in range(len(timed.times.values)):
        sampled = timed.counts[:, number] > 0
        found[sampled] = timed.change[sampled, number]
    return found


def timed_table(found: TimedForward | None, stats: PerturbationStatistics) -> pd.DataFrame:
    """Return the mean squared error of every predictor at every time, in SDs of the genes, over genes that are no targets.

    `left_out` is "perturbation" (predicted from its targets alone) or "time" (from the times before it).
    """
    rows: list[tuple[str, float, str, int, float, float]] = []
    timed = stats.timed
    if found is not None and timed is not None:
        for left_out, predictions in ((PERTURBATION, found.perturbations), (TIME, found.times)):
            for number, time in enumerate(timed.times.values):
                for name, values in predictions.items():
                    errors = _errors(values[:, number], timed.change[:, number], stats)
                    if len(errors):
                        spread = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
                        rows.append((left_out, float(time), name, len(errors), float(errors.mean()), float(spread)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _errors(predicted: Floats, observed: Floats, stats: PerturbationStatistics) -> Floats:
    """Return the errors of the perturbations for which there are a prediction and an observation."""
    usable = np.asarray(np.isfinite(predicted + observed).all(axis=1))
    usable[0] = False
    free = stats.free[usable]
    error = ((predicted - observed)[usable] / gene_sd(stats)) ** 2 * free
    return np.asarray(error.sum(axis=1) / np.maximum(free.sum(axis=1), 1))


def best_at_times(table: pd.DataFrame, left_out: str, *, combined: bool = False) -> str | None:
    """Return the predictor with the least error in the mean of the times; None where nothing was left out."""
    known = table[table["left_out"].astype(str) == left_out]
    if not combined:
        known = known[known["predictor"].astype(str) != SINGLES]
    if known.empty:
        return None
    return str(known.groupby(known["predictor"].astype(str), sort=False)["error"].mean().idxmin())


def singular(unit: str | None) -> str:
    """Return the name of one unit of time.

    >>> singular("days"), singular("embryonic days"), singular(None)
    ('day', 'embryonic day', 'unit of time')
    """
    return unit.removesuffix("s") if unit else "unit of time"


def timed_lines(table: pd.DataFrame, timed: TimedResponses) -> list[str]:
    """Return in words, a line each, how responses relax, and the errors at every time."""
    names, relaxation = timed.times.names, timed.relaxation
    in_unit = f" {timed.times.unit}" if timed.times.unit else ""
    level = ", ".join(f"{part:.2f}" for part in relaxation.at(timed.times.values))
    how = (
        "are the same at all times"
        if np.isinf(relaxation.rate)
        else f"relax at rate {relaxation.rate:.3g} per {singular(timed.times.unit)} from {relaxation.onset:.3g}{in_unit} on"
    )
    lines = [f"Sampled at {', '.join(names)}: responses {how} (part of the response at the last time: {level})."]
    for left_out, words, shown in (
        (PERTURBATION, "Perturbations left out", (NETWORK, OTHERS, NONE)),
        (TIME, "Times predicted from the times before them", (RELAXED, BEFORE, NONE)),
    ):
        part = table[table["left_out"] == left_out]
        if part.empty:
            continue
        errors = part.pivot(index="time", columns="predictor", values="error")
        each = "; ".join(
            f"{time:g}{in_unit}: " + ", ".join(f"{errors.loc[time, name]:.3g}" for name in shown)
            for time in errors.index
        )
        best = best_at_times(table, left_out)
        lines.append(
            f"{words}, mean squared error at each time ({' / '.join(shown)}): {each}. Least in the mean: {best}."
        )
    return lines
