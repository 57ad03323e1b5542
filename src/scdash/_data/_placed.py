"""Trajectories of cells that take part, and cells dealt to disjoint parts of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data._bins import range_align, rank_align
from scdash._data._groups import group_cells
from scdash._data._time import read_time
from scdash._errors import unknown


def positions_in_groups(
    time: Any, code: NDArray[np.int64], align: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of each cell in [0, 1] and its time; both 0 for cells that take no part."""
    if align not in ("rank", "range", "none"):
        raise unknown("align", align, ("rank", "range", "none"))
    inside = code >= 0
    seconds = np.zeros(len(code))
    seconds[inside] = read_time(np.asarray(time)[inside], "time").values
    position = np.zeros(len(code))
    if align == "rank":
        position[inside] = rank_align(seconds[inside], code[inside])
    else:
        position[inside] = range_align(seconds[inside], code[inside] if align == "range" else None)
    return position, seconds


@dataclass(frozen=True)
class Placed:
    """Where every cell lies: its trajectory, and its place in it."""

    code: NDArray[np.int64]  # (cells,), number of the trajectory, without gaps; -1: the cell takes no part
    position: NDArray[np.float64]  # (cells,), rank in the trajectory, in (0, 1)
    groups: list[NDArray[np.int64]]  # cells of every trajectory

    @classmethod
    def of(cls, time: Any, lineage: Any, batch: Any, leave_out: NDArray[np.bool_] | None) -> "Placed":
        """Place the cells of every lineage and batch by the ranks of their times."""
        code = group_cells(len(time), lineage, batch).code
        if leave_out is not None:
            code = np.where(leave_out, -1, code)
        present = np.unique(code[code >= 0])
        code = np.where(code >= 0, np.searchsorted(present, code), -1)
        groups = [np.flatnonzero(code == g) for g in range(len(present))]
        return cls(code, positions_in_groups(time, code, "rank")[0], groups)

    def shuffled(self, rng: np.random.Generator) -> "Placed":
        """Return the same cells with their places permuted within each trajectory."""
        position = self.position.copy()
        for own in self.groups:
            position[own] = self.position[rng.permutation(own)]
        return Placed(self.code, position, self.groups)

    def deal(self, parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the part of every cell, (cells,): neighbours in time go to different parts. -1: the cell takes no part."""
        part = np.full(len(self.code), -1)
        for own in self.groups:
            order = own[np.argsort(self.position[own], kind="stable")]
            hands = rng.permuted(np.tile(np.arange(parts), (-(-len(own) // parts), 1)), axis=1)
            part[order] = hands.ravel()[: len(own)]
        return part
