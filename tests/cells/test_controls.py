"""Random regulators, shuffled priors, halves of cells, and the verdict they lead to."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._data import Placed, as_expression, halve_cells
from scdash.dynamics.comparisons.null_models import random_regulators, shuffle_labels
from scdash.dynamics.predictors import long_horizon_errors
from scdash.networks.lagged_edges import lagged_scores, rank_correlation

from .test_predictions_without_network import CURVES, TIMES, series_of


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


def test_five_ahead_errors_are_over_five_states():
    series = series_of(CURVES, TIMES, [0, 2])
    found = long_horizon_errors(series, lambda start, times, code: np.stack([start]), "test")
    expected = ((CURVES[1, 5:] - CURVES[1, :-5]) ** 2).mean(1)
    np.testing.assert_allclose(found, expected)


def test_halves_of_cells_share_no_cell_and_cover_all_bins():
    cells = 60
    time = np.random.default_rng(2).random(cells)
    halves = halve_cells(as_expression(np.eye(cells)), Placed.of(time), n_bins=6, n_draws=3, rng=0)
    assert halves.quarters.shape == (4, 3, 1, 6, cells)
    np.testing.assert_allclose(halves.quarters.sum(-1), 1)
    seen = (halves.quarters > 0).any(axis=3)[:, :, 0]
    assert (seen.sum(axis=0) == 1).all()  # every cell in one quarter
    order = np.argsort(time)
    centre = (halves.halves[0][0, 0][:, order] * np.arange(cells)).sum(1)
    assert (np.diff(centre) > 0).all()  # bins follow time ...
    shuffled = halve_cells(as_expression(np.eye(cells)), Placed.of(time), n_bins=6, n_draws=3, shuffled=True, rng=0)
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
        lagged_scores(halve_cells(as_expression(x), Placed.of(time), shuffled=kind, rng=0)) for kind in (False, True)
    )
    score = real.frequency.toarray()
    assert score[1, 0] > max(score[1, 2], score[0, 1])  # (target, regulator)
    assert real.explained > shuffled.explained + 0.1
    assert not score.diagonal().any()
    assert rank_correlation(real.frequency, real.frequency) == pytest.approx(1)


def test_fits_of_cells_carry_a_verdict_that_survives_a_file(cells, tmp_path):
    import anndata

    prior = pd.DataFrame({"source": ["g0", "g1", "g2", "g3"] * 2, "target": [f"g{i}" for i in range(4, 12)]})
    how = {"time_key": "time", "batch_key": "batch", "regulators": "is_tf", "prior": prior}
    scdash.tl.fit_dynamics(cells, observations=scdash.Cells(n_bins=10), training=scdash.Training(max_epochs=10), **how)
    before = scdash.get.report(cells, verbosity=3)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    report = scdash.get.report(anndata.read_h5ad(tmp_path / "cells.h5ad"), verbosity=3)
    pd.testing.assert_frame_equal(before, report, check_dtype=False)  # pandas 3 reads texts as str
    assert before.attrs["summary"] == report.attrs["summary"]
    verdict = report.attrs["verdict"]
    assert verdict["figures"]["regulators_number"] == 4
    assert {verdict[name] for name in ("network", "regulators", "time")} <= {"better", "not distinguished"}
    assert verdict["supports_network"] is (verdict["network"] == verdict["regulators"] == "better")
    assert verdict["text"] in report.attrs["summary"]
    assert set(scdash.get.grn(cells)["source"]) <= {f"g{i}" for i in range(4)}


def test_null_models_can_be_left_out_or_chosen_anew(cells):
    how = {
        "time_key": "time",
        "batch_key": "batch",
        "observations": scdash.Cells(n_bins=10),
        "training": scdash.Training(max_epochs=5),
    }
    found = {}
    for controls in (False, True, "full"):
        scdash.tl.fit_dynamics(cells, regulators="is_tf", validation=scdash.Validation(null_models=controls), **how)
        found[controls] = scdash.get.report(cells).set_index("predictor")["error"]
    assert set(found[True]) and set(found[False].index) < set(found[True].index) == set(found["full"].index)
    for name in found[True].index:
        same = not name.startswith(("random", "shuffled"))
        assert (found[True][name] == found["full"][name]) >= same
    assert (found[True] != found["full"]).any()
    with pytest.raises(ValueError, match="null_models"):
        scdash.tl.fit_dynamics(cells, validation=scdash.Validation(null_models="some"), **how)


def test_quarters_of_sparse_cells_are_those_of_dense_ones():
    """Only the cells of each quarter are multiplied, with those of several lineages and draws kept apart."""
    rng = np.random.default_rng(0)
    values = rng.random((90, 7)) * (rng.random((90, 7)) < 0.4)
    lineage = np.array(["a", "b"])[rng.integers(2, size=90)]
    options = {"n_bins": 5, "n_draws": 3, "rng": 1}
    time = rng.random(90)
    found = halve_cells(as_expression(sp.csr_matrix(values)), Placed.of(time, lineage), **options).quarters
    expected = halve_cells(as_expression(values), Placed.of(time, lineage), **options).quarters
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    assert not np.allclose(found[0], found[1])
