"""Counts to logs: the formula, every array type, and refusal of what is logged already."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import scdash

COUNTS = np.random.default_rng(0).poisson(2.0, (40, 30)) + (np.arange(30) == 0)


def of(X):
    return ad.AnnData(
        X, pd.DataFrame(index=[f"c{i}" for i in range(len(COUNTS))]), pd.DataFrame(index=[f"g{j}" for j in range(30)])
    )


def read_only(x):
    x = x.astype(np.float32)
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "to",
    [
        np.asarray,
        np.float32,
        np.float64,
        read_only,
        sp.csr_matrix,
        sp.csc_matrix,
        lambda x: sp.csr_array(x.astype(float)),
    ],
)
def test_the_formula_for_every_array_type(to):
    adata = of(to(COUNTS))
    before = COUNTS.copy()
    scdash.pp.normalize(adata, target_sum=1000)
    got = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    np.testing.assert_allclose(got, np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1000), rtol=1e-5)
    assert sp.issparse(adata.X) == sp.issparse(to(COUNTS))
    np.testing.assert_array_equal(COUNTS, before)
    assert adata.uns["log1p"] == {"base": None}


def test_dask_stays_lazy():
    da = pytest.importorskip("dask.array")
    adata = of(da.from_array(COUNTS.astype(np.float32), chunks=(13, 30)))
    scdash.pp.normalize(adata, target_sum=1000)
    assert hasattr(adata.X, "compute")
    np.testing.assert_allclose(adata.X.compute(), np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1000), rtol=1e-5)


def test_variable_genes_and_those_to_keep():
    adata = of(COUNTS)
    scdash.pp.normalize(adata, n_top_genes=5, keep=["g7", "g9"])
    other = of(COUNTS.astype(np.float32))
    sc.pp.normalize_total(other, target_sum=1e4)
    sc.pp.log1p(other)
    sc.pp.highly_variable_genes(other, n_top_genes=5)
    wanted = set(other.var_names[other.var["highly_variable"]]) | {"g7", "g9"}
    assert set(adata.var_names[adata.var["highly_variable"]]) == wanted
    flagged = of(COUNTS)
    flagged.var["is_tf"] = flagged.var_names.isin(["g7", "g9"])
    for keep in ("is_tf", flagged.var["is_tf"]):
        scdash.pp.normalize(flagged, n_top_genes=5, keep=keep)
        assert set(flagged.var_names[flagged.var["highly_variable"]]) == wanted
        flagged.X = of(COUNTS).X
    one = of(COUNTS)
    scdash.pp.normalize(one, n_top_genes=5, keep="g7")
    assert one.var["highly_variable"]["g7"]
    with pytest.raises(ValueError, match="n_top_genes"):
        scdash.pp.normalize(of(COUNTS), keep=["g7"])
    with pytest.raises(KeyError, match="keep.*Did you mean 'g7'"):
        scdash.pp.normalize(of(COUNTS), n_top_genes=5, keep=["G7"])


def test_layer_copy_and_view():
    adata = of(np.zeros_like(COUNTS))
    adata.layers["counts"] = COUNTS
    copied = scdash.pp.normalize(adata, layer="counts", copy=True)
    assert copied.X.max() > 1 and not adata.X.any()
    np.testing.assert_array_equal(copied.layers["counts"], COUNTS)
    whole = of(COUNTS)
    view = whole[:20]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scdash.pp.normalize(view)
    assert view.n_obs == 20 and view.X.max() < np.log1p(1e4)
    np.testing.assert_array_equal(whole.X, COUNTS)


def test_what_is_logged_or_negative_is_refused_and_left_alone():
    adata = of(COUNTS)
    scdash.pp.normalize(adata)
    before = adata.X.copy()
    with pytest.raises(ValueError, match="logged already"):
        scdash.pp.normalize(adata)
    np.testing.assert_array_equal(adata.X, before)
    with pytest.raises(ValueError, match="negative"):
        scdash.pp.normalize(of(COUNTS - 5.0))
    with pytest.raises(ValueError, match="NaN or infinite"):
        scdash.pp.normalize(of(np.where(COUNTS == 0, np.nan, COUNTS)))


def test_backed_says_what_to_do(tmp_path):
    of(COUNTS).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match="to_memory"):
        scdash.pp.normalize(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"))


def test_names_to_keep_that_are_absent_are_left_out_and_counted(caplog):
    adata = of(COUNTS)
    with caplog.at_level("INFO", logger="scdash"):
        scdash.pp.normalize(adata, n_top_genes=5, keep=["g7", "TP53"])
    assert adata.var["highly_variable"]["g7"] and "keep: 1 of 2 names" in caplog.text


@pytest.mark.parametrize("missing", ["", None])
def test_cells_without_a_batch_take_no_part_in_the_choice_of_genes(missing, caplog):
    adata, rows = of(COUNTS), np.arange(0, len(COUNTS), 5)
    adata.obs["batch"] = np.array(["a", "b"], dtype=object)[np.arange(adata.n_obs) % 2]
    rest = adata[np.setdiff1d(np.arange(adata.n_obs), rows)].copy()
    labels = adata.obs["batch"].to_numpy().copy()
    labels[rows] = missing
    adata.obs["batch"] = labels
    with caplog.at_level("INFO", logger="scdash"):
        scdash.pp.normalize(adata, n_top_genes=5, batch_key="batch", target_sum=1e4)
    assert f"{len(rows)} of {adata.n_obs} observations have no label (batch)" in caplog.text
    scdash.pp.normalize(rest, n_top_genes=5, batch_key="batch", target_sum=1e4)
    assert adata.var["highly_variable"].tolist() == rest.var["highly_variable"].tolist()
