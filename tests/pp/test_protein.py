"""Proteins take the centred log ratio, genes are normalised by depth, and the log says which."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash


def counts(n_vars: int, *, sparse: bool = False) -> ad.AnnData:
    X = np.random.default_rng(0).poisson(5, (40, n_vars)).astype(np.float32)
    X[:, 0] += 100
    adata = ad.AnnData(sp.csr_matrix(X) if sparse else X)
    adata.var_names = [f"f{i}" for i in range(n_vars)]
    return adata


@pytest.mark.parametrize("sparse", [False, True])
def test_centred_log_ratio_is_the_formula_and_sums_to_zero(sparse: bool) -> None:
    adata = counts(14, sparse=sparse)
    before = adata.X.toarray() if sparse else adata.X.copy()
    scdash.pp.normalize_paired(adata, method="clr")
    logs = np.log1p(before.astype(float))
    np.testing.assert_allclose(adata.X, logs - logs.mean(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(np.asarray(adata.X).sum(1), 0, atol=1e-4)
    kept = adata.layers["counts"]
    np.testing.assert_array_equal(kept.toarray() if sparse else kept, before)
    assert adata.uns["normalize_paired"] == {"method": "clr"}


def test_the_centre_is_over_the_features_of_the_mask() -> None:
    adata = counts(14)
    adata.var["stained"] = np.arange(14) > 0
    scdash.pp.normalize_paired(adata, method="clr", mask_var="stained")
    np.testing.assert_allclose(np.asarray(adata.X)[:, 1:].sum(1), 0, atol=1e-4)
    assert (np.asarray(adata.X)[:, 0] > 1).all()


@pytest.mark.parametrize("name", ["prot", "Protein", "ADT", "cite_adt", "CITE-seq"])
def test_names_of_proteins_choose_it(name: str, messages: Callable[[], str]) -> None:
    scdash.settings.verbosity = 2
    mdata = pytest.importorskip("mudata").MuData({name: counts(14)})
    scdash.pp.normalize_paired(mdata, x=name)
    assert mdata[name].uns["normalize_paired"]["method"] == "clr"
    assert "centred log ratio" in messages() and "only 14" not in messages()


@pytest.mark.parametrize(("kind", "chosen"), [("Antibody Capture", "clr"), ("Gene Expression", "depth")])
def test_types_of_features_come_before_names(kind: str, chosen: str) -> None:
    adata = counts(14)
    adata.var["feature_types"] = pd.Categorical([kind] * 14)
    scdash.pp.normalize_paired(adata, x="prot" if chosen == "depth" else "rna")
    assert adata.uns["normalize_paired"]["method"] == chosen


def test_few_features_of_unknown_kind_are_normalised_by_depth_with_a_warning(messages: Callable[[], str]) -> None:
    adata = counts(14)
    scdash.pp.normalize_paired(adata)
    assert adata.uns["normalize_paired"]["method"] == "depth" and "method='clr'" in messages()
    told = messages()
    scdash.pp.normalize_paired(counts(200))
    scdash.pp.normalize_paired(counts(14), method="depth")
    assert "method='clr'" not in messages()[len(told) :]


def test_arguments_without_a_meaning_are_refused() -> None:
    adata = counts(14)
    with pytest.raises(ValueError, match="target_sum=100"):
        scdash.pp.normalize_paired(adata, method="clr", target_sum=100)
    with pytest.raises(ValueError, match="method 'clrs'"):
        scdash.pp.normalize_paired(adata, method="clrs")  # type: ignore[arg-type]
    assert "normalize_paired" not in adata.uns
