"""Standardisation: NumPy's moments, sparse as dense, and what is learned on which cells."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash.paired.stacked_inputs import Inputs, Table
from scdash.paired.standardize import Scale, learn_scale
from scdash.resampling.folds import Fold

RNG = np.random.default_rng(0)
X = np.where(RNG.random((3000, 6)) < 0.4, RNG.normal(5, 2, (3000, 6)), 0.0)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_moments_are_numpys(convert: type) -> None:
    rows = np.arange(0, 3000, 2)
    scale = Scale.learn(convert(X), rows)
    np.testing.assert_allclose(scale.mean, X[rows].mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale.scale, X[rows].std(0), rtol=1e-12)


def test_constant_columns_and_missing_values() -> None:
    values = X[:50].copy()
    values[:, 1] = 7.3
    values[3, 2] = np.nan
    scale = Scale.learn(values)
    assert scale.scale[1] == 1
    assert abs(scale.apply(values)[:, 1]).max() < 1e-12
    assert scale.mean[2] == pytest.approx(np.delete(values[:, 2], 3).mean())
    assert scale.scale[2] == pytest.approx(np.delete(values[:, 2], 3).std())


def test_large_offsets_lose_no_digits() -> None:
    """Variance by E[x^2] - E[x]^2 would be wrong in the first digit here."""
    values = 1e8 + RNG.normal(size=(500, 2))
    np.testing.assert_allclose(Scale.learn(values).scale, values.std(0), rtol=1e-6)


def test_undo_undoes() -> None:
    scale = Scale.learn(X)
    np.testing.assert_allclose(scale.undo(scale.apply(X)), X, atol=1e-12)


def test_what_is_learned_on_which_cells() -> None:
    fold = Fold("0", np.arange(2000), np.arange(2000, 3000))
    trained, whole, centred = (learn_scale(X, fold, name) for name in ("train", "all", "none"))
    np.testing.assert_allclose(trained.scale, X[:2000].std(0))
    np.testing.assert_allclose(whole.scale, X.std(0))
    assert (centred.scale == 1).all()
    for scale in (trained, whole, centred):
        np.testing.assert_allclose(scale.mean, X[:2000].mean(0))
    # the released arithmetic: z-score everything, then subtract the training mean of the z-scores
    z = (X - X.mean(0)) / X.std(0)
    np.testing.assert_allclose(whole.apply(X), z - z[:2000].mean(0), atol=1e-12)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("limit", [0, 2**30])
def test_minibatches_are_standardised_rows(convert: type, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse or dense, held or made on the fly: the same rows and columns."""
    monkeypatch.setattr("scdash.paired.stacked_inputs.DENSE_BYTES", limit)
    scales = [Scale.learn(X, np.arange(1000)), Scale.learn(X, np.arange(1000, 3000))]
    source = Inputs(convert(X), scales, torch.device("cpu"))
    index = torch.tensor([[5, 9, 5], [0, 2999, 17]])
    expected = np.stack([scale.apply(X[own]) for scale, own in zip(scales, index.numpy(), strict=True)])
    for rows in (source, source.quick(2)):
        np.testing.assert_allclose(rows.rows(index).numpy(), expected, atol=1e-5)
    genes = torch.tensor([[2, 0], [5, 1]])
    columns = source.columns(genes).numpy()
    for r, scale in enumerate(scales):
        np.testing.assert_allclose(columns[r], scale.apply(X)[:, genes[r].numpy()], atol=1e-5)
    assert isinstance(source.quick(2), Table) == (limit > 0)
