"""What is known before a fit of dynamics, on arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import CellHalves, CellVelocity, HalfOfCells, LeftOutTimes, RelatedCells, TimeSeries


@dataclass(frozen=True)
class Units:
    """From the series' units back to those of the data: x = minimum + range * scaled, each (genes,)."""

    minimum: NDArray[np.floating[Any]]
    range: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class VelocityOfCells:
    """Measured velocities of cells, and where every cell belongs."""

    cells: CellVelocity
    usable: NDArray[np.bool_]  # (cells,), of a trajectory, and not for test
    inside: NDArray[np.bool_]  # (cells, trajectories of the series)
    times: NDArray[np.floating[Any]]  # (cells,), in the unit of the series
    other_halves: tuple[NDArray[np.bool_], ...] = ()  # (cells,) each: those that `learning_halves` are evaluated by
    seed: int = 0


@dataclass(frozen=True)
class FitProblem:
    """Trajectories and what is believed about the network; matrices are (target, regulator), like D in the papers."""

    series: TimeSeries
    prior: sp.csr_matrix | None = None  # signed
    coregulation: sp.csr_matrix | None = None  # (regulator, regulator), symmetric, non-negative
    regulators: NDArray[np.int64] | None = None  # genes that may regulate; None: all
    lineage: NDArray[np.intp] | None = None  # (names,), code of the lineage of every trajectory; None: one for all
    lineage_names: tuple[str, ...] = ()  # of the codes; empty: a lineage has the name of its first trajectory
    halves: CellHalves | None = None  # cells only: bins of disjoint halves
    shuffled_halves: CellHalves | None = None  # the same with times shuffled within trajectories
    learning_halves: tuple[HalfOfCells, ...] = ()  # cells only, where a lineage has a single trajectory
    kernel_means: NDArray[np.floating[Any]] | None = None  # cells only: (trajectories, bins, genes), units of the data
    alignment: pd.DataFrame | None = None  # cells only, of the batches of every lineage: see `BatchAlignment`
    related: tuple[RelatedCells, ...] = ()  # cells at sampled times only: groups of related cells, to learn from
    left_out_times: tuple[LeftOutTimes, ...] = ()  # the same: which times are left out in turn, to choose by
    velocity: VelocityOfCells | None = None  # cells only
    units: Units | None = None  # of the series' states; None: those of the data

    @property
    def lineage_labels(self) -> list[str]:
        """The name of the lineage of every trajectory, (names,)."""
        names = self.series.originals().names
        if self.lineage is None:
            return ["all"] * len(names)
        first = {code: names[int(np.argmax(self.lineage == code))] for code in np.unique(self.lineage)}
        return [self.lineage_names[code] if self.lineage_names else first[code] for code in self.lineage]

    @property
    def n_genes(self) -> int:
        """Number of modelled genes."""
        return int(self.series.states.shape[1])
