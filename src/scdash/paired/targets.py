"""The features to be predicted: standardised for each model, with missing entries and pre-training labels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.paired.layers import mean_squares
from scdash.paired.stacked_inputs import Table
from scdash.paired.standardize import Scale
from scdash.resampling.folds import Fold


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
