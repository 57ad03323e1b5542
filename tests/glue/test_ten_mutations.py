"""Ten wrong lines, each of which leaves a plausible result; the test named in `mutations.toml` fails on each.

`python tests/glue/apply_mutations.py` applies every one in a copy and checks that its test fails there.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scdash
from scdash._core.decisions import Difference, clearly_above, largest_within_one_error
from scdash._data import CellHalves
from scdash.dynamics.comparisons import null_models as _null_models
from scdash.dynamics.comparisons.null_models import (
    RANDOM_SETS,
    SHUFFLED_PRIORS,
    learned_from,
    null_model_errors,
    null_models,
)
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import long_horizon_errors, scaled_about_middle, units_of_field
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs import assembly as _assemble
from scdash.dynamics.state_pairs import regression_fits as _match
from scdash.dynamics.whole_trajectories.folds import is_test, make_folds, trajectories_of
from scdash.dynamics.whole_trajectories.one_fit import Ingredients
from scdash.networks import HiddenEvidence, evidence_auc, ranking_score
from scdash.networks import edge_ranking as _ranking
from scdash.networks import lagged_edges as _lagged
from scdash.networks.lagged_edges import lagged_scores
from scdash.regression import TransitionSettings
from scdash.regression import shared_settings as _search
from scdash.sparsity import GeometricSchedule, as_sparsity
from scdash.training import Plateau, TrainConfig
from scdash.training.plateau import lower_rates
from scdash.training.state import TrainState

from .data import COURSE, series_of, time_courses


def problem_of(genes=10, trajectories=6, length=5, seed=0):
    """Return a problem with regulators 0 to 3 and a prior whose edges start from them."""
    rng = np.random.default_rng(seed)
    split = np.zeros((trajectories, length))
    split[-2], split[-1] = 1, 2
    prior = np.zeros((genes, genes))  # (target, regulator)
    for target in range(4, genes):
        prior[target, rng.choice(4, 2, replace=False)] = 1
    series = series_of(rng.random((trajectories, length, genes)), split)
    return FitProblem(series, prior=sp.csr_matrix(prior), regulators=np.arange(4))


# 1. The gain rule: mean - 2 standard errors turned to +.


NOISE = np.array([1.0, -0.9, 1.1, -0.8, 0.9, -1.0])  # mean 0.05, standard error 0.44


def test_a_gain_within_its_noise_is_not_clear():
    """Mutation 1: a gain counts if mean + 2 SE > 0, and not only if mean - 2 SE > 0."""
    assert Difference.of(NOISE).mean > 0
    assert not Difference.of(NOISE).clearly_positive
    assert Difference.of(1 + 0.1 * NOISE).clearly_positive
    assert not Difference.of(-1 + 0.1 * NOISE).clearly_positive
    assert not Difference.of([5.0]).clearly_positive  # one pair decides nothing
    found = Difference.of([1.0, 2.0, 3.0, 4.0])
    assert found.lower_bound == pytest.approx(2.5 - 2 * np.std([1, 2, 3, 4], ddof=1) / 2)


def test_training_is_kept_by_a_clear_gain_only(monkeypatch):
    """Mutation 1, the caller: errors before and after training decide which model a fit keeps."""
    problem = problem_of(trajectories=6)
    start, trained = SimpleNamespace(epochs=0, params="before"), SimpleNamespace(epochs=3, params="after")
    models = SimpleNamespace(start=start, trained=trained, predictor=lambda stack: stack.params)
    errors = {"before": 1 + NOISE, "after": np.ones(6)}
    monkeypatch.setattr(_assemble, "pair_errors", lambda series, predict, split: errors[predict])
    assert not _assemble.training_gain(problem, FitOptions(), models).clearly_positive
    errors["before"] = 2 + 0.1 * NOISE
    gain = _assemble.training_gain(problem, FitOptions(), models)
    assert gain.clearly_positive
    assert gain.mean == pytest.approx(float(np.mean(errors["before"] - 1)))  # positive: the error fell


# 2. Evidence from hidden edges that sees the hidden edges.


def echo(prior):
    """Stand for a fit that finds exactly the edges that its prior lists."""
    return SimpleNamespace(contribution=abs(prior), rates=np.ones(prior.shape[0]))


def test_a_fit_does_not_see_the_edges_that_are_hidden_from_it():
    """Mutation 2: the fit that has to find hidden edges again is given all of the prior."""
    prior = problem_of().prior
    shown = prior.copy()
    shown.data[:4] = 0
    shown.eliminate_zeros()
    found = _match.evidence_of_hidden(prior, shown, abs)
    assert found.hidden.nnz == 4
    assert found.hidden.multiply(found.evidence).nnz == 0  # a fit that only repeats its prior finds none of them


def test_hidden_edges_are_hidden_from_the_fits_that_measure_evidence(monkeypatch):
    """Mutation 2, the callers: the quick fit, and the replicates of a stack of models."""
    problem = problem_of()
    seen = []

    def record(series, *, prior, **_):
        seen.append(prior)
        return echo(prior)

    monkeypatch.setattr(_match, "fit_transitions", record)
    fit = SimpleNamespace(settings=TransitionSettings(), slope=1.0, prior_weight=5.0, rates=np.ones(10))
    (found,) = _match.hidden_evidence(problem, FitOptions(), fit)
    assert found.hidden.nnz > 0
    assert found.hidden.multiply(found.evidence).nnz == 0
    seen.clear()
    monkeypatch.setattr(_match, "like", lambda fit, **_: TransitionSettings())
    _match.match(problem, FitOptions(n_models=3, progress=False))
    assert [prior.nnz < problem.prior.nnz for prior in seen] == [False, True, True]


# 3. and 4. Null models that are the model.


def nulls_of(problem, weight=5.0):
    """Return the null models of a problem whose prior was chosen with some weight."""
    made_of = Ingredients(as_sparsity("dash"), prior=problem.prior, regulators=problem.regulators)
    choice = SimpleNamespace(prior_weight=weight)
    return null_models(made_of, choice, problem.n_genes, np.random.default_rng(0))


def test_shuffled_priors_are_other_priors():
    """Mutation 3: the null models "shuffled prior" are given the real prior."""
    problem = problem_of()
    shuffled = [null for null in nulls_of(problem) if null.name.startswith("shuffled prior")]
    assert len(shuffled) == SHUFFLED_PRIORS
    for null in shuffled:
        assert (null.made_of.prior.astype(bool) != problem.prior.astype(bool)).nnz > 0
        assert null.made_of.prior.nnz == problem.prior.nnz
        np.testing.assert_array_equal(null.made_of.regulators, problem.regulators)
        assert not null.shuffles_time


def test_random_regulators_are_other_genes():
    """Mutation 4: the null models "random regulators" are given the real regulators."""
    problem = problem_of()
    sets = [null for null in nulls_of(problem) if null.name.startswith("random regulators")]
    assert len(sets) == RANDOM_SETS
    for null in sets:
        assert not set(null.made_of.regulators) & set(problem.regulators)
        assert set(null.made_of.prior.indices) <= set(null.made_of.regulators)  # they have the edges of the real ones
        assert not null.made_of.prior.diagonal().any() and not null.shuffles_time


def test_shuffled_time_moves_states_and_nothing_else():
    """As 3 and 4: the null model "shuffled time" has the states of each trajectory in another order at the same times."""
    problem = problem_of()
    null = nulls_of(problem)[-1]
    trajectories = trajectories_of(problem.series, ~is_test(problem.series))
    found = learned_from(null, trajectories)
    assert null.name == "shuffled time" and null.made_of.prior is problem.prior
    assert all((found.states[k] != trajectories.states[k]).any() for k in range(len(trajectories)))
    np.testing.assert_array_equal(np.sort(found.states, axis=1), np.sort(trajectories.states, axis=1))
    np.testing.assert_array_equal(found.intervals, trajectories.intervals)
    for other in nulls_of(problem)[:-1]:
        assert learned_from(other, trajectories) is trajectories


@pytest.mark.parametrize("anew", [False, True])
def test_null_models_are_fitted_to_what_they_change(monkeypatch, anew):
    """Mutations 3 and 4, the caller: every null model is fitted from its own ingredients, on every fold of the model."""
    problem, fitted = problem_of(), []

    def fit(made_of, trajectories, choice):
        fitted.append((made_of, trajectories))
        return SimpleNamespace(model="model")

    def choose(made_of, folds, **_):
        fitted.extend((made_of, fold.train) for fold in folds)
        return SimpleNamespace(errors=np.ones(len(folds)))

    def start(made_of, folds, **_):
        return SimpleNamespace(made_of=made_of, trial=None)

    monkeypatch.setattr(_null_models, "fit_chosen", fit)
    monkeypatch.setattr(_null_models, "choose", choose)
    monkeypatch.setattr(_null_models, "choose_regressions", start)
    monkeypatch.setattr(_null_models, "no_network_errors", lambda made_of, folds, **_: np.ones(len(folds)))
    monkeypatch.setattr(_null_models, "held_out_error", lambda model, fold: 1.0)
    made_of = Ingredients(as_sparsity("dash"), prior=problem.prior, regulators=problem.regulators)
    folds = make_folds(problem)
    found = null_model_errors(
        made_of, SimpleNamespace(prior_weight=5.0, applied_to=lambda own: own), folds, anew=anew, progress=False
    )
    nulls = nulls_of(problem)
    assert list(found) == ["no network", *(null.name for null in nulls)]
    assert len(fitted) == len(nulls) * len(folds)
    for k, (own, trajectories) in enumerate(fitted):
        null, fold = nulls[k // len(folds)], folds[k % len(folds)]
        assert (own.regulators is not made_of.regulators) == null.name.startswith("random")
        assert (own.prior is not made_of.prior) == null.name.startswith(("random", "shuffled prior"))
        assert (trajectories is not fold.train) == null.shuffles_time
        np.testing.assert_array_equal(np.sort(trajectories.states, axis=1), np.sort(fold.train.states, axis=1))


# 5. Variance explained among the cells that were learned from.


def test_variance_is_explained_among_cells_that_were_not_learned_from():
    """Mutation 5: the fraction of variance explained is measured in-sample."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 2, 1, 8, 30))  # eight bins of noise: nothing can be explained, much can be fitted
    sources = np.arange(30)
    allowed = ~np.eye(30, dtype=bool)
    found = _lagged._explained(noise[:, 0], sources, allowed)
    x, y = _lagged._rows(noise[0, 0], noise[2, 0], sources)
    moments = _lagged.Moments.of(x, y, np.ones(len(x)))
    inside = min(
        ((y - x @ raw - intercept) ** 2).sum()
        for raw, intercept in (moments.unscale(solution, slice(None)) for solution in _lagged._path(moments, allowed))
    )
    assert 1 - inside / (y**2).sum() > 0.25
    assert found < 0.1
    assert lagged_scores(CellHalves(noise, None)).explained < 0.1


# 6. The offset that is stored where the activation has another slope.


@pytest.mark.parametrize("slope", [0.3, 1.0, 2.0])
def test_stored_units_are_those_of_the_field(slope):
    """Mutation 6: the sign of the stored minimum is turned around, which shows at a slope other than 1 only."""
    minimum, width, x = np.array([-1.0, 0.0, 2.0]), np.array([2.0, 1.0, 5.0]), np.array([0.4, 0.9, 3.0])
    offset, unit = units_of_field(minimum, width, slope)
    np.testing.assert_allclose((x - offset) / unit, scaled_about_middle((x - minimum) / width, slope))


def test_a_stored_model_of_another_slope_gives_the_errors_of_the_fit():
    """Mutation 6, the caller: the model that is rebuilt from `uns` predicts as the fit did."""
    adata = time_courses()
    scdash.tl.fit_dynamics(adata, training=scdash.Training(max_epochs=0), **COURSE)
    entry = adata.uns["dynamics"]
    slope, model = entry["params"]["slope"], scdash.get.model(adata)
    assert slope != 1  # else the test would show nothing
    minimum, width = np.asarray(entry["minimum"]), np.asarray(entry["range"])
    np.testing.assert_allclose(minimum + width / 2, 0.5, atol=1e-6)  # the middle of values in [0, 1] stays where it is
    np.testing.assert_allclose(width, 1 / slope, rtol=1e-6)
    assert model.genes.tolist() == adata.var_names.tolist()


# 7. Whose split a prediction counts for.


def test_a_prediction_counts_for_the_split_of_the_state_that_is_predicted():
    """Mutation 7: the split of a prediction is taken from its start."""
    split = [[0, 0, 1, 1, 2, 2, 2]]
    series = series_of(np.arange(7.0)[None, :, None], split)
    np.testing.assert_array_equal(series.pairs("test"), [[3, 4], [4, 5], [5, 6]])
    np.testing.assert_array_equal(series.pairs("validation"), [[1, 2], [2, 3]])
    np.testing.assert_array_equal(series.pairs("train"), [[0, 1]])
    stay = lambda start, times, code: start[None]
    np.testing.assert_allclose(long_horizon_errors(series, stay, "test", steps=5), [25.0, 25.0])  # states 5 and 6
    np.testing.assert_allclose(long_horizon_errors(series, stay, "test", steps=3), [9.0, 9.0, 9.0])
    np.testing.assert_allclose(long_horizon_errors(series, stay, "validation", steps=3), [9.0])


# 8. The weight of the prior by one standard error.


def test_the_largest_weight_within_one_standard_error_is_chosen():
    """Mutation 8: the choice by one standard error is turned around."""
    base = np.linspace(1.0, 2.0, 50)
    wiggle = 0.1 * np.where(np.arange(50) % 2, 1.0, -1.0)  # mean 0, standard error 0.014
    tried = {1.0: base, 5.0: base + wiggle + 0.005, 20.0: base + 0.5}
    assert largest_within_one_error(tried) == 5.0  # 20 is clearly worse, 5 is not
    assert largest_within_one_error({1.0: base + 0.5, 20.0: base}) == 20.0
    assert largest_within_one_error({1.0: base, 20.0: base + 0.5}) == 1.0
    assert largest_within_one_error({1.0: base, 5.0: base, 20.0: base}) == 20.0


def test_the_regression_chooses_the_weight_of_the_prior_by_that_rule(monkeypatch):
    """Mutation 8, the caller."""
    setup = SimpleNamespace(
        settings=TransitionSettings(prior_weights=(1.0, 5.0, 20.0)),
        targets=np.arange(50),
        penalty=lambda weight: weight,
    )
    errors = {1.0: 1.0, 5.0: 1.0, 20.0: 2.0}
    even = np.where(np.arange(50) % 2, 1.05, 0.95)
    monkeypatch.setattr(
        _search, "held_errors", lambda problems, setup, genes, rate, slope, penalties: errors[penalties[0]] * even
    )
    chosen = _search.prior_weight([None], setup, 1.0, 1.0, [1.0], np.random.default_rng(0), [])
    assert chosen == 1.0  # no prior where it does not clearly help
    errors[5.0] = 0.5
    assert _search.prior_weight([None], setup, 1.0, 1.0, [1.0], np.random.default_rng(0), []) == 5.0
    errors[20.0] = 0.5  # the largest of those that are as good
    assert _search.prior_weight([None], setup, 1.0, 1.0, [1.0], np.random.default_rng(0), []) == 20.0
    errors |= {5.0: 2.0, 20.0: 2.0}
    assert _search.prior_weight([None], setup, 1.0, 1.0, [1.0], np.random.default_rng(0), []) == 1.0


# 9. The plateau.


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_learning_rates_fall_on_plateaus_as_in_torch(patience):
    """Mutation 9: the patience of the plateau is off by one against `torch.optim.lr_scheduler.ReduceLROnPlateau`."""
    plateau = Plateau(factor=0.5, patience=patience, threshold=1e-3, minimum=0.01)
    config = TrainConfig(plateau=plateau)
    losses = [
        1.0,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
        0.8995,
        0.9,
        0.7,
        0.7,
        0.71,
        0.7,
        0.7,
        0.7,
        0.69,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
    ] * 2
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=1e-3, threshold_mode="abs", min_lr=0.01
    )
    state = TrainState.start({"w": torch.zeros(1, 2)}, {}, {}, 1.0)
    ours, theirs = [], []
    for loss in losses:
        lower_rates(config, state, torch.tensor([loss]))
        reference.step(loss)
        ours.append(float(state.rate))
        theirs.append(optimizer.param_groups[0]["lr"])
    assert len(set(theirs)) > 3
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("prune", [False, True])
def test_training_lowers_its_learning_rate_as_torch_would(prune):
    """Mutation 9, the caller: learning rates follow from validation losses; each pruning starts anew."""
    adata = time_courses(n_trajectories=8, n_test=2, noise=0.05)
    training = {"plateau": {"factor": 0.5, "patience": 1, "threshold": 1e-3}, "learning_rate": 0.05, "patience": 40}
    sparsity = {
        "sparsity": scdash.sparsity.MagnitudePruning(
            schedule=GeometricSchedule(first=0.3, first_epoch=9, then=0.3, every=7)
        )
    }
    options = sparsity if prune else {"sparsity": "none"}
    scdash.tl.fit_dynamics(
        adata, start="random", training=scdash.Training(max_epochs=25, **training), **options, **COURSE
    )
    history = scdash.get.history(adata)
    assert history["pruned"].any() == prune
    slope = adata.uns["dynamics"]["params"]["slope"]
    expected = []
    for loss, pruned in zip(history["validation_loss"] * slope**2, history["pruned"], strict=True):
        if pruned or not expected:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
            reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=0.5, patience=1, threshold=1e-3, threshold_mode="abs", min_lr=Plateau().minimum
            )
        reference.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    assert len(set(expected)) > 2
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)


# 10. The fallback to the prior.


def test_evidence_within_two_standard_errors_of_chance_is_none():
    """Mutation 10: the rule of two standard errors is dropped."""
    assert not clearly_above(0.6, 0.06, 0.5)
    assert clearly_above(0.6, 0.04, 0.5)
    assert not clearly_above(0.4, 0.01, 0.5)


def test_evidence_from_few_hidden_edges_has_a_large_standard_error():
    """Mutation 10, the other side: without a standard error every estimate above chance is clear."""
    prior = problem_of().prior
    evidence = sp.csr_matrix(np.random.default_rng(0).random(prior.shape))
    _, error = evidence_auc(prior, [HiddenEvidence(prior, evidence)])
    assert prior.nnz == 12 and 0.05 < error < 0.2


@pytest.mark.parametrize(("auc", "error", "falls_back"), [(0.6, 0.06, True), (0.6, 0.04, False), (0.45, 0.01, True)])
def test_the_ranking_falls_back_to_the_prior_by_that_rule(monkeypatch, auc, error, falls_back):
    """Mutation 10, the caller: without clear evidence all edges of the prior have one score."""
    prior = problem_of().prior
    evidence = sp.csr_matrix(np.random.default_rng(0).random(prior.shape))
    monkeypatch.setattr(_ranking, "evidence_auc", lambda prior, hidden: (auc, error))
    edges, report = ranking_score(
        evidence,
        prior,
        weight=evidence,
        frequency=evidence,
        hidden=[HiddenEvidence(prior, evidence)],
        constant=np.arange(10) == 4,
        genes=[f"g{i}" for i in range(10)],
    )
    assert report["fell_back"] is falls_back
    assert (edges.loc[edges["in_prior"], "score"].nunique() == 1) is falls_back
