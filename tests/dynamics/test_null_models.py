"""Null models are alive: each changes where it is given something obviously wrong, and each is trained as the model is."""

import threading
from dataclasses import replace

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash._core import parallel as _parallel
from scdash.dynamics.comparisons.baselines import BASELINES, baseline_errors
from scdash.dynamics.comparisons.null_models import (
    NO_NETWORK,
    SHUFFLED_TIME,
    NullModel,
    learned_from,
    no_network_errors,
    null_model_errors,
    null_models,
    renamed,
    without_network,
)
from scdash.dynamics.inputs import read_inputs
from scdash.dynamics.whole_trajectories import one_fit as whole_fit
from scdash.dynamics.whole_trajectories.evaluation import held_out_error
from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, OTHER_HALF, make_folds
from scdash.dynamics.whole_trajectories.one_fit import Ingredients, choose, dense_candidates, fit_chosen
from scdash.dynamics.whole_trajectories.pruning import ROUNDS
from scdash.sparsity import as_sparsity

from .data import PRIOR, cells_of

FEW = (0, 10, 20)  # epochs


def problem_of(batches):
    nothing = dict.fromkeys(("layer", "mask_var", "trajectory_key", "split_key", "coregulation"))
    keys = {"time_key": "time", "batch_key": "batch", "observations": "cells", "regulators": "is_tf"}
    return read_inputs(cells_of(batches), **nothing, **keys, prior=PRIOR, n_bins=10, seed=0, by_folds=True).problem


def made_of(problem, **changes):
    settings = {"prior": problem.prior, "regulators": problem.regulators, "epochs": FEW}
    schedule = replace(ROUNDS, every=5, until=0.7)
    return Ingredients(as_sparsity("dash", schedule=schedule), **settings | changes)


@pytest.fixture(scope="module")
def left_out():
    problem = problem_of(4)
    own, folds = made_of(problem), make_folds(problem)
    return problem, own, folds, choose(own, folds, progress=False)


@pytest.fixture(scope="module")
def halves():
    problem = problem_of(1)
    own, folds = made_of(problem), make_folds(problem)
    return problem, own, folds, choose(own, folds, progress=False)


def test_by_default_every_batch_is_left_out_once(left_out):
    problem, _, folds, _ = left_out
    assert not problem.series.split.any() and len(folds) == 4 and folds[0].kind == LEFT_OUT


def test_what_is_evaluated_is_what_is_refitted(left_out):
    """Trained for fewer epochs than could have been chosen, a model has the schedule of the one that was evaluated."""
    _, own, folds, choice = left_out
    for epochs in FEW[1:]:
        evaluated = dense_candidates(own, folds[0].train, 1.0, FEW)[FEW.index(epochs)]
        (again,) = dense_candidates(own, folds[0].train, 1.0, (epochs,))
        np.testing.assert_array_equal(evaluated.model.weights.data, again.model.weights.data)
    for fold, error, model in zip(folds, choice.errors, choice.models, strict=True):
        refitted = fit_chosen(own, fold.train, choice)
        assert held_out_error(refitted.model, fold) == error == held_out_error(model, fold)
    stage = "trained after pruning" if choice.epochs_after else "pruned"
    row = choice.table[(choice.table["stage"] == stage) & (choice.table["level"] == choice.level)]
    np.testing.assert_allclose(row.filter(like="fold").to_numpy()[0], choice.errors)


def test_a_null_model_of_the_models_own_ingredients_is_the_model(left_out):
    """So that a null model differs by what it changes, and by nothing else."""
    _, own, folds, choice = left_out
    same = NullModel("the model", own)
    for fold, error in zip(folds, choice.errors, strict=True):
        assert held_out_error(fit_chosen(same.made_of, learned_from(same, fold.train), choice).model, fold) == error


def test_wrong_regulators_prior_and_time_change_the_fit(left_out):
    problem, own, folds, choice = left_out
    used = replace(choice, prior_weight=5.0)  # whichever was chosen: a prior that is used must matter
    fold = folds[0]

    def error(changed, trajectories=fold.train):
        return held_out_error(fit_chosen(changed, trajectories, used).model, fold)

    right = error(own)
    wrong = np.zeros((problem.n_genes, problem.n_genes))
    wrong[0, 1:4] = 1  # nothing but edges into one gene
    assert error(replace(own, prior=sp.csr_matrix(wrong))) != pytest.approx(right, rel=1e-3)
    alone = []
    for one in folds:
        still = one.train.states.copy()
        still[:, :, 11] = 0.5  # a regulator that never changes explains nothing
        trajectories = replace(one.train, states=still)
        fitted = fit_chosen(replace(own, regulators=np.array([11])), trajectories, choice)
        alone.append(held_out_error(fitted.model, one))
    assert np.mean(alone) > 1.3 * choice.errors.mean()
    time = NullModel("shuffled time", own, shuffles_time=True)
    assert error(own, learned_from(time, fold.train)) > 1.2 * right


def test_without_a_network_there_is_no_edge_and_rate_and_epochs_are_chosen_anew(left_out):
    _, own, folds, _ = left_out
    starts, tables = without_network(own), []
    assert [one.regressions.rates for one in starts] == [(0.12, 0.6), (0.03,), (0.12,), (0.6,)]
    for alone in starts:
        paths = [dense_candidates(alone, fold.train, 1.0, FEW) for fold in folds]
        assert all(one.edges == 0 for path in paths for one in path)
        assert (paths[0][0].model.bias != paths[0][-1].model.bias).any()  # it is trained
        tables.append([[held_out_error(m.model, f) for m in path] for path, f in zip(paths, folds, strict=True)])
    table = np.swapaxes(tables, 1, 2)  # (starts, epochs, folds)
    chosen = table[table[:, 0].mean(-1).argmin()]
    np.testing.assert_allclose(no_network_errors(own, folds, progress=False), chosen[chosen.mean(-1).argmin()])


def test_errors_of_every_null_model_are_on_the_folds_of_the_model(left_out):
    _, own, folds, choice = left_out
    found = null_model_errors(own, choice, folds, progress=False)
    assert list(found)[0] == NO_NETWORK and SHUFFLED_TIME in found
    assert all(errors.shape == (4,) for errors in found.values())
    used = choice.prior_weight != 1
    assert any(name.startswith("shuffled prior") for name in found) == used
    sets = [errors for name, errors in found.items() if name.startswith("random regulators")]
    assert len({tuple(errors.tolist()) for errors in sets}) == 4
    assert all((errors != choice.errors).any() for errors in found.values())


@pytest.mark.parametrize("backend", ["threads by default", "sequential", "threading", "loky", "dask", "ray"])
def test_null_models_are_the_same_wherever_they_are_fitted(halves, backend, monkeypatch, joblib_backend):
    _, own, folds, choice = halves
    if backend == "threads by default":
        monkeypatch.setattr(_parallel, "_torch_threads", lambda: 3)
        monkeypatch.setattr(whole_fit, "THREADED", 1)
        found = null_model_errors(own, choice, folds, progress=False)
    else:
        with joblib_backend(backend):
            found = null_model_errors(own, choice, folds, progress=False)
    monkeypatch.undo()
    alone = null_model_errors(own, choice, folds, progress=False)
    assert list(found) == list(alone)
    for name, errors in alone.items():
        np.testing.assert_array_equal(found[name], errors)


def test_pieces_run_in_threads_only_where_nothing_is_said_about_joblib(monkeypatch):
    monkeypatch.setattr(_parallel, "_torch_threads", lambda: 3)
    barrier = threading.Barrier(3, timeout=30)

    def names():
        calls = _parallel.spread_all(
            lambda: (barrier.wait(), threading.current_thread().name)[1], [()] * 3, "x", threads=True
        )
        return set(calls)

    assert len(names()) == 3
    with joblib.parallel_config(n_jobs=1):
        found = _parallel.spread_all(lambda: threading.current_thread().name, [()] * 3, "x", threads=True)
    assert set(found) == {threading.current_thread().name}
    one = _parallel.spread_all(lambda: torch.get_num_threads(), [()] * 3, "x", threads=True)
    assert one == [1, 1, 1]


def test_of_halves_of_the_same_cells_every_null_model_is_fitted_on_one(halves):
    _, own, folds, choice = halves
    found = null_model_errors(own, choice, folds, progress=False)
    where = {name: np.flatnonzero(np.isfinite(errors)).tolist() for name, errors in found.items()}
    assert [where[f"random regulators {k + 1}"] for k in range(4)] == [[0], [1], [2], [3]]
    assert where["shuffled time"] == [0, 1] and where["no network"] == [0, 1, 2, 3]


def test_what_cannot_be_drawn_or_is_not_used_is_left_out(left_out):
    problem, own, _, choice = left_out

    def names(made_of, weight=5.0):
        drawn = null_models(made_of, replace(choice, prior_weight=weight), problem.n_genes, np.random.default_rng(0))
        return [null.name.rstrip(" 0123456789") for null in drawn]

    assert names(own) == ["random regulators"] * 4 + ["shuffled prior"] * 4 + ["shuffled time"]
    assert names(own, weight=1.0) == ["random regulators"] * 4 + ["shuffled time"]
    assert names(replace(own, prior=None)) == ["random regulators"] * 4 + ["shuffled time"]
    assert names(replace(own, regulators=None)) == ["shuffled prior"] * 4 + ["shuffled time"]
    every = sp.csr_matrix(np.ones((problem.n_genes, problem.n_genes)))
    assert names(replace(own, prior=every)) == ["random regulators"] * 4 + ["shuffled time"]


def test_random_regulators_have_the_edges_of_the_real_ones():
    prior = np.zeros((6, 6))
    prior[3, 0], prior[4, 0], prior[4, 1], prior[2, 5] = 1, -1, 1, 1
    found = renamed(sp.csr_matrix(prior), np.array([0, 1]), np.array([2, 4])).toarray()
    assert found[3, 2] == 1 and found[4, 2] == -1
    assert np.count_nonzero(found) == 2  # none of a gene on itself, and none of genes that may not regulate


def test_baselines_follow_training_trajectories_of_batches_and_not_of_halves(left_out, halves):
    found = baseline_errors(left_out[2])
    assert tuple(found) == BASELINES
    assert all(errors.shape == (4,) and np.isfinite(errors).all() for errors in found.values())
    np.testing.assert_array_equal(found["constant"], 1)
    fold = left_out[2][0]
    own = fold.train.states.mean(axis=0)
    squares = ((own[None] - fold.held.states)[:, 1:] ** 2 * fold.weights / fold.weights.sum()).sum(-1).mean()
    # the mean of all training trajectories; resampled ones are drawn from the same cells
    assert found["mean trajectory"][0] == pytest.approx(squares / fold.constant_error, rel=1e-4)
    assert halves[2][0].kind == OTHER_HALF
    assert tuple(baseline_errors(halves[2])) == ("constant", "persistence")


def test_baselines_keep_lineages_apart(left_out):
    _, _, folds, _ = left_out
    fold = folds[0]
    other = replace(fold.train, states=np.concatenate([fold.train.states, 9 + fold.train.states]))
    other = replace(
        other,
        intervals=np.tile(fold.train.intervals, (2, 1)),
        lengths=np.tile(fold.train.lengths, 2),
    )
    lineages = np.repeat([0, 1], len(fold.train))
    both = replace(fold, train=other, train_lineage=lineages)
    ours, alone = baseline_errors([both]), baseline_errors([fold])
    for name in BASELINES[1:]:  # the constant they are divided by is that of both lineages
        scaled = ours[name] * both.constant_error
        np.testing.assert_allclose(scaled, alone[name] * fold.constant_error, rtol=1e-4)
