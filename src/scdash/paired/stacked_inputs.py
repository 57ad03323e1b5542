"""Standardised inputs and targets of stacked models; inputs are made one minibatch at a time from one shared matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.paired.layers import mean_squares
from scdash.paired.standardize import Scale
from scdash.resampling.folds import Fold

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


class Targets:
    """Standardised features of every model; missing entries are 0 and carry no weight.

    `y`: cells by features, NaN where missing. `scales`: one `Scale` a model. `folds`: one a model.
    """

    def __init__(
        self, y: NDArray[np.float64], scales: Sequence[Scale], folds: Sequence[Fold], device: torch.device
    ) -> None:
        self.known = ~np.isnan(y)
        self.values = np.stack([np.where(self.known, scale.apply(y), 0) for scale in scales]).astype(np.float32)
        self.cells = len(y)
        self.table = Table(torch.from_numpy(self.values).to(device))
        weights = torch.from_numpy(self.known.astype(np.float32)).to(device)
        self.weights = None if self.known.all() else Table(weights.expand(len(folds), -1, -1))

    def loss(self, output: Tensor, index: Tensor, weight: Tensor | None) -> Tensor:
        """Mean squared error over known entries."""
        if self.weights is not None:
            known = self.weights.rows(index)
            weight = known if weight is None else known * weight
        return mean_squares(output, self.table.rows(index), weight)

    def mean_square(self, cells: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the mean square of each model's known entries in its cells: the loss of predicting the mean."""
        found = [(own[rows] ** 2).sum() / self.known[rows].sum() for own, rows in zip(self.values, cells, strict=True)]
        return np.maximum(np.asarray(found, dtype=np.float64), 1e-30)

    def r2(self, output: Tensor, index: Tensor, weight: Tensor | None) -> NDArray[np.float64]:
        """Return the paper's R2 (Eq. 3) of each model."""
        truth = self.table.rows(index)
        known = torch.ones_like(truth) if self.weights is None else self.weights.rows(index)
        if weight is not None:
            known = known * weight
        residual = (known * (output - truth).square()).sum((1, 2))
        total = (known * truth.square()).sum((1, 2))
        return (1 - residual / total).cpu().numpy().astype(np.float64)


def pretrain_labels(
    targets: Targets, folds: Sequence[Fold], n_clusters: int, streams: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Return k-means labels of each model's training cells, (models, cells); test cells are never looked at (0)."""
    from sklearn.cluster import KMeans

    labels = np.zeros((len(folds), targets.cells), dtype=np.int64)
    for r, (fold, stream) in enumerate(zip(folds, streams, strict=True)):
        means = KMeans(n_clusters, n_init=10, random_state=int(stream.integers(2**31 - 1)))
        labels[r, fold.train] = means.fit_predict(targets.values[r, fold.train].astype(np.float64))
    return labels


def split_cells(
    cells: Sequence[NDArray[np.intp]], fraction: float, streams: Sequence[np.random.Generator]
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]]:
    """Split each model's cells at random into (fitted, held out); `fraction` of them are held out."""
    fitted, held_out = [], []
    for own, stream in zip(cells, streams, strict=True):
        shuffled = stream.permutation(own)
        kept = min(max(1, round((1 - fraction) * len(own))), len(own) - 1)
        fitted.append(shuffled[:kept])
        held_out.append(shuffled[kept:])
    return fitted, held_out
