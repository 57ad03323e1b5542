"""The verdict on a fit of cells, from tables of errors alone: each outcome, each figure, and each sentence in full."""

import numpy as np
import pandas as pd
import pytest
from scdash.fitting._controls import REFERENCE
from scdash.fitting._verdict import Verdict, compare, judge

from scdash._decisions import CLEAR, Difference, clearly_above, largest_within_one_error, two_errors_below

FORECASTS = {"no network": 0.3, "template": 0.25, "constant": 0.4, "no change": 0.5, "shuffled time": 0.45}
REGULATORS = {f"random regulators {k}": value for k, value in enumerate([0.20, 0.21, 0.22, 0.23], 1)}
PRIORS = {f"shuffled prior {k}": value for k, value in enumerate([0.12, 0.13, 0.14, 0.15, 0.06], 1)}


def table_of(errors, model=0.1):
    """Return the table of a report; its first row is the model."""
    rows = {"phoenix": model} | errors
    return pd.DataFrame({"predictor": list(rows), "rollout_mse": list(rows.values())})


def held_out_of(**errors):
    """Return the errors of single trajectories by predictor."""
    rows = [(name, f"t{k}", value) for name, values in errors.items() for k, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["predictor", "trajectory", "rollout_mse"])


# Decisions.


def test_a_difference_is_the_mean_of_its_pairs_with_its_standard_error():
    none, one, some = Difference.of([]), Difference.of([0.5]), Difference.of(np.array([1, 2, 6], dtype=np.int64))
    assert none.pairs == 0 and np.isnan([none.mean, none.error]).all()
    assert (one.mean, one.pairs) == (0.5, 1) and np.isnan(one.error)
    assert some.pairs == 3 and some.mean == 3.0 and some.error == pytest.approx(np.sqrt(7 / 3))
    assert Difference.of([1.0, 3.0]).error == pytest.approx(1.0)  # two pairs have a standard error already
    assert Difference.of([1, 2]).mean == 1.5
    assert not none.tested and not one.tested and some.tested
    assert not Difference.of([1.0, np.nan]).tested
    assert none.lower_bound == one.lower_bound == -np.inf
    assert some.lower_bound == pytest.approx(3 - 2 * np.sqrt(7 / 3))
    assert all(isinstance(value, float) for value in (some.mean, some.error, one.error, none.mean))


@pytest.mark.filterwarnings("error")
def test_one_pair_gives_no_warning_and_pairs_are_added_in_double_precision():
    assert Difference.of([0.5]).mean == 0.5
    assert Difference.of(np.array([2**24, 1, 1], dtype=np.float32)).mean == (2**24 + 2) / 3
    assert Difference.of(np.array([2**24, 1, 1], dtype=np.float32)).error == pytest.approx((2**24 - 1) / 3, rel=1e-12)


def test_a_difference_has_to_exceed_two_of_its_standard_errors():
    assert CLEAR == 2
    assert two_errors_below(1.0, 0.25) == 0.5
    assert not clearly_above(1.0, 0.25, 0.5) and clearly_above(1.0, 0.25, 0.499)
    assert not Difference.of([0.0, 0.0]).clearly_positive  # equal errors are no gain
    assert not Difference.of([1.0, 3.0]).clearly_positive  # the mean is two standard errors
    assert Difference.of([1.01, 3.0]).clearly_positive


def test_the_standard_error_of_a_choice_is_over_cases():
    wiggle = 0.1 * np.where(np.arange(50) % 2, 1.0, -1.0)  # standard deviation 0.1, standard error 0.0141
    assert largest_within_one_error({1.0: np.ones(50), 2.0: 1 + wiggle + 0.014}) == 2.0
    assert largest_within_one_error({1.0: np.ones(50), 2.0: 1 + wiggle + 0.0142}) == 1.0
    assert largest_within_one_error({1.0: np.ones(50) + 0.01, 2.0: 1 + wiggle}) == 2.0
    assert largest_within_one_error({3.0: 1 + wiggle, 2.0: np.ones(50) + 0.1}) == 3.0
    middle = {1.0: np.ones(50) + 0.5, 2.0: np.ones(50), 3.0: np.ones(50) + 0.4}
    assert largest_within_one_error(middle) == 2.0  # compared with the best setting, not with the smallest


# The outcome of one comparison.


@pytest.mark.parametrize(
    ("ours", "nulls", "outcome"),
    [
        (0.95, [1.0], "not distinguished"),  # exactly 5 % below
        (0.9499, [1.0], "better"),
        (1.0, [1 + 0.9e-9], "not tested"),
        (1.0, [1 + 1.1e-9], "not distinguished"),
        (2.0, [2 + 1.9e-9], "not tested"),  # relative to our error
        (1.0, [1.0, 1.2], "not distinguished"),
        (np.inf, [1.0], "not tested"),
        (np.nan, [1.0], "not tested"),
        (0.1, [0.12, 0.9], "not distinguished"),  # two null models have a standard deviation already
        (1.0, [np.inf], "not tested"),
        (0.0, [0.0], "not tested"),
        (0.0, [1e-3], "better"),
        (0.0, [1e-3, 2e-3], "better"),
        (0.0, [0.0, 0.1], "not distinguished"),
        (1e-3, [0.0, 0.1], "not distinguished"),
    ],
)
def test_the_outcome_of_a_comparison(ours, nulls, outcome):
    assert compare(ours, np.array(nulls)) == outcome
    assert compare(ours, nulls) == outcome


def test_an_error_has_to_be_two_standard_deviations_below_those_of_null_models():
    nulls = np.exp([0.0, 0.2, 0.4])  # logarithms with mean 0.2 and standard deviation 0.2
    assert compare(float(np.exp(-0.201)), nulls) == "better"
    assert compare(float(np.exp(-0.199)), nulls) == "not distinguished"
    assert compare(0.01 * float(np.exp(-0.201)), 0.01 * nulls) == "better"
    assert compare(0.01 * float(np.exp(-0.199)), 0.01 * nulls) == "not distinguished"


# The figures and the outcomes of a table.


def test_the_figures_of_a_verdict():
    own = {REFERENCE: 0.13}
    verdict = judge(table_of(FORECASTS | REGULATORS | PRIORS | own), {"noise_floor": 0.01, "constant": 7.0})
    assert verdict.figures == {
        "model": 0.1,
        "reference": 0.13,
        "best_without_network": 0.25,
        "constant": 7.0,  # figures that are given come last
        "random_regulators": pytest.approx(0.215),
        "random_sets": 4.0,
        "random_sets_beaten": 4.0,
        "shuffled_prior": pytest.approx(0.12),
        "shuffled_priors": 5.0,
        "shuffled_priors_beaten": 2.0,  # an equal error is not beaten
        "shuffled_time": 0.45,
        "noise_floor": 0.01,
    }
    assert all(type(value) is float for value in verdict.figures.values())
    assert verdict.best_without_network == "template"
    outcomes = (verdict.network, verdict.regulators, verdict.prior, verdict.time)
    assert outcomes == ("better", "better", "not distinguished", "better")
    assert verdict.supports_network
    assert verdict.as_dict()["figures"] == verdict.figures and verdict.as_dict()["prior"] == "not distinguished"
    equal = judge(table_of(FORECASTS | {"random regulators 1": 0.13} | own), {}).figures
    assert equal["random_sets_beaten"] == 0 and equal["constant"] == 0.4


def test_a_table_without_null_models_tests_nothing():
    verdict = judge(table_of({}), {})
    figures = verdict.figures
    assert figures["model"] == figures["reference"] == 0.1  # without a reference it is the model itself
    missing = ("best_without_network", "constant", "random_regulators", "shuffled_prior", "shuffled_time")
    assert all(np.isnan(figures[name]) for name in missing)
    assert [figures[name] for name in ("random_sets", "shuffled_priors", "random_sets_beaten")] == [0, 0, 0]
    outcomes = (verdict.network, verdict.regulators, verdict.prior, verdict.time)
    assert outcomes == ("not tested",) * 4
    assert not verdict.supports_network and verdict.best_without_network == ""
    defaults = Verdict(False, "", "", {})
    assert (defaults.network, defaults.regulators, defaults.prior, defaults.time) == ("not tested",) * 4


@pytest.mark.parametrize(
    ("changed", "supports"),
    [({}, True), ({"template": 0.1}, False), (dict.fromkeys(REGULATORS, 0.1), False), ({"template": np.nan}, True)],
)
def test_a_network_is_supported_if_both_comparisons_are_won(changed, supports):
    verdict = judge(table_of(FORECASTS | REGULATORS | changed), {})
    assert verdict.supports_network is supports
    if "template" in changed:  # a forecast without an error is not the best one
        assert verdict.best_without_network == ("no network" if np.isnan(changed["template"]) else "template")


def test_forecasts_that_are_no_null_models_are_left_out_of_the_best_one():
    verdict = judge(table_of(FORECASTS | {"trained further (not kept)": 0.01, "matching": 0.02}), {})
    assert verdict.best_without_network == "template"


def test_a_gain_that_differs_between_trajectories_is_none():
    rows = table_of(FORECASTS | REGULATORS)
    steady = held_out_of(phoenix=[0.1, 0.1, 0.1], template=[0.25, 0.26, 0.24], other=[0.0, 0.0, 0.0])
    assert judge(rows, {}, steady).network == "better"
    once = held_out_of(phoenix=[0.1, 0.1, 0.1], template=[0.7, 0.11, 0.1])
    assert judge(rows, {}, once).network == "not distinguished"
    worse = held_out_of(phoenix=[0.25, 0.26, 0.24], template=[0.1, 0.1, 0.1])
    assert judge(rows, {}, worse).network == "not distinguished"
    assert judge(rows, {}, held_out_of(phoenix=[0.1], template=[0.25])).network == "better"  # one decides nothing
    assert judge(table_of(FORECASTS | {"template": 0.101}), {}, steady).network == "not distinguished"
    assert judge(table_of({}), {}, steady).network == "not tested"
    labels = steady.astype({"predictor": "category", "trajectory": "category"})
    assert judge(rows, {}, labels).network == "better"


# The sentences, each in full.

NO_EDGE = "These comparisons test no single edge."


def test_the_text_of_a_verdict_that_is_clear():
    figures = {
        "held_out_stretches": 3.0,
        "noise_floor": 0.0123,
        "explained_by_real_time": 0.42,
        "explained_by_shuffled_time": 0.11,
        "edges_like_shuffled_time": 0.256,
    }
    priors = {f"shuffled prior {k}": 0.2 + 0.01 * k for k in range(3)}
    text = judge(table_of(FORECASTS | REGULATORS | priors | {REFERENCE: 0.13}), figures).text
    assert text.splitlines() == [
        "Verdict from 3 held-out stretches: The model predicts held-out states better than 'template', the best forecast "
        "without a network. Held-out prediction is better with these regulators than with random ones. Held-out "
        "prediction is better with this prior than with shuffled ones. Held-out prediction is better with time as "
        f"observed than with time shuffled. {NO_EDGE}",
        "Mean squared errors behind the verdict: model 0.1; template 0.25; the regression alone with its own regulators, "
        "prior and time 0.13; with random regulators 0.215 (mean of 4, of which 4 are worse); with shuffled priors 0.21 "
        "(mean of 3, of which 3 are worse); with time shuffled 0.45; noise of the bins alone 0.012. Differences below 5% "
        "count as none.",
        "A regression of later cells on other, earlier cells explains 42% of the variance of cells that it has not seen, "
        "and 11% with time shuffled. Its scores of edges in real and in shuffled time correlate at 0.26.",
    ]


def test_the_text_of_a_verdict_that_is_not_clear():
    errors = FORECASTS | REGULATORS | PRIORS | {REFERENCE: 0.44, "template": 0.102}
    text = judge(table_of(errors), {"held_out_stretches": 1.0, "explained_by_real_time": np.nan}).text
    assert text.splitlines() == [
        "Verdict from one held-out stretch: Held-out prediction does not show that the model is better than 'template', "
        "the best forecast without a network. Held-out prediction does not distinguish these regulators from random "
        "ones. Held-out prediction does not distinguish this prior from shuffled ones. Held-out prediction does not "
        f"distinguish time as observed from time shuffled. {NO_EDGE}",
        "Mean squared errors behind the verdict: model 0.1; template 0.102; the regression alone with its own regulators, "
        "prior and time 0.44; with random regulators 0.215 (mean of 4, of which 0 are worse); with shuffled priors 0.12 "
        "(mean of 5, of which 0 are worse); with time shuffled 0.45. Differences below 5% count as none.",
    ]


def test_the_text_of_a_verdict_without_null_models():
    text = judge(table_of({"shuffled time": np.nan}), {}).text
    assert text.splitlines() == [
        "Verdict from held-out states: Not tested: whether the model predicts held-out states better than a forecast "
        "without a network. Not tested: whether these regulators predict better than random ones, because every gene may "
        "regulate; name the regulators (regulators=...). Not tested: whether a prior helps, because there is none that "
        f"could be shuffled. Not tested: whether the order of time matters. {NO_EDGE}",
        "Mean squared errors behind the verdict: the regression alone with its own regulators, prior and time 0.1. "
        "Differences below 5% count as none.",
    ]


def test_the_text_of_null_models_without_an_error_or_without_influence():
    same = {f"shuffled prior {k}": 0.1 for k in range(3)}
    text = judge(table_of({"no network": 0.3, "random regulators 1": np.nan} | same), {"noise_floor": np.nan}).text
    first, figures = text.splitlines()
    assert first == (
        "Verdict from held-out states: The model predicts held-out states better than 'no network', the best forecast "
        "without a network. Not tested: whether these regulators predict better than random ones, because an error is "
        "missing. Not tested: whether the prior helps, because it has no influence on this fit: shuffled priors give the "
        f"same. Not tested: whether the order of time matters. {NO_EDGE}"
    )
    assert figures == (
        "Mean squared errors behind the verdict: model 0.1; no network 0.3; the regression alone with its own regulators, "
        "prior and time 0.1; with shuffled priors 0.1 (mean of 3, of which 0 are worse). Differences below 5% count as "
        "none."
    )
