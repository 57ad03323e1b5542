"""Regressions and starts of training are chosen by what was left out, and the model that is stored has those."""

from dataclasses import fields, replace

import numpy as np
import pytest

from scdash._core.errors import NonFiniteError
from scdash.dynamics.inputs import read_inputs
from scdash.dynamics.whole_trajectories import one_fit, regression_choice
from scdash.dynamics.whole_trajectories.evaluation import held_out_error
from scdash.dynamics.whole_trajectories.folds import Fold, make_folds
from scdash.dynamics.whole_trajectories.one_fit import Ingredients, choose, fit_chosen
from scdash.dynamics.whole_trajectories.pruning import ROUNDS
from scdash.dynamics.whole_trajectories.regression_choice import (
    AVERAGED,
    RATES,
    TRAINED,
    candidates,
    choose_regressions,
)
from scdash.dynamics.whole_trajectories.start import Regressions, regression_start
from scdash.sparsity import as_sparsity
from scdash.training.rollouts import GeneWise, Trajectories, roll_out

from .data import cells_of

GENES = 8


@pytest.fixture(scope="module")
def batches():
    nothing = dict.fromkeys(("layer", "mask_var", "trajectory_key", "split_key", "coregulation"))
    keys = {"time_key": "time", "batch_key": "batch", "observations": "cells", "regulators": "is_tf"}
    problem = read_inputs(cells_of(4), **nothing, **keys, prior=None, n_bins=10, seed=0, by_folds=True).problem
    own = Ingredients(
        as_sparsity("imp", schedule=replace(ROUNDS, every=5, until=0.7)),
        regulators=problem.regulators,
        epochs=(0, 10),
        mixed_starts=(False, True),
    )
    return own, make_folds(problem)


def relaxing(rate):
    """Return folds of trajectories that relax at one rate, the same for all genes, from noisy starts."""
    rng = np.random.default_rng(0)
    model = GeneWise.of(np.zeros((GENES, GENES)), np.full(GENES, 0.5), np.full(GENES, rate))
    starts = rng.random((6, GENES)).astype(np.float32)
    states = roll_out(model, starts, np.ones((6, 11), np.float32), 8) + rng.normal(0, 0.01, (6, 12, GENES))
    every = Trajectories.of(list(states), [np.arange(12.0)] * 6)
    none = np.zeros(3, np.intp)
    parts = [
        (every.select(slice(0, 3)), every.select(slice(3, 6))),
        (every.select(slice(3, 6)), every.select(slice(0, 3))),
    ]
    return [Fold(train, held, held.states[:, 0], "any", np.ones(GENES), none, none) for train, held in parts]


def test_the_regressions_with_the_smallest_error_on_the_folds_are_chosen(batches):
    own, folds = batches
    choice = choose_regressions(own, folds, progress=False)
    offered = candidates(own.regressions)
    assert [(one.rates, one.averaged) for one in offered] == [(rates, number) for rates in RATES for number in AVERAGED]
    errors = []
    for one in offered:
        starts = [regression_start(fold.train, regulators=own.regulators, regressions=one) for fold in folds]
        errors.append([held_out_error(start, fold) for start, fold in zip(starts, folds, strict=True)])
    np.testing.assert_allclose(choice.table.filter(like="fold").to_numpy(), errors)
    trained = choice.table["trained"]
    finalists = np.mean(errors, axis=1).argsort()[:TRAINED]
    assert sorted(np.flatnonzero(trained.notna())) == sorted(finalists)
    best = int(trained.idxmin())
    assert choice.made_of.regressions == offered[best] and choice.trial.lowest.mean() == trained[best]
    others = [field.name for field in fields(own) if field.name != "regressions"]
    assert all(getattr(choice.made_of, name) is getattr(own, name) for name in others)
    for fold, start in zip(folds, choice.trial.starts, strict=True):  # the training begins with these
        again = regression_start(fold.train, regulators=own.regulators, regressions=offered[best])
        np.testing.assert_array_equal(start.weights.toarray(), again.weights.toarray())


def test_trained_models_decide_between_two_regressions_and_their_training_is_not_made_again(batches, monkeypatch):
    own, folds = batches
    plain = choose_regressions(own, folds, progress=False)
    evaluated, made = one_fit.dense_trial, []

    def spoilt(made_of, *arguments, **options):  # from the regressions that were chosen training leads astray
        found = evaluated(made_of, *arguments, **options)
        made.append((made_of.regressions, options["mixed"]))
        errors = found.evaluated.errors + 10 * (made_of.regressions == plain.made_of.regressions)
        return replace(found, evaluated=replace(found.evaluated, errors=errors))

    monkeypatch.setattr(regression_choice, "dense_trial", spoilt)
    monkeypatch.setattr(one_fit, "dense_trial", spoilt)
    other = choose_regressions(own, folds, progress=False)
    assert other.made_of.regressions != plain.made_of.regressions
    assert [mixed for _, mixed in made] == [False] * TRAINED
    made.clear()
    choice = choose(other.made_of, folds, first=other.trial, progress=False)
    assert made == [(other.made_of.regressions, True)]  # with starts that are mixed, alone
    dense = choice.table[choice.table["stage"] == "dense"]
    np.testing.assert_allclose(dense["error"].iloc[:2], other.trial.evaluated.errors.mean(axis=1))


@pytest.mark.parametrize("failing", [1, TRAINED])
def test_a_training_that_leaves_the_finite_numbers_leaves_the_choice_to_the_other(batches, failing, monkeypatch):
    own, folds = batches
    evaluated, made = regression_choice.dense_trial, []

    def diverging(made_of, *arguments, **options):
        made.append(made_of.regressions)
        if len(made) <= failing:
            raise NonFiniteError("left the finite numbers")
        return evaluated(made_of, *arguments, **options)

    monkeypatch.setattr(regression_choice, "dense_trial", diverging)
    if failing == TRAINED:
        with pytest.raises(NonFiniteError, match="left the finite numbers"):
            choose_regressions(own, folds, progress=False)
    else:
        choice = choose_regressions(own, folds, progress=False)
        assert choice.made_of.regressions == made[-1] and choice.table["trained"].notna().sum() == 1


@pytest.mark.parametrize(("rate", "chosen"), [(0.05, (0.06, 0.3)), (0.5, (0.12, 0.6))])
def test_genes_that_follow_faster_get_regressions_at_higher_rates(rate, chosen):
    made_of = Ingredients(as_sparsity("none"), regressions=Regressions(lags=(1,)))
    assert choose_regressions(made_of, relaxing(rate), progress=False).made_of.regressions.rates == chosen


@pytest.mark.parametrize("mixed", [False, True])
def test_starts_are_mixed_where_that_predicts_better_and_the_refitted_model_is_the_one_that_was_evaluated(
    batches, mixed, monkeypatch
):
    own, folds = batches
    evaluated = one_fit.dense_trial

    def spoilt(*arguments, **options):  # the other kind of starts predicts worse
        found = evaluated(*arguments, **options)
        errors = found.evaluated.errors + (options["mixed"] != mixed)
        return replace(found, evaluated=replace(found.evaluated, errors=errors))

    monkeypatch.setattr(one_fit, "dense_trial", spoilt)
    choice = choose(own, folds, progress=False)
    assert choice.mixed_starts is mixed
    dense = choice.table[choice.table["stage"] == "dense"]
    assert dense["mixed_starts"].tolist() == [False, False, True, True]
    assert (choice.table.loc[choice.table["stage"] == "pruned", "mixed_starts"] == mixed).all()
    for fold, error in zip(folds, choice.errors, strict=True):
        assert held_out_error(fit_chosen(own, fold.train, choice).model, fold) == error
    other = replace(choice, mixed_starts=not mixed, epochs=10)
    pair = [fit_chosen(own, folds[0].train, one).model.bias for one in (other, replace(other, mixed_starts=mixed))]
    assert (pair[0] != pair[1]).any()
