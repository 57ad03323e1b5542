"""Pseudotime recovers a known order; roots and graphs that cannot work are errors that name names."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from scipy.stats import spearmanr

import scdash


def agreement(adata, key="dpt_pseudotime"):
    return spearmanr(adata.obs[key], adata.obs["place"]).statistic


@pytest.mark.parametrize("root", [("day", "early"), {"start": "high"}, {"start": "high", "end": "low"}, {"end": "low"}])
def test_a_known_order_is_recovered_from_groups_and_genes(curve, root):
    scdash.pp.order_cells(curve, root=root)
    assert agreement(curve) > 0.97
    assert curve.obs["dpt_pseudotime"].min() == 0 and curve.obs["dpt_pseudotime"].max() == 1
    (root,) = curve.uns["dpt_pseudotime"]["roots"].itertuples()
    assert root.root in set(curve.obs_names[curve.obs["place"] < 0.1]) and (root.lineage, root.batch) == ("all", "all")


def test_root_by_name_is_time_zero_and_reverses_from_the_other_end(curve):
    first, last = curve.obs["place"].idxmin(), curve.obs["place"].idxmax()
    scdash.pp.order_cells(curve, root=first)
    scdash.pp.order_cells(curve, root=last, key_added="back")
    assert curve.obs.loc[first, "dpt_pseudotime"] == 0 and curve.obs.loc[last, "back"] == 0
    assert agreement(curve) > 0.97 and agreement(curve, "back") < -0.97


def test_times_are_those_of_scanpy_where_no_component_is_slow(curve):
    scdash.pp.order_cells(curve, root={"start": "high"})
    root = curve.uns["dpt_pseudotime"]["roots"]["root"].item()
    sc.pp.pca(curve, n_comps=50, random_state=int(np.random.default_rng(0).integers(2**31 - 1)))
    sc.pp.neighbors(curve, n_neighbors=15, method="gauss", use_rep="X_pca")
    sc.tl.diffmap(curve, n_comps=15)
    assert (curve.uns["diffmap_evals"][1:] < 0.9994).all()
    curve.uns["iroot"] = curve.obs_names.get_loc(root)
    ours = curve.obs["dpt_pseudotime"].to_numpy()
    sc.tl.dpt(curve)
    np.testing.assert_allclose(ours, curve.obs["dpt_pseudotime"], atol=1e-3)


def test_sparse_view_and_copy_agree_and_nothing_else_changes(curve):
    sparse = curve.copy()
    sparse.X = sp.csr_matrix(sparse.X)
    ordered = scdash.pp.order_cells(sparse, root={"start": "high"}, copy=True)
    scdash.pp.order_cells(curve, root={"start": "high"})
    np.testing.assert_allclose(ordered.obs["dpt_pseudotime"], curve.obs["dpt_pseudotime"], atol=1e-3)
    assert "dpt_pseudotime" not in sparse.obs
    assert set(curve.obsm) == set() and set(curve.obsp) == set() and set(curve.uns) == {"dpt_pseudotime"}


def test_a_given_representation_is_used(curve):
    curve.obsm["X_line"] = curve.obs[["place"]].to_numpy()
    scdash.pp.order_cells(curve, root=curve.obs["place"].idxmin(), use_rep="X_line")
    assert agreement(curve) > 0.999
    with pytest.raises(KeyError, match="use_rep='X_lines'.*Did you mean 'X_line'"):
        scdash.pp.order_cells(curve, root={"start": "high"}, use_rep="X_lines")


def test_lineages_and_batches_are_ordered_apart_and_strays_get_nan(curve):
    other = curve.copy()
    other.obs_names = [f"o{i}" for i in range(200)]
    other.X = other.X + 5 * (np.arange(60) > 30)  # far away: one graph would fall into two pieces
    both = ad.concat([curve, other])
    both.obs["lineage"] = ["a"] * 200 + ["b"] * 190 + [None] * 10
    with pytest.raises(ValueError, match=r"falls into 2 pieces \(200 cells.*lineage_key"):
        scdash.pp.order_cells(both, root={"start": "high"})
    scdash.pp.order_cells(both, root={"start": "high"}, lineage_key="lineage")
    time = both.obs["dpt_pseudotime"].to_numpy()
    assert np.isnan(time[390:]).all() and np.isfinite(time[:390]).all()
    for rows in (slice(0, 200), slice(200, 390)):
        assert spearmanr(time[rows], both.obs["place"].iloc[rows]).statistic > 0.97
        assert time[rows].min() == 0 and time[rows].max() == 1
    assert list(both.uns["dpt_pseudotime"]["roots"]["lineage"]) == ["a", "b"]
    bins = scdash.pp.trajectories(both, lineage_key="lineage", n_bins=5)
    assert set(bins.obs["lineage"]) == {"a", "b"}
    with pytest.raises(ValueError, match="'cell3' is not among the cells of 'b'"):
        scdash.pp.order_cells(both, root="cell3", lineage_key="lineage")


def test_pieces_are_told_apart_by_the_label_that_fits(curve):
    far = curve[:20].copy()
    far.X = far.X + 40
    far.obs_names = [f"f{i}" for i in range(20)]
    both = ad.concat([curve, far], label="batch", keys=["main", "stray"])
    with pytest.raises(ValueError, match="20 cells, 100% of them batch = stray"):
        scdash.pp.order_cells(both, root={"start": "high"})


@pytest.mark.parametrize(
    ("root", "error", "text"),
    [
        ("cell999", KeyError, "'cell999' is not the name of a cell"),
        (("dy", "early"), KeyError, "Did you mean 'day'"),
        (("day", "erly"), ValueError, "no cell has .*Did you mean 'early'"),
        ({"Start": "high"}, KeyError, "Did you mean 'start'"),
        ({"start": "up"}, ValueError, "'high' or 'low'.*'up'"),
        ({}, ValueError, "'high' or 'low'"),
        (None, TypeError, "NoneType"),
        (3, TypeError, "int"),
    ],
)
def test_a_root_that_is_none(curve, root, error, text):
    with pytest.raises(error, match=text):
        scdash.pp.order_cells(curve, root=root)
    assert "dpt_pseudotime" not in curve.obs


def test_numbers_as_categories_are_found_as_numbers(curve):
    curve.obs["hours"] = pd.Categorical(np.where(curve.obs["place"] < 0.2, "0", "24"))
    scdash.pp.order_cells(curve, root=("hours", 0))
    assert agreement(curve) > 0.97


def test_too_few_cells_and_overwriting(curve, caplog):
    with pytest.raises(ValueError, match="at least 4"):
        scdash.pp.order_cells(curve[:1], root={"start": "high"})
    with pytest.raises(ValueError, match="empty"):
        scdash.pp.order_cells(curve[:0], root={"start": "high"})
    scdash.pp.order_cells(curve, root={"start": "high"})
    with caplog.at_level("INFO", logger="scdash"):
        scdash.pp.order_cells(curve, root={"start": "high"})
    assert "overwriting adata.obs['dpt_pseudotime']" in caplog.text


def test_counts_are_pointed_out_where_they_decide_the_order(curve, caplog):
    counts = curve.copy()
    counts.X = np.rint(100 * np.asarray(counts.X)).clip(0)
    scdash.pp.order_cells(counts, root={"start": "high"}, copy=True)
    assert "X looks like raw counts" in caplog.text and "scdash.pp.normalize(adata) first" in caplog.text
    caplog.clear()
    counts.obsm["X_pca"] = np.asarray(curve.X)
    scdash.pp.order_cells(counts, root={"start": "high"}, copy=True)
    scdash.pp.order_cells(curve, root={"start": "high"}, copy=True)
    assert "raw counts" not in caplog.text


def test_the_myoblasts_follow_the_published_order():
    adata = scdash.datasets.hsmm()
    for root in (("hours", 0), {"CDK1": "high", "MYOG": "low"}):
        scdash.pp.order_cells(adata, root=root)
        # Monocle's own pseudotime; the rest of the tree's branches are gone, so the two orders describe one path
        assert spearmanr(adata.obs["dpt_pseudotime"], adata.obs["pseudotime"]).statistic > 0.9


def test_identical_cells_get_the_same_time(curve):
    curve.obsm["space"] = np.asarray(curve.X.toarray() if sp.issparse(curve.X) else curve.X)
    copies = ad.concat([curve, *[curve[:1]] * 30], index_unique="-")
    copies = copies[::-1].copy()
    alike = copies.obs_names.str.startswith(curve.obs_names[0] + "-")
    for root in ({"start": "high"}, str(copies.obs_names[alike][3])):
        scdash.pp.order_cells(copies, root=root, use_rep="space")
        assert agreement(copies) > 0.97 or isinstance(root, str)
        assert np.isfinite(copies.obs["dpt_pseudotime"]).all()
        assert copies.obs.loc[alike, "dpt_pseudotime"].nunique() == 1
    assert (copies.obs.loc[alike, "dpt_pseudotime"] == 0).all()  # the named root is one of them
