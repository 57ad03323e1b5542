"""The changes of every perturbation at every sampled time, and the response that all times of a perturbation say together."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash.screens.statistics import Floats, PerturbationStatistics, replicate_units
from scdash.screens.times.relaxation import Relaxation, fit_relaxation, informed, products_of, strength
from scdash.screens.times.sampled import SampledTimes

FEWEST_FOR_MEAN = 4  # perturbations from which their mean at a time is told from a response of their own


@dataclass(frozen=True)
class TimedResponses:
    """Changes from the control cells of the same time; NaN where a perturbation has no cells at a time."""

    times: SampledTimes
    change: Floats  # (perturbations, times, genes)
    counts: NDArray[np.int64]  # (perturbations, times), cells; of the control as well
    control: Floats  # (times, genes), mean state of the control cells
    noise: Floats  # (genes,), SD of a cell
    free: NDArray[np.bool_]  # (perturbations, genes), no targets of the perturbation
    relaxation: Relaxation

    def until(self, number: int) -> "TimedResponses":
        """Return what is known of the first `number` times alone, with a relaxation chosen from them."""
        first = replace(
            self,
            times=replace(self.times, values=self.times.values[:number]),
            change=self.change[:, :number],
            counts=self.counts[:, :number],
            control=self.control[:number],
        )
        return first.with_relaxation()

    def with_relaxation(self) -> "TimedResponses":
        """Return the same with the relaxation that is most likely."""
        products, genes = products_of(self._in_noise(self.deviations()), self._evaluated())
        counts = self.counts[1:].astype(float)
        found = fit_relaxation(self.times.values, products[1:], counts, genes[1:])
        return replace(self, relaxation=found)

    def mean_of(self, used: NDArray[np.bool_]) -> Floats:
        """Return the mean change (times, genes) of the `used` perturbations (mask) that leave the gene alone; 0 for none."""
        rows = np.flatnonzero(used[1:]) + 1
        known = self.free[rows][:, None, :] & (self.counts[rows] > 0)[:, :, None]
        total = np.where(known, np.nan_to_num(self.change[rows]), 0.0).sum(axis=0)
        return np.asarray(total / np.maximum(known.sum(axis=0), 1))

    def common(self) -> Floats:
        """Return the mean change (times, genes) of all perturbations, 0 where there are too few to tell it from their own."""
        every = np.ones(len(self.change), bool)
        every[0] = False
        return self.mean_of(every) if len(self.change) > FEWEST_FOR_MEAN else np.zeros(self.change.shape[1:])

    def deviations(self) -> Floats:
        """Return the changes beside the mean of all perturbations at the same time."""
        return np.asarray(self.change - self.common())

    def responses(self) -> Floats:
        """Return the deviations (perturbations, genes) at the last time that all times say together, shrunk by their noise.

        The mean of the posterior: the weighted least squares over times, times tau A / (1 + tau A), with A the information
        and tau as in `fit_relaxation`.
        """
        level, counts = self.relaxation.at(self.times.values), self.counts.astype(float)
        return self._posterior(self.deviations(), level, counts, self._evaluated())

    def common_response(self) -> Floats:
        """Return the response (genes,) of the mean of all perturbations at the last time, see `common`."""
        return self.response_of_mean(self.common())

    def response_of_mean(self, mean: Floats) -> Floats:
        """Return the response (genes,) at the last time that a mean change (times, genes) says, shrunk by its noise.

        Most of that noise is that of the control cells, which all perturbations are compared with.
        """
        counts = self.counts[1:].astype(float)
        known = counts > 0
        inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=known).sum(axis=0)
        variance = inverse / np.maximum(known.sum(axis=0), 1) ** 2
        variance += np.divide(1.0, self.counts[0], out=np.zeros(len(variance)), where=self.counts[0] > 0)
        rows = np.where(known.any(axis=0), 1 / np.maximum(variance, 1e-300), 0.0)
        level, evaluated = self.relaxation.at(self.times.values), (self.noise > 0)[None]
        return np.asarray(self._posterior(mean[None], level, rows[None], evaluated)[0])

    def pooled(self) -> tuple[Floats, Floats]:
        """Return the least squares (perturbations, genes) of the changes over times, and the cells they are worth.

        Targets are at their level at once, so that their mean over all cells is taken.
        """
        level, counts = self.relaxation.at(self.times.values), self.counts.astype(float)
        change = np.nan_to_num(self.change)
        weights = counts * level
        information = (weights * level).sum(axis=1)
        relaxed = np.einsum("pt,ptg->pg", weights, change) / np.maximum(information, 1e-300)[:, None]
        plain = np.einsum("pt,ptg->pg", counts, change) / np.maximum(counts.sum(axis=1), 1)[:, None]
        return np.where(self.free, relaxed, plain), information

    def _evaluated(self) -> NDArray[np.bool_]:
        return np.asarray(self.free & (self.noise > 0))

    def _in_noise(self, changes: Floats) -> Floats:
        return np.asarray(changes / np.where(self.noise > 0, self.noise, 1.0))

    def _posterior(self, changes: Floats, level: Floats, counts: Floats, evaluated: NDArray[np.bool_]) -> Floats:
        products, genes = products_of(self._in_noise(changes), evaluated)
        information, square = informed(level, products, counts)
        weight = strength(information, square, genes)
        part = weight / (1 + weight * information)
        score = np.einsum("pt,ptg->pg", counts * level, np.nan_to_num(changes))
        return np.asarray(part[:, None] * score)


def changes_at_times(stats: PerturbationStatistics, times: SampledTimes) -> tuple[Floats, NDArray[np.int64]]:
    """Return the mean changes (perturbations, times, genes), NaN for none, and their cells (perturbations, times)."""
    screen, replicates = stats.screen, stats.replicates
    unit_of, _ = replicate_units(screen)
    time_of = np.zeros(len(replicates.perturbation), dtype=np.int64)
    used = (screen.cells >= 0) & (unit_of >= 0)
    time_of[unit_of[used]] = times.cells[used]
    shape = (screen.n_perturbations, len(times.values))
    counts, total = np.zeros(shape, dtype=np.int64), np.zeros((*shape, len(stats.centre)))
    place = (replicates.perturbation, time_of)
    np.add.at(counts, place, replicates.counts)
    np.add.at(total, place, replicates.y * replicates.counts[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts[:, :, None] > 0, total / counts[:, :, None], np.nan), counts


def over_times(stats: PerturbationStatistics, times: SampledTimes, control: Floats) -> PerturbationStatistics:
    """Return the statistics with one response of each perturbation, that at the last time, and the changes at all times.

    Cells of a perturbation at a time are replicates of `stats.screen`. Where responses are the same at all times
    nothing else changes: the screen is then that of all cells together.
    """
    change, counts = changes_at_times(stats, times)
    found = TimedResponses(
        times=times,
        change=change,
        counts=counts,
        control=control,
        noise=stats.noise_sd,
        free=stats.free,
        relaxation=Relaxation(np.inf, float(times.values[0]), float(times.values[-1])),
    ).with_relaxation()
    return pooled_statistics(stats, found)


def pooled_statistics(stats: PerturbationStatistics, found: TimedResponses) -> PerturbationStatistics:
    """Return the statistics with the responses that all times say together."""
    if np.isinf(found.relaxation.rate):
        return replace(stats, timed=found)
    y, information = found.pooled()
    return replace(stats, y=y, f=stats.activation(y[:, stats.sources]), worth=information, timed=found)


def again_over_times(stats: PerturbationStatistics, before: PerturbationStatistics) -> PerturbationStatistics:
    """Return statistics of cells drawn again as `over_times` does, with the relaxation that was found `before`."""
    if before.timed is None:
        return stats
    change, counts = changes_at_times(stats, before.timed.times)
    return pooled_statistics(stats, replace(before.timed, change=change, counts=counts))


def control_at_times(values: Any, screen: Any, times: SampledTimes) -> Floats:
    """Return the mean state of the control cells at each time, (times, genes), as measured; 0 without control cells."""
    measured = replace(values, offsets=None)
    found = np.zeros((len(times.values), len(values.genes)))
    for number in range(len(times.values)):
        rows = np.flatnonzero((screen.cells == 0) & (times.cells == number))
        for first in range(0, len(rows), 4096):
            found[number] += measured.dense_rows(rows[first : first + 4096]).astype(np.float64).sum(axis=0)
        found[number] /= max(len(rows), 1)
    return found
