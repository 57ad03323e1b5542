"""Standardised inputs of stacked models, made one minibatch at a time from one shared matrix."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.paired.standardize import Scale

DENSE_BYTES = 256 * 2**20  # sparse matrices that would be no larger than this are densified once; larger ones by batch


class Inputs:
    """Rows of one matrix, standardised differently for each model.

    `matrix`: cells by genes, dense or CSR; shared by all models. `scales`: one `Scale` a model. `device`: where
    minibatches go.
    """

    def __init__(self, matrix: Any, scales: list[Scale], device: torch.device) -> None:
        self.device = device
        small = matrix.shape[0] * matrix.shape[1] * 4 <= DENSE_BYTES
        if sp.issparse(matrix) and small:
            matrix = matrix.toarray()
        self.matrix: Any = matrix.tocsr() if sp.issparse(matrix) else self._tensor(np.asarray(matrix))
        self.mean = self._tensor(np.stack([s.mean for s in scales]))[:, None]
        self.inverse = self._tensor(1 / np.stack([s.scale for s in scales]))[:, None]

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self.device)

    def rows(self, index: Tensor) -> Tensor:
        """Return standardised rows; index (models, cells), result (models, cells, genes)."""
        flat = index.reshape(-1)
        if sp.issparse(self.matrix):
            values = self._tensor(self.matrix[flat.cpu().numpy()].toarray())
        else:
            values = self.matrix.index_select(0, flat)
        values = values.reshape(*index.shape, -1)
        return values.sub_(self.mean).mul_(self.inverse)

    def quick(self, models: int) -> "Inputs | Table":
        """Return a source that holds the standardised values where they are small, else this one."""
        cells, genes = self.matrix.shape
        if sp.issparse(self.matrix) or models * cells * genes * 4 > DENSE_BYTES:
            return self
        return Table((self.matrix - self.mean) * self.inverse)

    def columns(self, genes: Tensor) -> Tensor:
        """Return all cells of a few genes of each model, standardised; genes (models, k), result (models, cells, k)."""
        parts = []
        for r, chosen in enumerate(genes):
            own = chosen.cpu().numpy()
            if sp.issparse(self.matrix):
                part = self._tensor(self.matrix[:, own].toarray())
            else:
                part = self.matrix.index_select(1, chosen)
            parts.append(part.sub_(self.mean[r, :, own]).mul_(self.inverse[r, :, own]))
        return torch.stack(parts)


class Table:
    """Rows of values that are held for every model; values (models, cells, columns)."""

    def __init__(self, values: Tensor) -> None:
        models, self.cells, columns = values.shape
        self.flat = values.reshape(models * self.cells, columns)
        self.offset = torch.arange(models, device=values.device)[:, None] * self.cells

    def rows(self, index: Tensor) -> Tensor:
        """Return rows; index (models, cells), result (models, cells, columns)."""
        return self.flat.index_select(0, (index + self.offset).reshape(-1)).reshape(*index.shape, -1)
