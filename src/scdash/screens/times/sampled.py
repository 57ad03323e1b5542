"""Times at which the cells of a screen were sampled: read from `obs`, checked, and crossed with batches or guides."""

from dataclasses import dataclass, replace

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data import obs_column, parse_time
from scdash._data.screen import Screen
from scdash.screens.batches import LEAST_CONTROL, Groups, with_replicates
from scdash.screens.statistics import Floats

SHOWN = 5


@dataclass(frozen=True)
class SampledTimes:
    """The times of the cells of a screen."""

    key: str  # column of obs
    unit: str | None  # None: that of the column, which is not known
    values: Floats  # (times,), increasing
    cells: NDArray[np.int64]  # (cells,), number of the time; -1: no time

    @property
    def names(self) -> tuple[str, ...]:
        """The times in words."""
        return tuple(f"{value:g}" + (f" {self.unit}" if self.unit else "") for value in self.values)

    def groups(self, others: Groups | None) -> Groups:
        """Return the groups of cells of one time and one of the `others`; without any of these those of a time.

        Cells that are in none of the others are a group of their own at every time.
        """
        if others is None:
            return self.cells, self.names
        codes, names = others
        every = (*names, "none")
        both = np.where(self.cells < 0, -1, self.cells * len(every) + np.where(codes < 0, len(names), codes))
        return both, tuple(f"{time}, {name}" for time in self.names for name in every)


def read_sampled_times(adata: AnnData, key: str | None) -> SampledTimes | None:
    """Return the times in `adata.obs[key]`, None without a key.

    Raises KeyError, TypeError if there is no such column, or its entries cannot be read as times.
    """
    if key is None:
        return None
    read = parse_time(obs_column(adata, key, "time_key"), f"time_key: adata.obs[{key!r}]")
    known = np.isfinite(read.values)
    values, place = np.unique(read.values[known], return_inverse=True)
    cells = np.full(len(known), -1, dtype=np.int64)
    cells[known] = np.ravel(place)
    return SampledTimes(key, read.unit, values, cells)


def check_times(times: SampledTimes, screen: Screen, *, needs_control: bool) -> SampledTimes:
    """Return the times that the cells of a screen have.

    Raises ValueError if there is one time only, or one at which fewer than `LEAST_CONTROL` cells are controls.
    """
    used = screen.cells >= 0
    present = np.bincount(times.cells[used], minlength=len(times.values)) > 0
    number = np.append(np.where(present, np.cumsum(present) - 1, -1), -1)
    kept = replace(times, values=times.values[present], cells=number[times.cells])
    if len(kept.values) < 2:
        raise ValueError(
            f"time_key={times.key!r}: all cells of the screen have one time ({', '.join(kept.names) or 'none'}), so that there "
            "is no response over time. Leave time_key out, or check the column."
        )
    count = cells_at(kept, screen)
    if needs_control and (count[0] < LEAST_CONTROL).any():
        few = np.flatnonzero(count[0] < LEAST_CONTROL)
        shown = ", ".join(f"{kept.names[i]} ({count[0, i]} control cells)" for i in few[:SHOWN])
        raise ValueError(
            f"time_key={times.key!r}: {len(few)} of {len(kept.values)} times have fewer than {LEAST_CONTROL} control cells, "
            f"from which the changes at a time are measured: {shown}. Leave out the cells of these times, or name a column "
            "of few sampled times; a pseudotime is none."
        )
    _warn_of_gaps(kept, screen, count)
    return kept


def _warn_of_gaps(times: SampledTimes, screen: Screen, count: NDArray[np.int64]) -> None:
    """Warn of perturbations without a cell at some time."""
    missing = (count == 0) & (count.sum(axis=1) > 0)[:, None]
    gaps = np.flatnonzero(missing.any(axis=1))
    if len(gaps):
        shown = "; ".join(
            f"{screen.names[r]} at {', '.join(np.asarray(times.names)[missing[r]])}" for r in gaps[:SHOWN]
        )
        logger.warning(
            "    WARNING: time_key=%r: %d of %d perturbations were not sampled at every time, and count at the others alone: %s",
            times.key,
            len(gaps),
            screen.n_perturbations - 1,
            shown + ("; ..." if len(gaps) > SHOWN else ""),
        )


def with_timed_replicates(screen: Screen, times: SampledTimes, others: Groups | None) -> Screen:
    """Return the screen with the cells of a perturbation, a time and one of `others` (guides, batches) as replicates."""
    found = with_replicates(screen, times.groups(others), None)
    if found.replicates is None and others is not None:
        found = with_replicates(screen, times.groups(None), None)
    if found.replicates is None:
        raise ValueError(
            f"time_key={times.key!r}: the changes of {screen.n_perturbations - 1} perturbations at {len(times.values)} times are too "
            "many to be kept apart; choose fewer genes with mask_var."
        )
    return found


def cells_at(times: SampledTimes, screen: Screen) -> NDArray[np.int64]:
    """Return the number of cells (perturbations, times)."""
    found = np.zeros((screen.n_perturbations, len(times.values)), dtype=np.int64)
    used = (screen.cells >= 0) & (times.cells >= 0)
    np.add.at(found, (screen.cells[used], times.cells[used]), 1)
    return found
