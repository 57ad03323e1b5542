"""What all methods read: standardised cells, their perturbations, and the genes that each perturbation targets."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """A screen as tensors in single precision."""

    x: Tensor  # (cells, genes), mean 0 and SD 1 over all cells
    free: Tensor  # (cells, genes), 1 where the gene is not a target in that cell, 0 where it is
    perturbation: NDArray[np.int64]  # (cells,)

    @classmethod
    def of(cls, x: ArrayLike, perturbation: ArrayLike, targets: ArrayLike) -> Self:
        """Check and standardise; a gene that never varies stays 0."""
        cells, number, aimed = checked(x, perturbation, targets)
        sd = cells.std(axis=0)
        scaled = (cells - cells.mean(axis=0)) / np.where(sd > 0, sd, 1)
        free = torch.tensor(~aimed[number], dtype=torch.float32)
        return cls(torch.tensor(scaled, dtype=torch.float32), free, number)

    @property
    def perturbed(self) -> NDArray[np.int64]:
        """The numbers of the perturbations that have a target; control has none."""
        return np.unique(self.perturbation[(self.free == 0).any(1).numpy()])

    def split(self, left_out: NDArray[np.int64]) -> tuple[Self, Self]:
        """Return the cells of all other perturbations, and those of the ones left out; both keep the scale."""
        aside = np.isin(self.perturbation, left_out)
        parts = [type(self)(self.x[rows], self.free[rows], self.perturbation[rows]) for rows in (~aside, aside)]
        return parts[0], parts[1]

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return `n` random cells and where their genes are free."""
        rows = torch.randint(len(self.x), (n,), generator=generator)
        return self.x[rows], self.free[rows]


def checked(
    x: ArrayLike, perturbation: ArrayLike, targets: ArrayLike
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Return the arrays with their types, or raise if they do not fit together."""
    cells = np.asarray(x, dtype=np.float64)
    number, aimed = np.asarray(perturbation, dtype=np.int64), np.asarray(targets, dtype=bool)
    if cells.ndim != 2 or number.shape != cells.shape[:1] or aimed.ndim != 2 or aimed.shape[1] != cells.shape[1]:
        raise ValueError(
            "x must be (cells, genes), perturbation (cells,) and targets (perturbations, genes); found shapes "
            f"{cells.shape}, {number.shape} and {aimed.shape}."
        )
    if len(number) and not (number.min() >= 0 and number.max() < len(aimed)):
        raise ValueError(f"perturbation numbers the rows of targets, 0 to {len(aimed) - 1}; found {number.max()}.")
    if not np.isfinite(cells).all():
        raise ValueError("x holds values that are not finite.")
    return cells, number, aimed
