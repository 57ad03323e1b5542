"""The network of a fit of time courses is its model, products included; pruning, schedule and prior change it."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import scdash
from scdash.dynamics.comparisons.null_models import shuffled_priors
from scdash.dynamics.state_pairs import assembly
from scdash.dynamics.whole_trajectories.states import folds_of_states, start_of
from scdash.regression import TransitionSettings, fit_transitions

from .data import dependencies, series_of, time_courses

KEYS = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
SPARSITY = ("dash", "imp", "bio", "none")


def trajectories():
    return time_courses(n_genes=30, n_trajectories=40, n_edges=60, rng=3)


def fitted(name, adata=None, **options):
    adata = trajectories() if adata is None else adata
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], sparsity=name, **KEYS, **options)
    return adata


@pytest.fixture(scope="module")
def fits():
    return {name: fitted(name) for name in SPARSITY}


@pytest.fixture(scope="module")
def single():
    rng = np.random.default_rng(0)
    adata = time_courses(n_genes=12, n_trajectories=4, times=tuple(np.linspace(0, 6, 25)), n_edges=20, rng=1)
    adata = adata[adata.obs["trajectory"] == adata.obs["trajectory"].iloc[0]].copy()
    adata.X = np.asarray(adata.layers["clean"] + rng.normal(0, 0.005, adata.shape), dtype=np.float32)
    scdash.tl.fit_dynamics(adata, time_key="time", sparsity="imp", progress=False)
    return adata


def network(adata):
    return adata.varp["dynamics_grn"].toarray() != 0


@pytest.mark.parametrize("name", SPARSITY)
def test_the_stored_network_is_what_the_stored_model_depends_on(fits, name):
    np.testing.assert_array_equal(dependencies(fits[name]), network(fits[name]))


def test_the_network_of_a_single_trajectory_is_its_model(single):
    np.testing.assert_array_equal(dependencies(single), network(single))
    assert "left-out parts of trajectories" in scdash.get.report(single).attrs["summary"]


@pytest.mark.parametrize("options", [{"training": scdash.Training(max_epochs=0)}, {"n_models": 2}])
def test_the_network_is_the_model_where_nothing_is_trained_and_with_replicates(options):
    adata = fitted("dash", **options)
    np.testing.assert_array_equal(dependencies(adata), network(adata))


def test_products_are_part_of_the_model_whose_network_is_stored(fits):
    model = scdash.get.model(fits["none"])
    assert model.field.pairs and fits["none"].uns["dynamics"]["params"]["chosen"]["epochs"] > 0


@pytest.mark.parametrize("name", SPARSITY)
def test_a_knock_out_moves_the_targets_of_the_network_first(fits, name):
    adata = fits[name]
    edges = pd.DataFrame(network(adata), adata.var_names, adata.var_names)
    gene = edges.sum(axis=1).idxmax()
    soon = scdash.tl.perturb(adata, {gene: 0.0}, times=[0, 1e-3]).uns["change"].set_index("gene")["change"]
    moved = set(soon.index[soon.abs() > 1e-5]) - {
        gene
    }  # what is further down the network moves less in so short a time
    assert moved and moved <= set(edges.columns[edges.loc[gene]])


def test_the_table_the_metrics_and_the_sparsity_are_of_that_network(fits):
    for adata in fits.values():
        edges = network(adata)
        table = scdash.get.grn(adata)
        used = table[table["weight"] != 0]
        assert len(used) == edges.sum() == adata.uns["dynamics"]["metrics"]["edges"]
        assert used["score"].min() > table.loc[table["weight"] == 0, "score"].max()
        place = {gene: number for number, gene in enumerate(adata.var_names)}
        assert edges[used["source"].map(place).astype(int), used["target"].map(place).astype(int)].all()


def test_methods_give_different_networks_and_none_keeps_every_edge(fits):
    edges = {name: network(adata) for name, adata in fits.items()}
    chosen = {name: adata.uns["dynamics"]["params"]["chosen"] for name, adata in fits.items()}
    assert chosen["none"]["level"] == 0 and min(chosen[name]["level"] for name in ("dash", "imp", "bio")) > 0
    for name in ("dash", "imp", "bio"):
        assert edges[name].sum() < edges["none"].sum() and (edges[name] <= edges["none"]).all()
        assert fits[name].uns["dynamics"]["params"]["sparsity"] == f"regression and {name}"
    assert (edges["imp"] != edges["dash"]).any() and (edges["imp"] != edges["bio"]).any()


def test_lambdas_and_a_schedule_change_the_network(fits):
    found = [network(fitted(scdash.sparsity.DASH(lambdas=strength))) for strength in (0.0, 1.0)]
    assert (found[0] != found[1]).any()
    plan = scdash.sparsity.GeometricSchedule(first=0.7, first_epoch=0, then=0.0, every=5)
    table = fitted(scdash.sparsity.MagnitudePruning(schedule=plan)).uns["dynamics"]["params"]["choices"]
    pruned = table.loc[table["stage"] == "pruned", "edges"]
    assert len(pruned) == 2 and pruned.iloc[1] < 0.4 * pruned.iloc[0]


def test_trajectories_for_test_have_no_influence_on_the_model(fits):
    adata = trajectories()
    adata.X[(adata.obs["split"] == "test").to_numpy()] += 0.3
    np.testing.assert_array_equal(network(fitted("imp", adata)), network(fits["imp"]))


def test_trajectories_for_validation_are_learned_from():
    adata = trajectories()
    adata.X[(adata.obs["split"] == "validation").to_numpy()] += 0.3
    changed = fitted("none", adata).varp["dynamics_grn"].toarray()
    assert np.abs(changed - fitted("none").varp["dynamics_grn"].toarray()).max() > 0


def test_the_report_says_what_the_folds_left_out_and_how_long_training_was(fits):
    text = scdash.get.report(fits["dash"]).attrs["summary"]
    assert "trained as a neural ODE for" in text and "chosen by left-out trajectories" in text


def regression(states, **options):
    settings = TransitionSettings.for_time_courses(rounds=2, half_samples=0, products=0, gene_rates=(1.0,), **options)
    return fit_transitions(series_of(states, np.zeros(states.shape[:2])), settings=settings)


def test_folds_hold_trajectories_out_of_what_they_learn_from():
    adata = trajectories()
    states = np.asarray(adata.X).reshape(-1, 5, adata.n_vars)[:20]
    fit = regression(states)
    folds = folds_of_states(fit)
    assert [len(fold.held) for fold in folds] == [4] * 5 and [len(fold.train) for fold in folds] == [16] * 5
    held = np.concatenate([fold.held.states[:, 0] for fold in folds])
    expected = 0.5 + fit.slope * (states[:, 0] - 0.5)
    np.testing.assert_allclose(np.sort(held, axis=0), np.sort(expected, axis=0), rtol=1e-5)
    for fold in folds:
        learned = {row.tobytes() for row in fold.train.states[:, 2].round(4)}
        assert not learned & {row.tobytes() for row in fold.held.states[:, 2].round(4)}


def test_a_start_is_the_regression_and_has_edges_of_a_weaker_penalty_with_weight_zero():
    adata = trajectories()
    fit = regression(np.asarray(adata.X).reshape(-1, 5, adata.n_vars)[:30])
    start = start_of(fit.parts[0])
    stored, nonzero = start.weights.nnz, np.count_nonzero(start.weights.data)
    assert nonzero == fit.effects.nnz < stored
    np.testing.assert_allclose(start.weights.toarray(), fit.effects.toarray(), rtol=1e-5, atol=1e-7)


def test_a_shuffled_prior_is_not_used():
    adata = trajectories()
    series = series_of(np.asarray(adata.X).reshape(-1, 5, adata.n_vars)[:40], np.zeros((40, 5)))
    place = {gene: number for number, gene in enumerate(adata.var_names)}
    prior = adata.uns["prior"]
    matrix = np.zeros((adata.n_vars, adata.n_vars))
    matrix[prior["target"].map(place).astype(int), prior["source"].map(place).astype(int)] = 1
    wrong = shuffled_priors(sp.csr_matrix(matrix), None, np.random.default_rng(0), number=3)
    settings = TransitionSettings.for_time_courses(rounds=2, half_samples=0, products=0, gene_rates=(1.0,))
    weights = [fit_transitions(series, prior=one, settings=settings).prior_weight for one in (matrix, *wrong)]
    assert weights[0] > 1 and weights[1:].count(1.0) >= 2


def short_course(samples):
    rng = np.random.default_rng(0)
    adata = AnnData((1 / (1 + np.exp(-np.cumsum(rng.normal(size=(samples, 12)), axis=0)))).astype(np.float32))
    adata.obs["time"] = np.arange(samples)
    return adata


def test_a_single_course_of_five_samples_is_fitted():
    adata = short_course(5)
    scdash.tl.fit_dynamics(adata, time_key="time", progress=False)
    assert np.isfinite(adata.layers["dynamics_velocity"]).all()


@pytest.mark.parametrize(("start", "usable"), [("auto", False), ("random", True)])
def test_the_solver_check_advises_only_what_the_training_has(start, usable, monkeypatch):
    monkeypatch.setattr(assembly, "_solver_error", lambda *_: 0.04)
    adata, short = short_course(8), scdash.Training(max_epochs=8)
    scdash.tl.fit_dynamics(adata, time_key="time", start=start, training=short, progress=False)
    (line,) = [text for text in adata.uns["dynamics"]["report"].splitlines() if text.startswith("Solver check")]
    assert "differs from dopri5 by 4.0% of the change" in line and ("raise Training(steps=...)" in line) == usable
    steps = scdash.Training(max_epochs=8, steps=8)
    if usable:
        scdash.tl.fit_dynamics(adata, time_key="time", start=start, training=steps, progress=False)
    else:
        with pytest.raises(ValueError, match="steps of Training would have no effect"):
            scdash.tl.fit_dynamics(adata, time_key="time", start=start, training=steps, progress=False)
