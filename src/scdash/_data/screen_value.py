"""A perturbation screen as a value: which cell belongs to which perturbation, and what each does to which gene."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_choice

# What a perturbation does to its targets; the effect on production and decay is in `fields.perturbode`.
KINDS = ("shift", "overexpression", "knockout", "knockdown")


@dataclass(frozen=True)
class Screen:
    """Perturbations of a screen over `genes`; the control is number 0 and has no targets.

    `unmeasured` names, for every perturbation, those of its targets that are no genes of the data; empty where there are
    none. Such a perturbation is `hidden`: what acts on the genes there is not among them. `replicates` numbers groups of
    cells that were perturbed independently of one another, such as those with the same guide or from the same batch; each
    belongs to one perturbation.
    """

    names: tuple[str, ...]  # (perturbations,), the control first
    targets: NDArray[np.bool_]  # (perturbations, genes)
    kinds: tuple[str, ...]  # (perturbations,), one of KINDS; meaningless for the control
    cells: NDArray[np.int64]  # (cells,), perturbation of each cell, -1 where the cell is left out
    genes: pd.Index
    unmeasured: tuple[tuple[str, ...], ...] = ()  # (perturbations,), or () where all targets are genes of the data
    replicates: NDArray[np.int64] | None = None  # (cells,), replicate of each cell, -1 for none; None: not known

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.genes))
        if self.targets.shape != shape or len(self.kinds) != shape[0]:
            raise ValueError(f"Screen: targets {self.targets.shape} and kinds {len(self.kinds)} do not fit {shape}.")
        if self.targets[0].any():
            raise ValueError("Screen: perturbation 0 is the control and has no targets.")
        if self.unmeasured and len(self.unmeasured) != shape[0]:
            raise ValueError(
                f"Screen: {len(self.unmeasured)} lists of unmeasured targets for {shape[0]} perturbations."
            )

    @property
    def n_perturbations(self) -> int:
        """Number of perturbations, the control included."""
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each perturbation."""
        return np.bincount(self.cells[self.cells >= 0], minlength=self.n_perturbations)

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """(perturbations,), whether a target of the perturbation is not measured."""
        if not self.unmeasured:
            return np.zeros(self.n_perturbations, bool)
        return np.array([bool(names) for names in self.unmeasured])

    @property
    def replicate_perturbations(self) -> NDArray[np.int64]:
        """(replicates,), the perturbation that each replicate belongs to; empty where replicates are not known."""
        if self.replicates is None:
            return np.zeros(0, np.int64)
        found = np.zeros(int(self.replicates.max(initial=-1)) + 1, np.int64)
        known = self.replicates >= 0
        found[self.replicates[known]] = self.cells[known]
        return found

    def index(self, name: str) -> int:
        """Return the number of the perturbation called `name`."""
        check_choice("perturbation", name, self.names)
        return self.names.index(name)

    def keep(self, perturbations: NDArray[np.bool_]) -> Self:
        """Return the screen of some perturbations (mask; the control always stays); other cells become -1."""
        kept = np.asarray(perturbations, bool).copy()
        kept[0] = True
        new = np.where(kept, np.cumsum(kept) - 1, -1)
        chosen = np.flatnonzero(kept)
        cells = np.where(self.cells >= 0, new[self.cells], -1)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            targets=self.targets[chosen],
            kinds=tuple(self.kinds[i] for i in chosen),
            cells=cells,
            unmeasured=tuple(self.unmeasured[i] for i in chosen) if self.unmeasured else (),
            replicates=None if self.replicates is None else number_replicates(cells, self.replicates),
        )

    def with_replicates(self, groups: NDArray[np.int64]) -> Self:
        """Return the screen with the cells of every perturbation divided by `groups` (cells,), -1 for no group."""
        return replace(self, replicates=number_replicates(self.cells, groups))


def number_replicates(cells: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for every pair of a perturbation and a group that has cells, ordered by perturbation; -1 for none."""
    known = (cells >= 0) & (groups >= 0)
    found = np.full(len(cells), -1)
    pairs = cells[known].astype(np.int64) * (int(groups.max(initial=0)) + 1) + groups[known]
    found[known] = np.ravel(np.unique(pairs, return_inverse=True)[1])
    return found
