"""Cells of a screen as transport sees them: training and validation rows of every regime, and the losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._data._screen import Screen

Rows: TypeAlias = list[NDArray[np.int64]]
Looks: TypeAlias = tuple[NDArray[np.int64], Tensor, Tensor]  # regimes, control cells, what these should reach
Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]
LEAST_SD = 0.05  # of a gene among control cells: residuals are divided by it


@dataclass(frozen=True)
class TransportCells:
    """Cells by regime; 20 % of those of regimes of at least 100 cells validate, smaller ones do both."""

    cells: Tensor  # (cells, genes)
    train: Rows
    validation: Rows
    means: Tensor  # (regimes, genes), of training cells
    held_means: Tensor  # (regimes, genes), of validation cells
    sd: Tensor  # (genes,), of training control cells

    @classmethod
    def split(cls, x: NDArray[Any], screen: Screen, rng: np.random.Generator) -> Self:
        """Return cells x (cells, genes), dense, by regime."""
        train, validation = [], []
        for r in range(screen.n_regimes):
            rows = rng.permutation(np.flatnonzero(screen.cells == r))
            out = len(rows) // 5 if len(rows) >= 100 else 0
            train.append(rows[out:])
            validation.append(rows[:out] if out else rows)
        cells = torch.as_tensor(np.asarray(x, dtype=np.float32))
        means, held = (
            torch.stack([cells[torch.as_tensor(rows)].mean(0) for rows in part]) for part in (train, validation)
        )
        sd = cells[torch.as_tensor(train[0])].std(0, correction=0).clamp_min(LEAST_SD)
        return cls(cells, train, validation, means, held, sd)

    def draw(self, rows: Rows, regimes: NDArray[np.int64], n: int, rng: np.random.Generator) -> Tensor:
        """Return `n` random cells of each of `regimes`, (len(regimes) * n, genes)."""
        return self.cells[torch.as_tensor(np.concatenate([rng.choice(rows[r], n) for r in regimes]))]

    def looks(self, loss: str, most: int, n: int, rng: np.random.Generator) -> Looks:
        """Draw validation cells of at most `most` regimes once, so that looks at them differ by the network alone."""
        perturbed = np.arange(1, len(self.train))
        regimes = np.sort(rng.choice(perturbed, min(most, len(perturbed)), replace=False))
        start = self.draw(self.validation, np.zeros(len(regimes), int), n, rng)
        if loss == "mean":
            return regimes, start, self.held_means[torch.as_tensor(regimes)][:, None]
        return regimes, start, self.draw(self.validation, regimes, n, rng).reshape(len(regimes), n, -1)


def distance(loss: str, sd: Tensor) -> Distance:
    """Return distances (regimes,) between clouds (regimes, cells, genes), in units of `sd`.

    "mean" is the squared distance of the clouds' means, "w2" half the squared, debiased Sinkhorn W2.
    """
    if loss == "mean":
        return lambda predicted, target: (((predicted.mean(1) - target.mean(1)) / sd) ** 2).sum(-1)
    try:
        from geomloss import SamplesLoss
    except ImportError as error:
        raise ImportError("loss='w2' needs geomloss: pip install 'scdash[ot]', or use loss='mean'.") from error
    sinkhorn = SamplesLoss("sinkhorn", p=2, blur=0.05, backend="tensorized")

    def half_squared(predicted: Tensor, target: Tensor) -> Tensor:
        value: Tensor = sinkhorn((predicted / sd).contiguous(), (target / sd).contiguous())
        return value

    return half_squared
