"""Stability: resampling stays within perturbations, joblib changes nothing, and the fit learns its frequencies."""

import anndata
import numpy as np
import pytest
from joblib import parallel_config

import scdash
from scdash._data.screen import parse_screen
from scdash.screens.equilibrium.subsamples import Resampled, bootstrap_rows, half_of_perturbations
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.statistics import perturbation_statistics


def test_bootstraps_draw_within_perturbations_with_replacement(small):
    screen = read_screen(small, ScreenRequest()).screen
    rows = bootstrap_rows(screen, np.random.default_rng(0))
    np.testing.assert_array_equal(screen.cells[rows], screen.cells)
    share = len(np.unique(rows)) / len(rows)
    assert 0.58 < share < 0.69  # 1 - 1/e of the cells are drawn at all
    x = np.asarray(small.X)
    again = Resampled(x, rows)
    np.testing.assert_array_equal(again[3:50], x[rows[3:50]])
    stats = perturbation_statistics(again, screen, np.zeros(screen.n_perturbations, int) - 1)
    np.testing.assert_allclose(stats.y[4] + stats.centre, x[rows][screen.cells == 4].mean(0), rtol=1e-5)


def test_halves_hold_the_control_and_half_of_the_others():
    used = half_of_perturbations(21, np.random.default_rng(0))
    assert used[0] and used.sum() == 11


def test_frequencies_go_to_the_table_and_to_the_fit(matched, tmp_path):
    adata = matched.copy()
    table = scdash.tl.stability(adata, n_repeats=6)
    assert table["frequency"].between(0, 1).all() and table["frequency"].is_monotonic_decreasing
    assert set(np.unique(np.round(table["frequency"] * 6, 6))) <= set(range(7))
    edges = adata.uns["dynamics"]["edges"]
    assert edges["selection_frequency"].notna().all()
    first = table.iloc[0]
    same = edges[(edges["source"] == first["source"]) & (edges["target"] == first["target"])]
    assert same["selection_frequency"].item() == pytest.approx(first["frequency"])
    assert (
        edges.loc[edges["weight"] != 0, "selection_frequency"].mean()
        > 2 * edges.loc[edges["weight"] == 0, "selection_frequency"].mean()
    )
    truth = {(s, t) for s, t in zip(adata.uns["truth"]["source"], adata.uns["truth"]["target"], strict=True)}
    top = [(s, t) in truth for s, t in table[["source", "target"]].head(8).to_numpy()]
    assert np.mean(top) > 0.5
    adata.write_h5ad(tmp_path / "stable.h5ad")
    back = anndata.read_h5ad(tmp_path / "stable.h5ad")
    with parallel_config("threading", n_jobs=2):
        again = scdash.tl.stability(back, n_repeats=6)
    np.testing.assert_allclose(again["frequency"], table["frequency"])
    np.testing.assert_allclose(again["mean_score"], table["mean_score"], rtol=1e-4)


def test_halves_of_perturbations_and_transport(matched, carried):
    found = scdash.tl.stability(matched.copy(), n_repeats=3, resample="perturbations")
    assert "3 refits" in found.attrs["report"]
    adata = carried.copy()
    trained = scdash.tl.stability(adata, n_repeats=2)
    assert set(trained["frequency"]) <= {0.5, 1.0}
    assert len(trained) <= 2 * 5 * 20  # five edges a gene in each of two refits
    assert "dynamics_stability" in adata.uns


def test_a_prior_and_regulators_are_used_again(small):
    prior = small.uns["truth"].head(6)
    adata = scdash.tl.fit_perturbode(
        small,
        prior=prior,
        regulators=[f"G{i:03d}" for i in range(10)],
        copy=True,
        model=scdash.models.PerturbODE(hold_out=["G004"]),
    )
    table = scdash.tl.stability(adata, n_repeats=2)
    assert set(table["source"]) <= {f"G{i:03d}" for i in range(10)}
    request = ScreenRequest.of_fit(adata, adata.uns["dynamics"])
    assert len(request.prior) == 6 and list(request.model.hold_out) == ["G004"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_repeats": 1}, ValueError, "n_repeats"),
        ({"resample": "genes"}, ValueError, "resample"),
        ({"key": "ridge"}, ValueError, "baseline"),
    ],
)
def test_errors(small, matched, options, error, message):
    adata = scdash.tl.screen_baseline(matched, "ridge", copy=True)
    with pytest.raises(error, match=message):
        scdash.tl.stability(adata, **options)
    with pytest.raises(TypeError, match="MuData"):
        scdash.tl.stability(np.ones((3, 3)))


def test_dynamics_are_fitted_again_on_halves():
    adata = scdash.simulate.grn_dynamics(n_genes=12, n_trajectories=16, rng=0)
    how = {"time_key": "time", "trajectory_key": "trajectory", "training": scdash.Training(max_epochs=0)}
    table = scdash.tl.stability(adata, n_repeats=2, **how)
    assert set(table["frequency"]) <= {0.5, 1.0} and "dynamics_stability" in adata.uns
    assert "dynamics" not in adata.uns
    with pytest.raises(ValueError, match="trajectory_key"):
        scdash.tl.stability(adata, n_repeats=2, time_key="time", observations="states")
    with pytest.raises(ValueError, match="copy"):
        scdash.tl.stability(adata, n_repeats=2, copy=True, **how)


def test_left_out_cells_stay_left_out():
    screen = parse_screen(["control", "a", None, "a"], __import__("pandas").Index(["a", "b"]))
    rows = bootstrap_rows(screen, np.random.default_rng(0))
    assert rows[2] == 2 and set(rows[[1, 3]]) <= {1, 3}
