"""Each bad column gets an error that names it, what was found, and the remedy."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._data import gene_indices, gene_mask, group_codes, read_time, times_of


@pytest.fixture
def adata():
    obs = pd.DataFrame({"dpt_pseudotime": [0.0, 0.5, 1.0], "day": ["d0", "d1", "d2"]}, index=list("abc"))
    obs["batch"] = pd.Categorical(["x", "y", "x"], categories=["z", "y", "x"])
    return ad.AnnData(np.ones((3, 2)), obs, pd.DataFrame(index=["HBB", "MYOD1"]))


def test_missing_time_says_what_to_run(adata):
    with pytest.raises(KeyError, match="Did you mean 'dpt_pseudotime'"):
        times_of(adata, "pseudotime")
    del adata.obs["dpt_pseudotime"]
    with pytest.raises(KeyError, match="order_cells"):
        times_of(adata, "dpt_pseudotime")


@pytest.mark.parametrize("values", [[1.0, np.nan, 2.0], [1.0, np.inf, 2.0]])
def test_time_not_finite_counts_the_cells(adata, values):
    adata.obs["t"] = values
    with pytest.raises(ValueError, match="1 of 3 observations"):
        times_of(adata, "t")
    assert not np.isfinite(times_of(adata, "t", finite=False).values[1])


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (["D0", None, "D2", "D4"], "adata.obs['t'].notna()"),
        (["D0", "nan", "D2", "D4"], "~adata.obs['t'].isin(['nan'])"),  # what astype(str) makes of a missing value
        ([0.0, np.nan, 2.0, 4.0], "adata.obs['t'].notna()"),
    ],
)
def test_cells_without_a_time_are_left_out_by_the_line_that_the_error_gives(column, kept):
    adata = ad.AnnData(np.zeros((4, 1)), obs=pd.DataFrame({"t": pd.Series(column, index=list("abcd"))}))
    with pytest.raises(ValueError, match=f"1 of 4 observations.*{re.escape(kept)}"):
        times_of(adata, "t")
    rows = eval(kept, {"adata": adata})
    assert len(times_of(adata[rows], "t").values) == 3


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], []])
def test_constant_time(values):
    with pytest.raises(ValueError, match="constant"):
        read_time(np.array(values), "t")


def test_time_accepts_integers_and_nullable_numbers():
    for column in (
        pd.Series([0, 24, 48]),
        pd.array([0, 24, 48], dtype="Int64"),
        pd.Series([0, 24, 48], dtype="float32"),
    ):
        values = read_time(pd.Series(column), "t").values
        assert values.dtype == np.float64 and values.tolist() == [0.0, 24.0, 48.0]


def test_groups_leave_out_levels_without_cells(adata):
    codes, names = group_codes(adata.obs["batch"], "batch_key")
    assert names == ("y", "x") and codes.tolist() == [1, 0, 1]


def test_groups_with_gaps():
    labels = np.array(["b", None, "a"], dtype=object)
    with pytest.raises(ValueError, match="no value for 1 of 3"):
        group_codes(labels, "obs['l']")
    codes, names = group_codes(labels, "obs['l']", missing=True)
    assert names == ("a", "b") and codes.tolist() == [1, -1, 0]
    with pytest.raises(ValueError, match="no value for any"):
        group_codes(np.array([None, None], dtype=object), "l", missing=True)


def test_genes_by_name(adata):
    assert gene_indices(adata, ["MYOD1", "HBB"]).tolist() == [1, 0]
    with pytest.raises(KeyError, match="Did you mean 'HBB'"):
        gene_indices(adata, ["HBZ"])


def test_too_many_genes_says_how_to_choose():
    adata = ad.AnnData(np.ones((2, 5)))
    assert gene_mask(adata, limit=5).all()
    with pytest.raises(ValueError, match="5 genes and no var.*n_top_genes"):
        gene_mask(adata, limit=4)


@pytest.mark.parametrize("lineages", [None, "trajectory"])
def test_a_list_of_time_columns_says_what_to_do(lineages: str | None) -> None:
    pytest.importorskip("torch")
    adata = scdash.simulate.grn_dynamics(n_genes=12, n_trajectories=6, n_test=1, rng=0)
    with pytest.raises(TypeError, match=r"time_key is the name of one column of adata.obs, not a list.*obsm"):
        scdash.tl.fit_dynamics(adata, time_key=["time", "split"], trajectory_key=lineages)
