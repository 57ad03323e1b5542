r"""Batches of one lineage on one time axis: their ranks in pseudotime are aligned by expression.

Pseudotime orders the cells of a batch. The rank of a cell in its batch also depends on how many cells of every stage the
sample holds: a batch with many stem cells seems to stand still at first, and to hurry later. The batches are therefore
aligned by dynamic time warping (Sakoe and Chiba 1978), as Alpert et al. 2018 align trajectories of cells. The stages s of
a batch, kernel means :math:`\bar x_s` of its cells along their ranks, are put to places :math:`p_s` of a common time axis, which
increase with s and minimise

.. math:: \sum_s \lVert \bar x_s - m(p_s) \rVert^2 / G + \kappa V \sum_s \log^2 ((p_{s+1} - p_s) / \Delta),

where m is the mean of the other batches at their own places, G the number of genes, V the mean variance of a gene over
stages, and :math:`\Delta` the distance of two stages in ranks. Batches are placed in turn, several times. The common axis
is the mean rank: the mean over batches of the rank that lies at a place is that place. Batches whose times are the same at
equal ranks are left as they are. Whether others are, too, and the stiffness :math:`\kappa`, are chosen by genes that took no part: the batches are aligned by one half of the
genes, and the mean of the other batches is compared with every batch in the other half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.decisions import Difference
from scdash._core.errors import unused
from scdash._core.logging import logger
from scdash._data.expression_matrix import Expression
from scdash._data.interval_means import interval_sums, kernel_means_of_intervals
from scdash._data.time_series.bins import bin_grid
from scdash._data.time_series.placed import Placed
from scdash._data.time_series.smoothed_trajectory import KERNEL_WIDTH

AlignBatches = Literal["auto", "expression"]
INTERVALS = 100  # of ranks, in which cells are summed
STAGES = 20  # of a batch, which are placed
FINER = 4  # places of the common axis for every stage
STEEPEST = 6  # times as many places between two stages as there are on average
COMMON = 0.05  # of the variance of time, that between batches at equal ranks, up to which their time is a common one
STIFFNESS = (1.0, 0.3, 0.1)
ROUNDS = 6  # in which every batch is placed once
PLACES = bin_grid(STAGES * FINER)  # of the common axis


def by_expression(align: str) -> TypeGuard[AlignBatches]:
    """Return whether an alignment of batches is asked for."""
    return align in get_args(AlignBatches)


@dataclass(frozen=True)
class Clock:
    """Places on the common time axis of the ranks of one batch: increasing, from (0, 0) to (1, 1), linear in between."""

    ranks: NDArray[np.float64]  # (knots,)
    places: NDArray[np.float64]  # (knots,)

    def places_of(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place of every rank."""
        return np.interp(ranks, self.ranks, self.places)

    def ranks_at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rank that lies at every place."""
        return np.interp(places, self.places, self.ranks)


SAME = Clock(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


@dataclass(frozen=True)
class BatchSums:
    """Cells of batches of one lineage, summed in intervals of their ranks."""

    sums: NDArray[np.float64]  # (batches, intervals, genes)
    cells: NDArray[np.float64]  # (batches, intervals)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.cells)

    def of_genes(self, genes: NDArray[np.int64]) -> "BatchSums":
        """Return the same with some genes."""
        return BatchSums(self.sums[:, :, genes], self.cells)

    def of_batches(self, batches: NDArray[np.int64]) -> "BatchSums":
        """Return the same with some batches."""
        return BatchSums(self.sums[batches], self.cells[batches])

    def stages(self) -> list[NDArray[np.float64]]:
        """Return the means of the stages of every batch, at equal ranks, (stages, genes) each."""
        return [self.means(batch, SAME, bin_grid(STAGES)) for batch in range(len(self))]

    def means(self, batch: int, clock: Clock, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kernel means of a batch at places of the common axis, (centres, genes)."""
        places = clock.places_of(bin_grid(self.cells.shape[1]))
        return kernel_means_of_intervals(self.sums[batch], self.cells[batch], places, centres, KERNEL_WIDTH)


@dataclass(frozen=True)
class BatchAlignment:
    """Cells with their places on the time axis of their lineage."""

    position: NDArray[np.float64]  # (cells,)
    table: pd.DataFrame  # a row for every lineage; see `COLUMNS`


COLUMNS = ("lineage", "batches", "stiffness", "error_of_ranks", "error", "aligned")


def align_batches(
    values: Expression,  # log expression, (cells, genes); read in blocks, once
    placed: Placed,  # the trajectory (lineage and batch) of every cell, and its rank in it
    lineage: Sequence[str],  # the lineage of every trajectory
    learned: NDArray[np.bool_],
    time: NDArray[np.float64],  # of every cell, (cells,), in the user's unit
    rng: np.random.Generator,  # deals genes to halves
    align: AlignBatches = "auto",
) -> BatchAlignment:
    """Return the places of cells on the common time axis of the batches of their lineage.

    `learned`: which trajectories others are aligned to, (trajectories,); the others, for test, are placed when these
    have been. `align`: "auto": batches of a lineage keep their ranks unless their times at equal ranks differ, and
    genes that took no part clearly agree better when aligned; "expression": they are aligned with the stiffness that
    is best for such genes.
    """
    of = np.asarray(lineage, dtype=object)
    several = [name for name in dict.fromkeys(lineage) if (learned & (of == name)).sum() > 1]
    if align == "auto":
        several = [
            name for name in several if not has_common_time(placed, time, np.flatnonzero((of == name) & learned))
        ]
    if align == "expression" and (not several or values.shape[1] < 2):
        raise unused(
            "align='expression'", "it needs a lineage with at least two batches that are not for test, and two genes"
        )
    if not several or values.shape[1] < 2:
        return BatchAlignment(placed.position, no_alignment())
    sums, cells = (found[:, 0] for found in interval_sums(values, placed, INTERVALS))
    everything, position, rows = BatchSums(sums, cells), placed.position.copy(), []
    halves = _halves_of_genes(values.shape[1], rng)
    for name in several:
        kept, others = np.flatnonzero((of == name) & learned), np.flatnonzero((of == name) & ~learned)
        row = _choose(everything.of_batches(kept), halves, align)
        rows.append({"lineage": name, "batches": len(kept)} | row)
        _log(rows[-1])
        if not row["aligned"]:
            continue
        clocks = aligned_clocks(everything.of_batches(kept), float(row["stiffness"]))
        found = {int(k): clock for k, clock in zip(kept, clocks, strict=True)}
        found |= {int(k): _clock_of_another(everything, int(k), found, float(row["stiffness"])) for k in others}
        for batch, clock in found.items():
            cells_of = placed.groups[batch]
            position[cells_of] = clock.places_of(placed.position[cells_of])
    return BatchAlignment(position, pd.DataFrame(rows, columns=list(COLUMNS)))


def has_common_time(placed: Placed, time: NDArray[np.float64], batches: NDArray[np.int64]) -> bool:
    """Return whether the times of some batches are nearly the same at equal ranks, as where time was measured.

    Ranks and times then say the same, and what differs between batches at one time is their own: no error of their clocks.
    """
    found = []
    for batch in batches:
        own = placed.groups[batch]
        order = np.argsort(placed.position[own], kind="stable")
        found.append(np.interp(bin_grid(STAGES), placed.position[own][order], time[own][order]))
    times = np.stack(found)
    return bool(((times - times.mean(axis=0)) ** 2).mean() <= COMMON * times.var())


def no_alignment() -> pd.DataFrame:
    """Return the table where no lineage has several batches to align."""
    kinds: dict[str, str] = {"lineage": "str", "batches": "int64", "stiffness": "float64"}
    kinds |= {"error_of_ranks": "float64", "error": "float64", "aligned": "bool"}
    return pd.DataFrame({name: pd.Series(dtype=kinds[name]) for name in COLUMNS})


def aligned_clocks(batches: BatchSums, stiffness: float) -> list[Clock]:
    """Return the clock of every batch on their common time axis."""
    number, clocks, stages = len(batches), [SAME] * len(batches), batches.stages()
    penalty = stiffness * _variance(stages)
    means = np.stack([batches.means(k, SAME, PLACES) for k in range(number)])
    for _ in range(ROUNDS):
        for batch in range(number):  # in turn: two batches that were moved at once would change places for ever
            others = (means.sum(axis=0) - means[batch]) / (number - 1)
            clocks[batch] = warp(stages[batch], others, penalty)
            means[batch] = batches.means(batch, clocks[batch], PLACES)
        clocks = _on_mean_ranks(clocks)
        means = np.stack([batches.means(k, clock, PLACES) for k, clock in enumerate(clocks)])
    return clocks


def warp(stages: NDArray[np.float64], reference: NDArray[np.float64], penalty: float) -> Clock:
    """Return the clock that puts the stages of a batch nearest to a reference, by dynamic programming.

    `stages`: means of the batch at equal ranks, (stages, genes). `reference`: means of others at equal places,
    (places, genes), several for every stage. `penalty`: of a squared logarithm of a step between two stages, relative
    to the average step.
    """
    n_stages, n_places = len(stages), len(reference)
    average = n_places / n_stages
    distance = _squared_distances(stages, reference)
    steps = np.arange(1, round(STEEPEST * average) + 1)
    cost = penalty * np.log(steps / average) ** 2
    ends = round(1.5 * average)  # places in which the first stage may lie, and the last
    total = np.full(n_places, np.inf)
    total[:ends] = distance[0, :ends]
    before = np.zeros((n_stages, n_places), dtype=np.int64)
    for stage in range(1, n_stages):
        earlier = np.arange(n_places)[:, None] - steps[None]
        sums = np.where(earlier >= 0, total[np.maximum(earlier, 0)] + cost, np.inf)
        best = sums.argmin(axis=1)
        before[stage] = np.take_along_axis(earlier, best[:, None], axis=1)[:, 0]
        total = np.take_along_axis(sums, best[:, None], axis=1)[:, 0] + distance[stage]
    path = [n_places - ends + int(total[-ends:].argmin())]
    for stage in range(n_stages - 1, 0, -1):
        path.append(int(before[stage, path[-1]]))
    places = (np.array(path[::-1]) + 0.5) / n_places
    return Clock(np.concatenate([[0.0], bin_grid(n_stages), [1.0]]), np.concatenate([[0.0], places, [1.0]]))


def errors_of_others(batches: BatchSums, clocks: Sequence[Clock]) -> NDArray[np.float64]:
    """Return the squared error of the mean of the other batches, relative to their mean over time, (batches,)."""
    centres = bin_grid(STAGES)
    means = np.stack([batches.means(k, clock, centres) for k, clock in enumerate(clocks)])
    errors = []
    for k, own in enumerate(means):
        others = np.delete(means, k, axis=0).mean(axis=0)
        errors.append(((own - others) ** 2).mean() / ((own - others.mean(axis=0)) ** 2).mean())
    return np.array(errors)


def _choose(
    batches: BatchSums, halves: tuple[NDArray[np.int64], NDArray[np.int64]], align: AlignBatches
) -> dict[str, float | bool]:
    """Return the row of `BatchAlignment.table` that genes which took no part choose."""
    tried = {stiffness: np.zeros(len(batches)) for stiffness in STIFFNESS}
    ranks = np.zeros(len(batches))
    for own, other in (halves, halves[::-1]):
        unseen = batches.of_genes(other)
        ranks += errors_of_others(unseen, [SAME] * len(batches)) / 2
        for stiffness in STIFFNESS:
            tried[stiffness] += errors_of_others(unseen, aligned_clocks(batches.of_genes(own), stiffness)) / 2
    best = min(STIFFNESS, key=lambda stiffness: float(tried[stiffness].mean()))
    clear = Difference.of(ranks - tried[best]).clearly_positive
    return {
        "stiffness": best,
        "error_of_ranks": float(ranks.mean()),
        "error": float(tried[best].mean()),
        "aligned": align == "expression" or clear,
    }


def _halves_of_genes(genes: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = rng.permutation(genes)
    return np.sort(order[::2]), np.sort(order[1::2])


def _clock_of_another(everything: BatchSums, batch: int, known: dict[int, Clock], stiffness: float) -> Clock:
    """Return the clock of a batch that the others were not aligned to."""
    reference = np.mean([everything.means(k, clock, PLACES) for k, clock in known.items()], axis=0)
    penalty = stiffness * _variance(everything.of_batches(np.array(list(known))).stages())
    return warp(everything.means(batch, SAME, bin_grid(STAGES)), reference, penalty)


def _variance(stages: Sequence[NDArray[np.float64]]) -> float:
    """Return the mean over batches and genes of the variance over stages."""
    return float(np.mean([one.var(axis=0).mean() for one in stages]))


def _on_mean_ranks(clocks: Sequence[Clock]) -> list[Clock]:
    """Return clocks on an axis on which the mean rank at every place is that place."""
    axis = np.linspace(0, 1, INTERVALS + 1)
    mean_rank = np.mean([clock.ranks_at(axis) for clock in clocks], axis=0)
    return [Clock(clock.ranks, np.interp(clock.places, axis, mean_rank)) for clock in clocks]


def _squared_distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean squared differences over genes, (rows of one, rows of other)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.asarray(np.maximum(squares, 0) / one.shape[1])


def _log(row: dict[str, object]) -> None:
    """Say whether the batches of a lineage were aligned, and by how much unseen genes agree better."""
    of = "" if row["lineage"] == "all" else f" of {row['lineage']!r}"
    unseen = f"error of the mean of the other batches in genes that took no part {row['error']:.2f}, with ranks "
    if row["aligned"]:
        logger.info("    batches%s are aligned in time by expression: %s%.2f", of, unseen, row["error_of_ranks"])
    else:
        logger.debug("    batches%s keep their ranks in pseudotime: %s%.2f", of, unseen, row["error_of_ranks"])
