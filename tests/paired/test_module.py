"""The network as arrays and as a torch module: the arithmetic written out, units, and a missing head."""

import numpy as np
import pytest
import torch

from scdash.paired.bottleneck_module import SparseBottleneck
from scdash.paired.result import predict

RNG = np.random.default_rng(0)
SIZES = {"encoder": (3, 5, 4, 2), "features": (2, 4, 5, 6), "genes": (2, 4, 5, 3)}
WEIGHTS = {
    f"{head}_{k}_{part}": RNG.normal(size=shape if part == "weight" else shape[1:]).astype(np.float32)
    for head, sizes in SIZES.items()
    for k, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
    for part in ("weight", "bias")
}
SCALES = {
    "gene_mean": RNG.normal(size=3), "gene_scale": RNG.uniform(1, 2, 3),
    "feature_mean": RNG.normal(size=6), "feature_scale": RNG.uniform(1, 2, 6),
}  # fmt: skip
GENES, FEATURES = ["a", "b", "c"], [f"f{i}" for i in range(6)]


def network(**changed: dict[str, np.ndarray]) -> SparseBottleneck:
    return SparseBottleneck(changed.get("weights", WEIGHTS), gene_names=GENES, feature_names=FEATURES, scales=SCALES)


def chain(head: str, x: np.ndarray) -> np.ndarray:
    for k in range(3):
        x = x @ WEIGHTS[f"{head}_{k}_weight"] + WEIGHTS[f"{head}_{k}_bias"]
        x = np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1) if k < 2 else x
    return x


def test_arithmetic_and_units() -> None:
    x = RNG.normal(size=(7, 3))
    latent = chain("encoder", (x - SCALES["gene_mean"]) / SCALES["gene_scale"])
    said = predict(WEIGHTS, SCALES, x)
    np.testing.assert_allclose(said.latent, latent, atol=1e-4)
    np.testing.assert_allclose(said.features, chain("features", latent), atol=1e-4)
    assert said.genes is not None
    np.testing.assert_allclose(said.genes, chain("genes", latent), atol=1e-4)
    with torch.no_grad():
        t = torch.as_tensor(x, dtype=torch.float32)
        own_units = network()(t).numpy()
        np.testing.assert_allclose(network().encode(t), said.latent, atol=1e-4)
        np.testing.assert_allclose(network().predict_genes(network().encode(t)), said.genes, atol=1e-4)
    expected = chain("features", latent) * SCALES["feature_scale"] + SCALES["feature_mean"]
    np.testing.assert_allclose(own_units, expected, atol=1e-4)


def test_blocks_of_cells_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.normal(size=(23, 3))
    whole = predict(WEIGHTS, SCALES, x)
    monkeypatch.setattr("scdash.paired.result.ROWS", 5)
    for a, b in zip(whole, predict(WEIGHTS, SCALES, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert predict(WEIGHTS, SCALES, x[:0]).features.shape == (0, 6)


def test_without_the_autoencoder_head() -> None:
    weights = {name: value for name, value in WEIGHTS.items() if not name.startswith("genes")}
    bare = network(weights=weights)
    assert predict(weights, SCALES, np.zeros((2, 3))).genes is None
    with pytest.raises(ValueError, match="autoencoder=False"):
        bare.predict_genes(torch.zeros(1, 2))
