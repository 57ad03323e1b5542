"""Baselines as fits: the same slots, predictions of all that predict, samples of a linear causal model."""

import anndata
import numpy as np
import pytest

import scdash
from scdash.screens.baselines.network_scores import masked_ridge
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.predictors import LinearScm, predictor_of

METHODS = (
    "ridge", "lasso", "differential_expression", "correlation", "forest", "notears", "notears_low_rank", "no_change",
    "mean_perturbation",
)  # fmt: skip
RANKING = ("differential_expression", "correlation", "forest")
QUICK = {"forest": {"n_trees": 3, "max_cells": 60}, "notears": {"lam": 0.1}, "notears_low_rank": {"rank": 2}}


@pytest.fixture(scope="module")
def all_of_them(small):
    adata = small.copy()
    for method in METHODS:
        scdash.tl.screen_baseline(
            adata, method, options=QUICK.get(method), model=scdash.models.PerturbODE(hold_out=["G003"])
        )
    return adata


@pytest.mark.parametrize("method", METHODS)
def test_every_baseline_is_read_and_compared_like_a_fit(all_of_them, method):
    entry = all_of_them.uns[method]
    assert all_of_them.varp[f"{method}_grn"].shape == (20, 20) and f"{method}_velocity" not in all_of_them.layers
    edges = scdash.get.grn(all_of_them, key=method)
    assert (edges["source"] != edges["target"]).all() and edges["score"].is_monotonic_decreasing
    assert (len(edges) == 0) == (method in ("no_change", "mean_perturbation"))
    if method in RANKING:
        with pytest.raises(ValueError, match="predicts nothing"):
            scdash.tl.predict_perturbations(all_of_them, ["G001"], key=method)
        return
    assert set(entry["held_out"]["perturbation"]) == {"G003"} and np.isfinite(entry["metrics"]["named_wr2"])
    found = scdash.tl.predict_perturbations(all_of_them, ["G003", "G001+G002"], key=method)
    assert np.isfinite(found.X).all()
    assert found.layers["change"][1, 1] > 1  # overexpressed


def test_ridge_is_the_function_behind_it(small):
    adata = scdash.tl.screen_baseline(small, "ridge", options={"alpha": 3.0}, copy=True)
    inputs = read_screen(small, ScreenRequest())
    score, model = masked_ridge(np.asarray(small.X, np.float32), inputs.screen, alpha=3.0)
    np.testing.assert_allclose(adata.varp["ridge_grn"].toarray(), model.weights, atol=1e-5)
    edges = adata.uns["ridge"]["edges"]
    top = edges.iloc[0]
    i, j = small.var_names.get_indexer([top["source"], top["target"]])
    assert top["score"] * top["sign"] == pytest.approx(score[i, j], rel=1e-4)


def test_a_baseline_says_what_it_is_and_that_nothing_was_left_out(all_of_them, small, caplog):
    adata = scdash.tl.screen_baseline(small, "ridge", copy=True)
    report = scdash.get.report(adata, key="ridge")
    first, second = str(report).splitlines()[:2]
    assert first.startswith("Baseline: ridge regression") and second.startswith("No perturbation was left out")
    assert "Empty DataFrame" not in repr(report) and "<table" not in report._repr_html_()
    assert "No perturbation was left out" not in all_of_them.uns["ridge"]["report"]
    with pytest.raises(ValueError, match=r"the baseline 'ridge' .* has no equation of dynamics"):
        scdash.get.model(adata, key="ridge")
    with pytest.raises(ValueError, match="has no equation of dynamics"):
        scdash.tl.perturb(adata, "G001", key="ridge")


@pytest.mark.parametrize(
    "call",
    [
        lambda a: scdash.pl.trends(a, key="ridge"),
        lambda a: scdash.pl.phase(a, ["G001", "G002"], key="ridge"),
        lambda a: scdash.pl.heatmap(a, key="ridge"),
        lambda a: scdash.tl.perturbation_scores(a, key="ridge"),
        lambda a: scdash.tl.gene_influence(a, key="ridge"),
        lambda a: scdash.tl.perturbation_shift(a, "G001", key="ridge"),
    ],
)
def test_what_needs_time_says_so_for_a_screen(all_of_them, call):
    with pytest.raises(ValueError, match="is the fit of a screen, which has no time"):
        call(all_of_them)


def test_constant_predictions_are_what_they_say(all_of_them, small):
    none = scdash.tl.predict_perturbations(all_of_them, ["G001", "G002"], key="no_change")
    free = ~np.asarray(none.layers["target"])
    assert (none.layers["change"][free] == 0).all()
    mean = scdash.tl.predict_perturbations(all_of_them, ["G001", "G002"], key="mean_perturbation").layers["change"]
    labels = small.obs["perturbation"].astype(str).to_numpy()
    x = np.asarray(small.X)
    control = x[labels == "control"].mean(0)
    others = [name for name in small.var_names if name not in ("G003", "G010")]
    expected = np.mean([x[labels == name, 10].mean() - control[10] for name in others])
    np.testing.assert_allclose(mean[:, 10], expected, atol=1e-5)


def test_cells_of_a_linear_model_have_its_mean_and_spread():
    weights = np.zeros((3, 3))
    weights[0, 1], weights[1, 2] = 0.8, -0.5
    model = Equilibrium(weights, np.zeros(3), np.array([2.0, 1.0, 1.0]), None)
    scm = LinearScm(model, np.array([0.3, 0.2, 0.1]), np.full(3, 4.0))
    target = np.array([False, True, False])
    cells = scm.cells(np.zeros((40_000, 3)), target, "overexpression", np.random.default_rng(0))
    np.testing.assert_allclose(cells.mean(0), [4, 5, 3.5], atol=0.01)
    cut = weights.copy()
    cut[:, 1] = 0
    spread = np.linalg.inv(np.eye(3) - cut)
    np.testing.assert_allclose(np.cov(cells.T), spread.T @ np.diag([0.09, 0.04, 0.01]) @ spread, atol=0.003)


def test_samples_survive_h5ad(all_of_them, tmp_path):
    all_of_them.write_h5ad(tmp_path / "all.h5ad")
    back = anndata.read_h5ad(tmp_path / "all.h5ad")
    assert isinstance(predictor_of(back.uns["notears"]), LinearScm)
    for method in ("ridge", "lasso", "notears", "mean_perturbation"):
        one, two = (scdash.tl.predict_perturbations(a, ["G001+G005"], key=method).X for a in (all_of_them, back))
        np.testing.assert_array_equal(one, two)


def test_errors(small):
    with pytest.raises(ValueError, match="ridge"):
        scdash.tl.screen_baseline(small, "rigde")
    with pytest.raises(ValueError, match="alpha"):
        scdash.tl.screen_baseline(small, "ridge", options={"lam": 1})


@pytest.mark.parametrize("options", [{"prior_weight": 3.0}, {"sources": "all"}, {"n_subsamples": 2}])
def test_settings_of_a_network_are_refused(small, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} of PerturbODE would have no effect"):
        scdash.tl.screen_baseline(small, "ridge", model=scdash.models.PerturbODE(**options))
