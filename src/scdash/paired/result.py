"""A fitted network as plain arrays, and its predictions without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.paired.standardize import Scale
from scdash.resampling.folds import Fold

if TYPE_CHECKING:
    from scdash.paired.bottleneck_module import SparseBottleneck

ROWS = 4096  # cells of one forward pass


class Prediction(NamedTuple):
    """What a network says about some cells.

    `latent` (cells, n_latent); `features` (cells, features) and `genes` (cells, n_features), standardised by the
    training cells: 0 is their mean, 1 their standard deviation. `genes` is None without the autoencoder head.
    """

    latent: NDArray[np.float32]
    features: NDArray[np.float32]
    genes: NDArray[np.float32] | None


@dataclass(frozen=True)
class BottleneckFit:
    """One fitted network as plain arrays.

    `weights`: "<head>_<layer>_weight" (inputs, outputs) and "..._bias" (outputs,) for heads encoder, features and
    genes. `x_scale`, `y_scale`: standardisation of the selected genes and of the features. `settled`: False of a
    sparse reduced-rank regression that had not converged when its rounds were used up.
    """

    fold: Fold  # cells it was trained and tested on
    selected: NDArray[np.int64]  # the genes kept, by falling first-layer norm (positions among the genes given)
    norms: NDArray[np.float32]  # first-layer norm of every gene just before pruning
    weights: dict[str, NDArray[np.float32]]
    x_scale: Scale
    y_scale: Scale
    history: pd.DataFrame  # one row per epoch: model, epoch, stage, train_loss, validation_loss, train_r2, test_r2
    settled: bool = True

    @property
    def margin(self) -> float:
        """Smallest first-layer norm of the genes kept, over the median of the others; infinite where all are kept."""
        others = np.delete(self.norms, self.selected)
        middle = float(np.median(others)) if len(others) else 0.0
        return float(self.norms[self.selected].min()) / middle if middle > 0 else float("inf")

    @property
    def scales(self) -> dict[str, NDArray[np.float64]]:
        """Standardisation by name, as `predict` and `SparseBottleneck` take it."""
        return {
            "gene_mean": self.x_scale.mean,
            "gene_scale": self.x_scale.scale,
            "feature_mean": self.y_scale.mean,
            "feature_scale": self.y_scale.scale,
        }

    def predict(self, x: NDArray[Any]) -> Prediction:
        """Return latent positions and predictions for log expression of the selected genes, (cells, n_features)."""
        return predict(self.weights, self.scales, x)

    def module(self, genes: Sequence[str] | None = None, features: Sequence[str] | None = None) -> "SparseBottleneck":
        """Return the network as a torch module; names default to positions."""
        from scdash.paired.bottleneck_module import SparseBottleneck

        inputs = [str(i) for i in self.selected] if genes is None else list(genes)
        outputs = [str(i) for i in range(len(self.y_scale.mean))] if features is None else list(features)
        return SparseBottleneck(self.weights, gene_names=inputs, feature_names=outputs, scales=self.scales)


def predict(weights: Mapping[str, NDArray[Any]], scales: Mapping[str, NDArray[Any]], x: NDArray[Any]) -> Prediction:
    """Return what a network says about log expression x (cells, genes of the network in order), block by block."""
    mean, scale = np.asarray(scales["gene_mean"]), np.asarray(scales["gene_scale"])
    parts = []
    for first in range(0, max(len(x), 1), ROWS):
        standard = ((np.asarray(x[first : first + ROWS]) - mean) / scale).astype(np.float32)
        latent = run_chain(weights, "encoder", standard)
        parts.append([latent, *(run_chain(weights, head, latent) for head in ("features", "genes"))])
    latent, features, genes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Prediction(latent, features, genes if "genes_0_weight" in weights else None)


def run_chain(weights: Mapping[str, NDArray[Any]], head: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output of one head: matrix products with ELU between them, linear at the end."""
    k = 0
    while f"{head}_{k}_weight" in weights:
        if k:
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        x = x @ np.asarray(weights[f"{head}_{k}_weight"]) + np.asarray(weights[f"{head}_{k}_bias"])
        k += 1
    return np.asarray(x, dtype=np.float32)
