"""Cells by number are the same wherever they lie: dense, sparse, on disk, in dask chunks."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import Cells, expression, loaded
from scdash._data.rows import dense32, sparse32

GENES = ["g5", "g0", "g3"]


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((90, 8)) * (rng.random((90, 8)) < 0.4)).astype(np.float32)


@pytest.fixture(params=["dense", "csr", "csc", "backed sparse", "backed dense", "dask"])
def stored(request: pytest.FixtureRequest, whole: np.ndarray, tmp_path: Path) -> ad.AnnData:
    kind = {"dense": np.asarray, "csc": sp.csc_matrix, "backed dense": np.asarray}.get(request.param, sp.csr_matrix)
    adata = ad.AnnData(kind(whole))
    adata.var_names = [f"g{i}" for i in range(8)]
    if request.param == "dask":
        da = pytest.importorskip("dask.array")
        adata.X = da.from_array(whole, chunks=(37, -1)).map_blocks(sp.csr_matrix)
    if request.param.startswith("backed"):
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    return adata


@pytest.mark.parametrize("genes", [None, GENES])
@pytest.mark.parametrize("most", [0, 1e9])
def test_rows_in_any_order_and_twice(
    stored: ad.AnnData, whole: np.ndarray, genes: list[str] | None, most: float
) -> None:
    values = expression(stored, genes=genes)
    expected = whole if genes is None else whole[:, [5, 0, 3]]
    x = loaded(values, most=most)
    rows = np.array([80, 3, 3, 41, 0])
    for at in (rows, slice(30, 50), np.arange(90)):
        block = x[at]
        block = block.toarray() if sp.issparse(block) else block
        np.testing.assert_array_equal(block, expected[at])
        np.testing.assert_array_equal(Cells(values)[at], expected[at])


def test_small_is_dense_and_large_stays_as_it_is(stored: ad.AnnData, whole: np.ndarray) -> None:
    values = expression(stored)
    assert isinstance(loaded(values), np.ndarray)
    large = loaded(values, most=whole.nbytes - 1)
    if isinstance(stored.X, np.ndarray):
        assert np.shares_memory(large, stored.X)
    elif "dense" in str(type(stored.X)) or type(stored.X).__module__.startswith("h5py"):
        assert isinstance(large, Cells)
    else:
        assert sp.issparse(large) and large.dtype == np.float32


def test_both_forms_hold_the_same_numbers(stored: ad.AnnData, whole: np.ndarray) -> None:
    values = expression(stored, genes=GENES)
    forms = [dense32(values)]
    if sp.issparse(next(block for _, block in values.blocks())):
        forms.append(sparse32(values))
        assert forms[1].nnz == np.count_nonzero(forms[0])
    for found in forms:
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, whole[:, [5, 0, 3]])
