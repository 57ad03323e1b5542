"""Random regulators, shuffled priors and times, noise floor, halves of cells, and the verdict they lead to."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._data import as_expression, halve_cells
from scdash.fitting._predictors import ahead_errors
from scdash.fitting._verdict import judge
from scdash.matching import (
    lagged_scores,
    noise_floor,
    random_regulators,
    rank_correlation,
    shuffle_labels,
    shuffle_times,
)

from .test_forecasts import CURVES, TIMES, series_of


def test_random_regulators_are_others_of_the_same_number():
    rng, tfs = np.random.default_rng(0), np.array([1, 4, 7])
    for genes in random_regulators(tfs, 20, rng, number=6):
        assert len(set(genes)) == 3
        assert not set(genes) & set(tfs)
    crowded = random_regulators(np.arange(15), 20, rng)
    assert {len(genes) for genes in crowded} == {15}
    assert random_regulators(np.arange(20), 20, rng) == []


def test_shuffled_labels_keep_degrees_and_who_regulates():
    rng = np.random.default_rng(1)
    dense = np.zeros((12, 12))
    dense[:, :4] = rng.integers(-1, 2, (12, 4))
    shuffled = shuffle_labels(sp.csr_matrix(dense), np.arange(4), rng).toarray()
    assert not shuffled[:, 4:].any()
    assert (shuffled != dense).any()
    for axis in (0, 1):
        assert sorted((shuffled != 0).sum(axis)) == sorted((dense != 0).sum(axis))
    assert sorted(shuffled.ravel()) == sorted(dense.ravel())


def test_shuffled_times_move_training_states_alone():
    series = series_of(CURVES, TIMES, [0, 2])
    found = shuffle_times(series, np.random.default_rng(0))
    np.testing.assert_array_equal(found.states[9:], series.states[9:])
    assert (found.states[:9] != series.states[:9]).any()
    np.testing.assert_array_equal(np.sort(found.states[:9], axis=0), np.sort(series.states[:9], axis=0))


def test_noise_floor_is_the_deviation_of_redrawn_trajectories():
    noise = np.random.default_rng(0).normal(size=(2, 9, 2))
    curves = np.concatenate([CURVES[:1], CURVES[:1] + noise])
    series = series_of(curves, TIMES, [2, 2, 2], names=["a", "a#1", "a#2"], origin=np.zeros(3, int))
    assert noise_floor(series, "test") == pytest.approx((noise[:, 1:] ** 2).mean())  # the first bin is the start
    assert np.isnan(noise_floor(series.originals(), "test"))
    assert len(series.originals()) == 9


def test_five_ahead_errors_are_over_five_states():
    series = series_of(CURVES, TIMES, [0, 2])
    found = ahead_errors(series, lambda start, times, code: np.stack([start]), "test")
    expected = ((CURVES[1, 5:] - CURVES[1, :-5]) ** 2).mean(1)
    np.testing.assert_allclose(found, expected)


def test_halves_of_cells_share_no_cell_and_cover_all_bins():
    cells = 60
    time = np.random.default_rng(2).random(cells)
    halves = halve_cells(as_expression(np.eye(cells)), time, n_bins=6, n_draws=3, rng=0)
    assert halves.quarters.shape == (4, 3, 1, 6, cells)
    np.testing.assert_allclose(halves.quarters.sum(-1), 1)
    seen = (halves.quarters > 0).any(axis=3)[:, :, 0]
    assert (seen.sum(axis=0) == 1).all()  # every cell in one quarter
    order = np.argsort(time)
    centre = (halves.halves[0][0, 0][:, order] * np.arange(cells)).sum(1)
    assert (np.diff(centre) > 0).all()  # bins follow time ...
    shuffled = halve_cells(as_expression(np.eye(cells)), time, n_bins=6, n_draws=3, shuffled=True, rng=0)
    centre = (shuffled.halves[0][0, 0][:, order] * np.arange(cells)).sum(1)
    assert not (np.diff(centre) > 0).all()  # ... unless it is shuffled


def test_lagged_scores_find_a_driver_and_shuffled_time_does_not():
    rng = np.random.default_rng(3)
    time = np.sort(rng.random(2000))
    level = np.interp(time, np.linspace(0, 1, 9), rng.normal(size=9))
    later = np.interp(time - 0.1, time, level)
    other = np.interp(time, np.linspace(0, 1, 9), rng.normal(size=9))
    x = np.column_stack([level, later, other]) + 0.3 * rng.normal(size=(2000, 3))
    real, shuffled = (
        lagged_scores(halve_cells(as_expression(x), time, shuffled=kind, rng=0)) for kind in (False, True)
    )
    score = real.frequency.toarray()
    assert score[1, 0] > max(score[1, 2], score[0, 1])  # (target, regulator)
    assert real.explained > shuffled.explained + 0.1
    assert not score.diagonal().any()
    assert rank_correlation(real.frequency, real.frequency) == pytest.approx(1)


@pytest.mark.parametrize(
    ("model", "random", "template", "supports"),
    [(0.1, 0.2, 0.2, True), (0.1, 0.05, 0.2, False), (0.1, 0.2, 0.05, False), (0.1, None, 0.2, False)],
)
def test_a_network_is_supported_only_if_it_beats_both(model, random, template, supports):
    rows = {"phoenix": model, "no network": 0.3, "template": template, "shuffled time": 0.5, "constant": 0.4}
    if random is not None:
        rows |= {f"random regulators {k}": value for k, value in enumerate([random, 0.3, 0.3, 0.3], 1)}
    table = pd.DataFrame({"predictor": list(rows), "rollout_mse": list(rows.values())})
    verdict = judge(table, {"noise_floor": 0.01})
    assert verdict.supports_network is supports
    assert ("better with these regulators than with random ones" in verdict.text) is (verdict.regulators == "better")
    assert ("Not tested: whether these regulators" in verdict.text) is (random is None)
    assert verdict.best_without_network == ("template" if template < 0.3 else "no network")


def test_fits_of_cells_carry_a_verdict_that_survives_a_file(cells, tmp_path):
    import anndata

    prior = pd.DataFrame({"source": ["g0", "g1", "g2", "g3"] * 2, "target": [f"g{i}" for i in range(4, 12)]})
    how = {"time_key": "time", "batch_key": "batch", "split_key": "split", "regulators": "is_tf", "prior": prior}
    scdash.tl.fit_dynamics(cells, n_bins=10, observations="cells", training=scdash.Training(max_epochs=0), **how)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    report = scdash.get.report(anndata.read_h5ad(tmp_path / "cells.h5ad"))
    verdict = report.attrs["verdict"]
    figures, errors = verdict["figures"], report.set_index("predictor")["rollout_mse"]
    assert figures["random_sets"] == 4
    assert figures["shuffled_priors"] == 5
    assert figures["held_out_stretches"] == 1
    assert figures["explained_by_real_time"] > figures["explained_by_shuffled_time"]
    assert 0 < figures["noise_floor"] < figures["constant"]
    assert {verdict[name] for name in ("network", "regulators", "prior", "time")} <= {"better", "not distinguished"}
    assert verdict["supports_network"] is (verdict["network"] == verdict["regulators"] == "better")
    assert figures["best_without_network"] == errors[verdict["best_without_network"]]
    assert verdict["text"] in report.attrs["summary"]
    assert np.isfinite(report["five_ahead_mse"]).all()
    edges = scdash.get.grn(cells)
    assert set(edges["source"]) <= {f"g{i}" for i in range(4)}


def test_controls_can_be_left_out_or_searched_in_full(cells):
    how = {"time_key": "time", "batch_key": "batch", "split_key": "split", "n_bins": 10, "observations": "cells"}
    scdash.tl.fit_dynamics(
        cells, training=scdash.Training(max_epochs=0), validation=scdash.Validation(null_models=False), **how
    )
    report = scdash.get.report(cells)
    assert report.attrs["verdict"] == {}
    assert "template" not in set(report["predictor"])
    scdash.tl.fit_dynamics(
        cells,
        start="random",
        sparsity="none",
        model=scdash.models.Phoenix(encoder="modules"),
        training=scdash.Training(max_epochs=2),
        validation=scdash.Validation(null_models="full"),
        **how,
    )
    report = scdash.get.report(cells)
    assert {"matching", "shuffled time", "analogue"} <= set(report["predictor"])
    assert report.attrs["verdict"]["figures"]["random_sets"] == 0
    assert not report.attrs["verdict"]["supports_network"]
    with pytest.raises(ValueError, match="null_models"):
        scdash.tl.fit_dynamics(cells, validation=scdash.Validation(null_models="some"), **how)
