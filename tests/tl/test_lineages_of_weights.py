"""`trajectory_key` as a table of weights: the same as labels where it says the same, and reported per lineage."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash

SHORT = {
    "training": scdash.Training(max_epochs=3),
    "validation": scdash.Validation(null_models=False),
    "observations": scdash.Cells(n_bins=8),
    "progress": False,
}


@pytest.fixture(scope="module")
def forked():
    """Cells of two lineages that begin alike."""
    rng = np.random.default_rng(3)
    cells, genes = 260, 10
    time, side = np.sort(rng.random(cells)), rng.random(cells) < 0.5
    late = np.clip(time - 0.3, 0, None)
    values = (
        1 + np.outer(time, np.linspace(0, 2, genes)) + np.outer(np.where(side, 1, -1) * late, np.linspace(1, -1, genes))
    )
    adata = sc.AnnData(
        (np.clip(values, 0, None) + rng.normal(0, 0.1, (cells, genes)).clip(-0.3, 0.3)).astype(np.float32)
    )
    adata.X = np.clip(adata.X, 0, None)
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(cells)], [f"g{i}" for i in range(genes)]
    adata.obs["time"], adata.obs["lineage"] = time, np.where(side, "up", "down")
    weights = np.column_stack([~side, side]).astype(float)
    adata.obsm["labels"] = pd.DataFrame(weights.copy(), index=adata.obs_names, columns=["down", "up"])
    weights[time < 0.3] = 1.0
    adata.obsm["masks"] = pd.DataFrame(weights, index=adata.obs_names, columns=["down", "up"])
    return adata


def test_weights_that_say_the_same_as_labels_give_the_same_fit(forked):
    by_label, by_weight = forked.copy(), forked.copy()
    scdash.tl.fit_dynamics(by_label, time_key="time", trajectory_key="lineage", **SHORT)
    scdash.tl.fit_dynamics(by_weight, time_key="time", trajectory_key="labels", **SHORT)
    a, b = (one.uns["dynamics"]["series"] for one in (by_label, by_weight))
    for name in ("up", "down"):
        rows = [np.flatnonzero(np.asarray(part["trajectory"]).astype(str) == name) for part in (a, b)]
        np.testing.assert_allclose(b["states"][rows[1]], a["states"][rows[0]], rtol=1e-5)
    np.testing.assert_allclose(by_weight.obs["dynamics_position"], by_label.obs["dynamics_position"])


def test_shared_progenitors_belong_to_both_lineages(forked):
    adata = forked.copy()
    scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="masks", **SHORT)
    entry = adata.uns["dynamics"]
    series = entry["series"]
    name = np.asarray(series["trajectory"]).astype(str)
    first = [np.asarray(series["states"])[name == one][0] for one in ("up", "down")]
    np.testing.assert_allclose(first[0], first[1], atol=0.1)
    assert adata.obs["dynamics_position"].notna().all()
    table = entry["lineages"]
    assert sorted(table["lineage"]) == ["down", "up"]
    assert {"r2", "covered", "nearest", "end_rmse"} <= set(table.columns)
    assert "per lineage" in entry["report"]
    assert entry["params"]["training"]["from_start"] == 0.8
    assert entry["metrics"]["trajectory_r2_lowest"] == pytest.approx(table["r2"].min())
    again = adata.copy()
    scdash.tl.fit_dynamics(again, **scdash.get.settings(adata) | {"progress": False})
    assert (again.varp["dynamics_grn"] != adata.varp["dynamics_grn"]).nnz == 0


def test_times_may_be_a_table_of_lineages_too(forked):
    adata = forked.copy()
    adata.obsm["pseudotime"] = pd.DataFrame({"down": adata.obs["time"] * 2, "up": adata.obs["time"]})
    scdash.tl.fit_dynamics(adata, time_key="pseudotime", trajectory_key="masks", **SHORT)
    reference = forked.copy()
    scdash.tl.fit_dynamics(reference, time_key="time", trajectory_key="masks", **SHORT)
    np.testing.assert_allclose(adata.uns["dynamics"]["series"]["states"], reference.uns["dynamics"]["series"]["states"])
    adata.obsm["pseudotime"].iloc[np.flatnonzero(adata.obsm["masks"]["up"] > 0)[:2], 1] = np.nan
    with pytest.raises(
        ValueError, match=r"NaN or infinite for 2 cells in a lineage in which they have .* 'up'\)\. Give"
    ):
        scdash.tl.fit_dynamics(adata, time_key="pseudotime", trajectory_key="masks", **SHORT)
    del adata.obsm["pseudotime"]["up"]
    with pytest.raises(KeyError, match="no column for lineage 'up'"):
        scdash.tl.fit_dynamics(adata, time_key="pseudotime", trajectory_key="masks", **SHORT)


def test_weights_without_a_meaning_write_nothing(forked):
    adata = forked.copy()
    adata.obsm["masks"] *= 0.4
    with pytest.raises(ValueError, match="do not sum to 1"):
        scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="masks", **SHORT)
    assert not adata.uns and not adata.varp and not adata.layers and "dynamics_position" not in adata.obs


def test_weights_are_for_cells(forked):
    with pytest.raises(ValueError, match="one label per row"):
        scdash.tl.fit_dynamics(
            forked.copy(), time_key="time", trajectory_key="masks", observations="states", progress=False
        )


def test_batches_of_the_same_cells_are_left_out_with_all_lineages_and_kept_as_they_were_observed(forked):
    """Thirds of the cells at random: folds leave out a third of both lineages; what is stored is what was observed."""
    adata = forked.copy()
    adata.obs["third"] = np.random.default_rng(0).permutation(np.arange(adata.n_obs) % 3).astype(str)
    scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="lineage", batch_key="third", **SHORT)
    assert len(scdash.get.report(adata).filter(like="fold ").columns) == 3
    plain = scdash.pp.trajectories(adata, time_key="time", lineage_key="lineage", batch_key="third", n_bins=8)
    series = adata.uns["dynamics"]["series"]
    own = np.asarray(series["origin"]) == np.asarray(series["trajectory"])
    np.testing.assert_allclose(
        np.asarray(series["states"])[own], plain.X[(plain.obs["bootstrap"] == 0).to_numpy()], rtol=1e-4, atol=1e-5
    )
