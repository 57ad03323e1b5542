"""Who asks for a decision, and with which numbers: the same wrong ideas as in `test_ten_mutations`, one level up."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import scdash
from scdash._core.decisions import Difference
from scdash._data import CellHalves, Placed, as_expression, halve_cells
from scdash.dynamics import fit as _fit
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import pair_errors, rollout_errors
from scdash.dynamics.reporting import cell_baselines as _baselines
from scdash.dynamics.reporting import edge_evidence as _evidence
from scdash.dynamics.state_pairs import assembly as _assemble
from scdash.dynamics.state_pairs.report import TrainingOutcome, _prior_lines
from scdash.networks import cell_scores_of_edges as _cell_scores
from scdash.networks import lagged_edges as _lagged
from scdash.networks.cell_scores_of_edges import CellScores
from scdash.networks.lagged_edges import lagged_scores
from scdash.resampling.penalty_choice import with_choice
from scdash.screens.forward import ForwardErrors
from scdash.screens.report import verdict_line
from scdash.sparsity import choose_one_standard_error
from scdash.training.cycles import gained

from .data import COURSE, series_of, time_courses
from .test_ten_mutations import NOISE, problem_of

NOISY = Difference.of(NOISE)  # mean 0.05, standard error 0.44
CLEAR_GAIN, CLEAR_LOSS = Difference.of(1 + 0.1 * NOISE), Difference.of(-1 + 0.1 * NOISE)


# 1. The gain rule: which model is kept, and what is said of it.


@pytest.mark.parametrize(("gain", "kept"), [(NOISY, "regression"), (CLEAR_GAIN, "trained"), (CLEAR_LOSS, "regression")])
def test_the_model_that_is_stored_is_the_one_that_the_gain_allows(monkeypatch, gain, kept):
    monkeypatch.setattr(_assemble, "training_gain", lambda problem, options, models: gain)
    models = []
    monkeypatch.setattr(
        _assemble,
        "gather_evidence",
        lambda problem, options, field, params, *rest, real=_assemble.gather_evidence: (
            models.append(params) or real(problem, options, field, params, *rest)
        ),
    )
    started = []
    monkeypatch.setattr(
        _fit, "train_stack", lambda *given, real=_fit.train_stack: started.append(given[4]) or real(*given)
    )
    adata = time_courses(n_trajectories=8, n_test=2, noise=0.05)
    # gene-wise networks are trained on whole trajectories, and the folds choose between them and the regression
    modules = {"model": scdash.models.Phoenix("modules", n_hidden=4), "start": "regression"}
    scdash.tl.fit_dynamics(adata, training=scdash.Training(max_epochs=2), **modules, **COURSE)
    assert adata.uns["dynamics"]["params"]["kept"] == kept
    same = all(torch.equal(models[0][name], value) for name, value in started[0].items())
    assert same == (kept == "regression")
    report = scdash.get.report(adata)
    other = "trained further (not kept)" if kept == "regression" else "regression alone"
    assert other in report["predictor"].tolist()
    assert ("neural ODE was kept" in report.attrs["summary"]) == (kept == "trained")


@pytest.mark.parametrize(("cells", "function"), [(False, "pair_errors"), (True, "rollout_errors")])
def test_the_gain_of_training_is_measured_on_validation_states(monkeypatch, cells, function):
    seen = []

    def record(series, predict, split):
        seen.append((predict, split))
        return np.ones(3) if predict == "after" else np.full(3, 2.0)

    monkeypatch.setattr(_assemble, function, record)
    models = SimpleNamespace(
        start=SimpleNamespace(params="before"),
        trained=SimpleNamespace(params="after", epochs=1),
        predictor=lambda stack: stack.params,
    )
    gain = _assemble.training_gain(problem_of(), FitOptions(cells=cells), models)
    assert seen == [("before", "validation"), ("after", "validation")]
    assert gain.mean == 1 and gain.pairs == 3
    models.trained.epochs = 0
    assert not _assemble.training_gain(problem_of(), FitOptions(cells=cells), models).tested


def test_the_report_calls_a_gain_within_its_noise_no_clear_one():
    assert "was not kept" in TrainingOutcome(NOISY, 3).lines()[0]
    assert "was not kept" in TrainingOutcome(CLEAR_LOSS, 3).lines()[0]
    assert "was kept" in TrainingOutcome(CLEAR_GAIN, 3).lines()[0]
    assert "Not tested" in TrainingOutcome(Difference.of([5.0]), 3).lines()[0]


def test_errors_of_perturbations_fall_clearly_or_not_at_all():
    assert not gained(1 + NOISE, np.ones(6))
    assert gained(2 + 0.1 * NOISE, np.ones(6))
    assert not gained(np.ones(6), 2 + 0.1 * NOISE)
    assert gained([2.0], [1.0]) and not gained([1.0], [1.0])


def test_a_network_of_a_screen_is_better_only_if_clearly_so():
    others = np.full(6, 3.0)
    for gain, better in ((NOISE, False), (1 + 0.1 * NOISE, True), (-1 + 0.1 * NOISE, False)):
        errors = ForwardErrors(others - gain, others)
        assert errors.gain.mean == pytest.approx(gain.mean())
        words = "Verdict: the network predicts unseen perturbations better than"
        assert (words in verdict_line(errors)) is better


# 2. Hidden edges: replicates of a stack, and what DASH is given.


def stack_of(models):
    return {"w": torch.zeros(models, 2)}


def evidence_given(monkeypatch, problem, priors, matched=()):
    """Return what the ranking is given as evidence for hidden edges; model k of the stack has k + 1 everywhere."""
    given = []
    everywhere = np.ones((problem.n_genes, problem.n_genes))
    monkeypatch.setattr(
        _evidence,
        "_contributions",
        lambda field, params, model, activation: (sp.csr_matrix(everywhere), sp.csr_matrix((model + 1) * everywhere)),
    )
    monkeypatch.setattr(
        _evidence, "ranking_score", lambda *rest, hidden, **_: given.extend(hidden) or (pd.DataFrame(), {})
    )
    _evidence.gather_evidence(problem, FitOptions(), "field", stack_of(len(priors)), priors, matched)
    return given


def test_hidden_edges_are_judged_by_the_model_that_they_were_hidden_from(monkeypatch):
    problem = problem_of()
    priors = [problem.prior]
    for first in (0, 3):
        shown = problem.prior.copy()
        shown.data[first : first + 3] = 0
        shown.eliminate_zeros()
        priors.append(shown)
    found = evidence_given(monkeypatch, problem, priors)
    assert [float(one.evidence.max()) for one in found] == [2.0, 3.0]
    for one, prior in zip(found, priors[1:], strict=True):
        assert one.hidden.nnz == 3
        assert one.hidden.multiply(prior).nnz == 0
        assert (one.hidden + prior != problem.prior).nnz == 0


def test_a_single_model_is_judged_by_a_quick_fit_with_edges_hidden(monkeypatch):
    problem = problem_of()
    found = [SimpleNamespace(hidden="hidden", evidence="of the quick fit")]
    monkeypatch.setattr(_evidence, "hidden_evidence", lambda problem, options, fit: found)
    monkeypatch.setattr(_evidence, "gene_wise", lambda field: False)
    fit = SimpleNamespace(
        frequency=None, stability=None, constant=None, settings=SimpleNamespace(half_samples=0), slope=1.0
    )
    assert evidence_given(monkeypatch, problem, [problem.prior], [fit]) == found


def test_training_of_a_replicate_is_not_given_the_edges_that_are_hidden_from_it(monkeypatch):
    problem, given = problem_of(), []

    class Reached(Exception):
        pass

    def record(problem, options, priors):
        given.extend(priors)
        raise Reached

    monkeypatch.setattr(_fit, "build_prior", record)
    with pytest.raises(Reached):
        _fit.fit_series(problem, FitOptions(start="random", n_models=3, progress=False))
    assert [prior.nnz < problem.prior.nnz for prior in given] == [False, True, True]
    hidden = [(problem.prior - prior).astype(bool) for prior in given[1:]]
    assert hidden[0].multiply(hidden[1]).nnz == 0  # each model has other edges hidden


def test_few_edges_are_hidden_at_a_time():
    """An eighth is hidden; a fit that is shown an eighth would be another experiment."""
    problem = problem_of(genes=44)
    (_, shown) = _fit.model_priors(problem, FitOptions(n_models=2))
    assert problem.prior.nnz == 80 and shown.nnz == 70
    assert (shown != problem.prior).nnz == 10


# 5. Cells on the two sides of the regression over time.


def quarters_of(bins=6, draws=2):
    """Return quarters of cells in which gene q varies in quarter q alone, so that each row shows where it is from."""
    rng = np.random.default_rng(0)
    quarters = np.zeros((4, draws, 1, bins, 4))
    for part in range(4):
        quarters[part, ..., part] = rng.normal(size=(draws, 1, bins))
    return quarters


def parts_in(values):
    """Return the quarters of cells that rows (m, genes) are from."""
    return set(np.flatnonzero(np.abs(values).max(axis=0) > 0))


def recorded(monkeypatch, module):
    """Record the rows of every regression, as quarters of the cells before and after."""
    seen = []

    def record(first, second, sources, real=module._rows):
        rows = real(first, second, sources)
        seen.append((parts_in(first.reshape(-1, 4)), parts_in(second.reshape(-1, 4)), rows))
        return rows

    monkeypatch.setattr(module, "_rows", record)
    monkeypatch.setattr(module, "_path", lambda moments, allowed: np.zeros((1, *allowed.shape)))
    return seen


def test_no_cell_is_on_both_sides_of_the_regression_over_time(monkeypatch):
    seen = recorded(monkeypatch, _lagged)
    lagged_scores(CellHalves(quarters_of(), None))
    ranking, evaluated = seen[:2], seen[2:]
    assert len(evaluated) == 4  # two draws, each with a regression and its evaluation
    for before, after, _ in ranking:
        assert len(before) == len(after) == 2 and not before & after
    for (x, y, _), (new_x, new_y, _) in zip(evaluated[::2], evaluated[1::2], strict=True):
        assert not x & y and not new_x & new_y
        assert not (x | y) & (new_x | new_y)  # cells that the regression has not seen
    halves = CellHalves(quarters_of(), None).halves
    assert [parts_in(half.reshape(-1, 4)) for half in halves] == [{0, 1}, {2, 3}]


@pytest.mark.parametrize("shuffled", [False, True])
def test_every_cell_is_dealt_to_one_quarter(shuffled):
    """Gene c is found in cell c alone, so that bins show which cells they are the means of."""
    time = np.random.default_rng(2).random(40)
    halves = halve_cells(as_expression(np.eye(40)), Placed.of(time), n_bins=4, n_draws=2, shuffled=shuffled, rng=0)
    dealt = (halves.quarters > 0).any(axis=(2, 3))  # (4, draws, cells)
    assert (dealt.sum(axis=0) == 1).all()
    assert (dealt.sum(axis=2) == 10).all()
    assert (dealt[:, 0] != dealt[:, 1]).any()


def test_each_row_of_the_regression_has_other_cells_before_than_after():
    quarters = quarters_of(bins=3)
    x, y = _lagged._rows(quarters[0, 0], quarters[2, 0], np.arange(4))
    for before, after in zip(x, y, strict=True):
        assert parts_in(before[None]) | parts_in(after[None]) <= {0, 2}
        assert not parts_in(before[None]) & parts_in(after[None])


def test_the_share_of_variance_is_that_of_cells_that_were_not_learned_from(monkeypatch):
    """With no coefficient, what is left is the second sum of squares: of the evaluating cells, and of no other."""
    quarters = quarters_of()
    monkeypatch.setattr(_lagged, "_path", lambda moments, allowed: np.zeros((1, *allowed.shape)))
    monkeypatch.setattr(_lagged.Moments, "unscale", lambda moments, solution, part: (solution, 1.0))
    found = _lagged._explained(quarters[:, 0], np.arange(4), np.ones((4, 4), dtype=bool))
    _, evaluated = _lagged._rows(quarters[1, 0], quarters[3, 0], np.arange(4))
    assert found == pytest.approx(1 - ((evaluated - 1.0) ** 2).sum() / (evaluated**2).sum())


def test_scores_of_cells_pass_their_halves_and_the_held_out_share_on(monkeypatch):
    halves, seen = SimpleNamespace(within="within"), []
    over_time = SimpleNamespace(frequency=sp.csr_matrix(np.eye(2)), explained=0.25)
    monkeypatch.setattr(_cell_scores, "lagged_scores", lambda *given: seen.append(given) or over_time)
    monkeypatch.setattr(_cell_scores, "within_scores", lambda moments: seen.append(moments) or sp.csr_matrix((2, 2)))
    found = _cell_scores.cell_scores(halves, np.arange(2))
    assert seen[0][0] is halves and seen[1] == "within"
    assert found.explained == 0.25
    assert found.frequency.toarray().tolist() == [[0.2, 0], [0, 0.2]]  # (0.25 * 1 + 0) / 1.25


def test_time_as_observed_and_time_shuffled_have_their_own_figures(monkeypatch):
    problem = problem_of()
    real = CellScores(problem.prior, problem.prior, 0.4)
    shuffled = CellScores(problem.prior, abs(problem.prior), 0.1)
    problem = replace(problem, halves="real", shuffled_halves="shuffled")
    seen = []
    monkeypatch.setattr(_baselines, "cell_scores", lambda halves, regulators: seen.append(halves) or shuffled)
    figures = _baselines.real_time_figures(problem, real)
    assert seen == ["shuffled"]
    assert (figures["explained_by_real_time"], figures["explained_by_shuffled_time"]) == (0.4, 0.1)


# 6. Units: a stored model of a slope other than 1.


def test_a_stored_model_predicts_in_the_units_of_the_data():
    adata = time_courses()
    adata.X = 3 * adata.X + 2  # neither the offset nor the unit is that of the field
    scdash.tl.fit_dynamics(adata, training=scdash.Training(max_epochs=0), **COURSE)
    entry = adata.uns["dynamics"]
    slope = entry["params"]["slope"]
    assert slope != 1
    lowest, highest = np.asarray(adata.X).min(), np.asarray(adata.X).max()
    minimum, width = np.asarray(entry["minimum"]), np.asarray(entry["range"])
    middle = minimum + width / 2
    assert (middle > lowest).all() and (middle < highest).all()
    test = scdash.tl.predict(adata, split="test")
    report = scdash.get.report(adata).iloc[0]
    assert test.uns["rollout_mse"] == pytest.approx(report["rollout_mse"], rel=1e-4)
    assert test.uns["next_step_mse"] == pytest.approx(report["test_mse"], rel=1e-4)


# 7. Which states are predicted, and from which.


def stay(start, times, code):
    """Predict that nothing changes."""
    return np.repeat(start[None], times.shape[1] - 1, axis=0)


def test_windows_are_predicted_from_the_state_before_them():
    series = series_of(np.arange(7.0)[None, :, None], [[0, 0, 1, 1, 2, 2, 2]])
    assert [run.tolist() for run in series.rollouts("test")] == [[3, 4, 5, 6]]
    assert [run.tolist() for run in series.rollouts("validation")] == [[1, 2, 3]]
    assert [run.tolist() for run in series.rollouts("train")] == [[0, 1]]
    assert [run.tolist() for run in series.rollouts()] == [list(range(7))]
    np.testing.assert_allclose(rollout_errors(series, stay, "test"), [(1 + 4 + 9) / 3])
    np.testing.assert_allclose(rollout_errors(series, stay, "validation"), [(1 + 4) / 2])
    np.testing.assert_allclose(pair_errors(series, stay, "test"), [1, 1, 1])
    np.testing.assert_allclose(pair_errors(series, stay, "validation"), [1, 1])
    np.testing.assert_allclose(pair_errors(series, stay, "train"), [1])
    begins = series_of(np.arange(4.0)[None, :, None], [[2, 2, 0, 2]])  # a window that begins the trajectory
    assert [run.tolist() for run in begins.rollouts("test")] == [[0, 1], [2, 3]]


def test_training_sees_training_states_alone():
    series = series_of(np.arange(6.0)[None, :, None], [[0, 0, 2, 0, 1, 0]])
    np.testing.assert_array_equal(series.pairs("train"), [[0, 1], [1, 3], [3, 5]])
    np.testing.assert_array_equal(series.windows(2), [[0, 1, 3], [1, 3, 5]])
    np.testing.assert_allclose(pair_errors(series, stay, "train"), [1, 4, 4])
    np.testing.assert_array_equal(series.pairs(), [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])


# 8. One standard error: the sparsest level, and the largest lambda of a path.


def test_the_sparsest_level_and_the_largest_lambda_are_chosen():
    wiggle = 0.1 * np.where(np.arange(50) % 2, 1.0, -1.0)
    levels = {0.5: 1 + wiggle, 0.8: 1.01 + wiggle, 0.9: 1.05 + wiggle}  # the standard error is 0.0143
    table = pd.DataFrame(
        [{"level": level, "validation_mse": error} for level, errors in levels.items() for error in errors]
    )
    assert choose_one_standard_error(table) == 0.8
    path = pd.DataFrame({"lambda": list(levels)})
    assert with_choice(path, np.stack(list(levels.values())))["chosen"].tolist() == [False, True, False]


# 10. The fallback: evidence is gathered, and the report says what the ranking did.


def test_a_fit_with_a_prior_measures_evidence_on_hidden_edges():
    adata = time_courses()
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=0), **COURSE)
    prior = adata.uns["dynamics"]["prior"]
    assert 0 < prior["hidden"] < prior["used"]
    if np.isfinite(prior["evidence_auc"]):
        clear = prior["evidence_auc"] - 2 * prior["evidence_se"] > 0.5
        assert prior["fell_back"] is not clear


@pytest.mark.parametrize("fell_back", [True, False])
def test_the_report_says_what_the_ranking_did(fell_back):
    prior = {"used": 9, "kept": 5, "added": 2, "hidden": 3, "fell_back": fell_back}
    (_, line) = _prior_lines(prior | {"evidence_auc": 0.6, "evidence_se": 0.06})
    assert ("less than two standard errors above chance" in line) is fell_back
    assert ("clearly above chance" in line) is not fell_back
