"""Ends of lineages: closed forms of the table, and the words that are made of it."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.dynamics import lineage_ends, lineage_lines

STARTS = np.zeros((4, 2))
ENDS = np.array([[1.0, 0.0], [1.2, 0.0], [0.0, 1.0], [0.0, 1.0]])
LINEAGE = ["ery", "ery", "neu", "neu"]


def test_a_perfect_model_covers_everything_and_ends_at_its_own_ends() -> None:
    table = lineage_ends(LINEAGE, STARTS, ENDS, ENDS)
    assert table["lineage"].tolist() == ["ery", "neu"] and table["n_trajectories"].tolist() == [2, 2]
    assert table["covered"].tolist() == pytest.approx([1, 1]) and table["end_rmse"].tolist() == [0, 0]
    assert table["nearest"].tolist() == ["ery", "neu"]
    assert lineage_lines(table) == [
        "Part of the observed change from first to last state that the model makes, per lineage: ery 100%, neu 100%."
    ]


def test_a_model_that_takes_everything_to_one_end_is_warned_about() -> None:
    simulated = np.tile([1.1, 0.1], (4, 1))
    table = lineage_ends(LINEAGE, STARTS, ENDS, simulated)
    assert table["nearest"].tolist() == ["ery", "ery"]
    assert table.loc[1, "covered"] == pytest.approx(0.1)
    assert table.loc[1, "end_rmse"] == pytest.approx(np.sqrt((1.1**2 + 0.9**2) / 2))
    line = lineage_lines(table)[1]
    assert line.startswith("WARNING") and "1 of 2 lineages: neu (nearer to the end of ery)" in line


def test_a_model_that_stays_covers_nothing() -> None:
    table = lineage_ends(LINEAGE, STARTS + 0.1, ENDS, STARTS + 0.1)
    assert table["covered"].tolist() == [0, 0]


def test_one_lineage_is_not_compared() -> None:
    table = lineage_ends(["all"] * 4, STARTS, ENDS, ENDS)
    assert table["nearest"].tolist() == ["all"] and lineage_lines(table) == []
    assert np.isnan(lineage_ends(["all"] * 4, ENDS, ENDS, ENDS)["covered"]).all()


@pytest.fixture(scope="module")
def forked():
    """Two lineages from one start, in one data set."""
    rng = np.random.default_rng(0)
    place, left = np.tile(np.linspace(0, 1, 120), 2), np.repeat([True, False], 120)
    X = np.stack([1 - place, place * left, place * ~left, place], axis=1) * 2 + rng.random((240, 4)) * 0.2 + 0.5
    adata = ad.AnnData(X.astype(np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(240)]))
    adata.obs["dpt_pseudotime"], adata.obs["lineage"] = place, np.where(left, "left", "right")
    return adata


def test_a_fit_reports_and_stores_its_lineages(forked: ad.AnnData) -> None:
    keys = {
        "trajectory_key": "lineage",
        "observations": scdash.Cells(n_bins=10),
        "progress": False,
        "training": scdash.Training(max_epochs=0),
        "validation": scdash.Validation(null_models=False),
    }
    scdash.tl.fit_dynamics(forked, **keys)
    table = forked.uns["dynamics"]["lineages"]
    assert table["lineage"].tolist() == ["left", "right"] and table["n_trajectories"].tolist() == [1, 1]
    assert "per lineage: left" in forked.uns["dynamics"]["report"]
    told = "WARNING: simulated from its own start" in forked.uns["dynamics"]["report"]
    assert told == (table["nearest"] != table["lineage"]).any()
    alone = forked[forked.obs["lineage"] == "left"].copy()
    scdash.tl.fit_dynamics(alone, **keys)
    assert "lineages" not in alone.uns["dynamics"] and "per lineage" not in alone.uns["dynamics"]["report"]


def test_lineages_with_batches_have_their_own_names(forked: ad.AnnData) -> None:
    forked.obs["batch"] = np.tile(["one", "two"], forked.n_obs // 2)
    keys = {"trajectory_key": "lineage", "batch_key": "batch", "observations": scdash.Cells(n_bins=10)}
    few, off = scdash.Training(max_epochs=2), scdash.Validation(null_models=False)
    scdash.tl.fit_dynamics(forked, training=few, validation=off, progress=False, **keys)
    table = forked.uns["dynamics"]["lineages"]
    assert table["lineage"].tolist() == ["left", "right"] and table["n_trajectories"].tolist() == [2, 2]
    assert set(table["nearest"]) <= {"left", "right"} and "of lineage left, top" in forked.uns["dynamics"]["report"]


def test_largest_misses_name_the_lineage(forked: ad.AnnData) -> None:
    keys = {"observations": scdash.Cells(n_bins=10), "progress": False, "training": scdash.Training(max_epochs=0)}
    scdash.tl.fit_dynamics(forked, trajectory_key="lineage", validation=scdash.Validation(null_models=False), **keys)
    misses = forked.uns["dynamics"]["report"].split("Largest misses:")[1].splitlines()[0]
    assert misses.count(" in left (observed") + misses.count(" in right (observed") == 3


def test_repeats_draw_cells_of_lineages_with_weights(forked: ad.AnnData) -> None:
    left = (forked.obs["lineage"] == "left").to_numpy()
    forked.obsm["weights"] = pd.DataFrame({"left": left * 1.0, "right": 1.0 - left}, index=forked.obs_names)
    keys = {"observations": scdash.Cells(n_bins=10), "progress": False, "training": scdash.Training(max_epochs=0)}
    scdash.tl.fit_dynamics(forked, trajectory_key="weights", validation=scdash.Validation(null_models=False), **keys)
    table = scdash.tl.stability(forked, n_repeats=2)
    assert set(table["frequency"]) <= {0.0, 0.5, 1.0} and len(table)
