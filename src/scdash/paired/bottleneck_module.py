"""A fitted network as an ordinary torch module in the user's units, rebuilt from plain arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scdash._core.display import as_html, as_text, some_names


class SparseBottleneck(nn.Module):
    """Features of a cell from a few of its genes, through a bottleneck (Bernaerts, Berens & Kobak, Figure 1c).

    `model(x)` takes log expression (cells, genes) with `model.gene_names` in the columns, in the units of the data it
    was fitted on, and returns features in theirs; `encode`, `predict_features` and `predict_genes` are its parts in
    standardised units.

    Attributes
    ----------
    gene_names, feature_names
        Names of inputs and outputs, in order.
    encoder, features, genes
        Dense layers with ELU between them, linear at the end; `genes` (the autoencoder head) may be None.
    gene_mean, gene_scale, feature_mean, feature_scale
        Standardisation, learned on the training cells.
    """

    gene_mean: Tensor
    gene_scale: Tensor
    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        *,
        gene_names: Sequence[str],
        feature_names: Sequence[str],
        scales: Mapping[str, NDArray[Any]],
    ) -> None:
        super().__init__()
        self.gene_names = np.asarray(gene_names, dtype=str)
        self.feature_names = np.asarray(feature_names, dtype=str)
        self.encoder = _dense_chain(weights, "encoder")
        self.features = _dense_chain(weights, "features")
        self.genes = _dense_chain(weights, "genes") if "genes_0_weight" in weights else None
        for name in ("gene_mean", "gene_scale", "feature_mean", "feature_scale"):
            self.register_buffer(name, torch.as_tensor(np.asarray(scales[name]), dtype=torch.float32))

    def __repr__(self) -> str:
        return as_text(self._title(), self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._facts())

    def _title(self) -> str:
        return f"{type(self).__name__}: {len(self.feature_names)} features of a cell from {len(self.gene_names)} genes"

    def _facts(self) -> list[tuple[str, str]]:
        """Return what there is to know of the network before it is called."""
        sizes = [len(self.gene_names)]
        sizes += [int(layer.out_features) for layer in self.encoder if isinstance(layer, nn.Linear)]
        after = [int(layer.out_features) for layer in self.features if isinstance(layer, nn.Linear)]
        return [
            ("genes", some_names(self.gene_names)),
            ("features", some_names(self.feature_names, "features")),
            ("layers", f"{' - '.join(map(str, sizes))} (bottleneck) - {' - '.join(map(str, after))}"),
            ("autoencoder", "none" if self.genes is None else "yes, model.predict_genes(model.encode(x))"),
            (
                "call",
                f"model(x) with log expression of shape (cells, {len(self.gene_names)}), columns model.gene_names",
            ),
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Return features (cells, features) in their own units."""
        return self.predict_features(self.encode(x)) * self.feature_scale + self.feature_mean

    def encode(self, x: Tensor) -> Tensor:
        """Return the bottleneck (cells, n_latent) of log expression (cells, genes)."""
        return self.encoder((x - self.gene_mean) / self.gene_scale)  # type: ignore[no-any-return]

    def predict_features(self, latent: Tensor) -> Tensor:
        """Return standardised features (cells, features)."""
        return self.features(latent)  # type: ignore[no-any-return]

    def predict_genes(self, latent: Tensor) -> Tensor:
        """Return standardised expression (cells, genes) from the autoencoder head."""
        if self.genes is None:
            raise ValueError("This network has no autoencoder head: it was fitted with autoencoder=False.")
        return self.genes(latent)  # type: ignore[no-any-return]


def _dense_chain(weights: Mapping[str, NDArray[Any]], head: str) -> nn.Sequential:
    modules: list[nn.Module] = []
    k = 0
    while f"{head}_{k}_weight" in weights:
        values = torch.tensor(np.asarray(weights[f"{head}_{k}_weight"]), dtype=torch.float32)
        layer = nn.Linear(values.shape[0], values.shape[1])
        with torch.no_grad():
            layer.weight.copy_(values.T)
            layer.bias.copy_(torch.as_tensor(np.asarray(weights[f"{head}_{k}_bias"])))
        modules += [layer, nn.ELU()]
        k += 1
    return nn.Sequential(*modules[:-1])


def module_from_entry(entry: Mapping[str, Any]) -> SparseBottleneck:
    """Rebuild the network from an `uns` entry written by `tl.sbnn`."""
    return SparseBottleneck(
        entry["weights"], gene_names=entry["genes"], feature_names=entry["features"], scales=entry["scales"]
    )
