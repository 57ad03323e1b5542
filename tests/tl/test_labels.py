"""Cells and samples without a label take no part, whichever column lacks it, and are counted in the log."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scdash

from .conftest import HOW

MISSING = ["", "  ", np.nan, None, "nan"]


def without(column, rows, missing):
    labels = column.astype(str).astype(object).to_numpy().copy()
    labels[rows] = missing
    return pd.Categorical(pd.Series(labels))


@pytest.mark.parametrize("key", ["trajectory", "split"])
@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_samples_without_a_label_are_left_out(course, key, missing, caplog):
    names = course.obs["trajectory"].astype(str)
    rows = np.flatnonzero((names == names.iloc[0]).to_numpy())
    adata, rest = course.copy(), course[np.setdiff1d(np.arange(course.n_obs), rows)].copy()
    adata.obs[key] = without(adata.obs[key], rows, missing)
    with caplog.at_level("INFO", logger="scdash"):
        scdash.tl.fit_dynamics(adata, **(HOW | {"training": scdash.Training(max_epochs=0)}))
    assert f"{len(rows)} of {course.n_obs} observations have no label ({key})" in caplog.text
    scdash.tl.fit_dynamics(rest, **(HOW | {"training": scdash.Training(max_epochs=0)}))
    np.testing.assert_array_equal(adata.varp["dynamics_grn"].toarray(), rest.varp["dynamics_grn"].toarray())


def line(n=240, genes=12):
    rng = np.random.default_rng(1)
    place = np.sort(rng.random(n))
    x = np.exp(-((place[:, None] - np.linspace(0, 1, genes)) ** 2) / 0.1) * 3 + rng.random((n, genes)) * 0.2
    adata = AnnData(x.astype(np.float32))
    adata.obs["dpt_pseudotime"] = place
    adata.obs["lineage"] = np.where(np.arange(n) % 2, "a", "b")
    adata.obs["batch"] = np.array(["x", "y", "z"])[np.arange(n) % 3]
    adata.obs["split"] = "train"
    adata.obs.loc[adata.obs["batch"] == "y", "split"] = "validation"
    return adata


CELLS = {
    "observations": scdash.Cells(n_bins=6),
    "progress": False,
    "training": scdash.Training(max_epochs=0),
    "validation": scdash.Validation(null_models=False),
}
KEYS = {
    "lineage": {"trajectory_key": "lineage"},
    "batch": {"batch_key": "batch"},
    "split": {"batch_key": "batch", "split_key": "split"},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("missing", ["", np.nan])
def test_cells_without_a_label_are_left_out(key, missing, caplog):
    adata = line()
    rows = np.arange(0, 240, 11)
    rest = adata[np.setdiff1d(np.arange(240), rows)].copy()
    adata.obs[key] = without(adata.obs[key], rows, missing)
    adata.obs.loc[adata.obs_names[rows[0]], "dpt_pseudotime"] = np.nan  # nobody needs the time of such a cell
    with caplog.at_level("INFO", logger="scdash"):
        scdash.tl.fit_dynamics(adata, **CELLS, **KEYS[key])
    assert f"{len(rows)} of 240" in caplog.text
    scdash.tl.fit_dynamics(rest, **CELLS, **KEYS[key])
    stored = [one.uns["dynamics"]["series"] for one in (adata, rest)]
    originals = [np.asarray([("#" not in str(name)) for name in series["trajectory"]]) for series in stored]
    np.testing.assert_allclose(
        *(np.asarray(series["states"])[own] for series, own in zip(stored, originals, strict=True)), rtol=1e-5
    )


def test_groups_of_a_shift_leave_out_cells_without_a_label(fitted, caplog):
    adata = fitted.copy()
    adata.obs["group"] = without(pd.Series(["a", "b"] * (adata.n_obs // 2)), [0, 2], "")
    with caplog.at_level("INFO", logger="scdash"):
        scdash.tl.perturbation_shift(adata, "g01", groupby="group")
    table = adata.uns["dynamics_shift"]["table"]
    assert set(table["group"]) == {"a", "b"}
    assert table.groupby("group")["n_cells"].first().sum() == adata.n_obs - 2
    assert "2 of" in caplog.text


def test_values_between_0_and_1_keep_their_ranges(caplog):
    adata = line()
    adata.X = adata.X / adata.X.max()
    with caplog.at_level("INFO", logger="scdash"):
        scdash.tl.fit_dynamics(adata, **CELLS)
    small = np.asarray(adata.uns["dynamics"]["range"])
    assert small.max() < 0.95 and "instead of their own range" not in caplog.text
    adata.X = adata.X * 3
    adata.X[:, 0] = 1 + 0.001 * adata.X[:, 0]
    with caplog.at_level("INFO", logger="scdash"):
        scdash.tl.fit_dynamics(adata, **CELLS)
    assert (
        "of 12 genes change by less than 0.5 along the bins: they are scaled by 0.5 instead of their own range"
        in caplog.text
    )


def test_scaled_values_are_refused_at_every_fit(course):
    import scanpy as sc

    cells, states = line(), course.copy()
    for adata in (cells, states):
        sc.pp.scale(adata)
    with pytest.raises(ValueError, match="adata.X looks scaled"):
        scdash.tl.fit_dynamics(cells, **CELLS)
    with pytest.raises(ValueError, match="adata.X looks scaled"):
        scdash.tl.fit_dynamics(states, **HOW)
    with pytest.raises(ValueError, match="looks scaled"):
        scdash.pp.trajectories(cells, n_bins=6)
    with pytest.raises(ValueError, match="looks scaled"):
        scdash.tl.cross_validate(states, prior=states.uns["prior"], **HOW)
    scdash.tl.fit_dynamics(cells, allow_scaled=True, **CELLS)
    assert "dynamics" in cells.uns


def test_the_axis_of_cells_has_the_users_time():
    adata = line()
    scdash.tl.fit_dynamics(adata, **CELLS)
    ax = scdash.pl.trends(adata, "0", show=False)
    assert "dpt_pseudotime" in (ax if hasattr(ax, "get_xlabel") else ax[0]).get_xlabel()


@pytest.mark.parametrize("rows", [[7], [0, 1, 2]])
def test_coordinates_that_are_missing_are_named_with_the_number_of_cells(rows):
    adata = line()
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(240, 2))
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(240, 5))
    adata.obsm["X_pca"][rows] = np.nan
    with pytest.raises(ValueError, match=f"obsm\\['X_pca'\\] \\(use_rep\\) is NaN or infinite for {len(rows)} of 240"):
        scdash.pp.order_cells(adata, root="0", key_added="pt")
    scdash.tl.fit_dynamics(adata, **CELLS)
    with pytest.raises(ValueError, match=f"obsm\\['X_pca'\\].*{len(rows)} of 240"):
        scdash.pl.velocity(adata, show=False)
    adata.obsm["X_pca"] = np.nan_to_num(adata.obsm["X_pca"])
    adata.obsm["X_umap"][rows] = np.inf
    with pytest.raises(ValueError, match=f"obsm\\['X_umap'\\] \\(basis\\).*{len(rows)} of 240"):
        scdash.pl.velocity(adata, show=False)


def test_cells_without_a_lineage_need_no_coordinates():
    adata = line()
    adata.obsm["X_pca"] = np.asarray(adata.X).copy()
    adata.obsm["X_pca"][3] = np.nan
    adata.obs["lineage"] = without(adata.obs["lineage"], [3], "")
    scdash.pp.order_cells(adata, root={"0": "high"}, lineage_key="lineage", key_added="pt")
    assert np.isnan(adata.obs["pt"].iloc[3]) and np.isfinite(np.delete(adata.obs["pt"].to_numpy(), 3)).all()
