"""What a report says of sampled times: its unit of errors, what it compares with, and advice that can be followed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scdash.dynamics.comparisons.baselines import CONSTANT
from scdash.dynamics.reporting.report import Told, error_lines, next_lines, verdict_line
from scdash.dynamics.reporting.verdict import verdict_of
from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, OTHER_HALF, TIME_POINTS
from scdash.dynamics.whole_trajectories.one_fit import Choice


def told(judged_by: str, ours: list[float], constant: list[float], **nulls: list[float]) -> Told:
    errors = {CONSTANT: np.array(constant)} | {name.replace("_", " "): np.array(one) for name, one in nulls.items()}
    choice: dict[str, Any] = {"prior_weight": 1.0, "epochs": 0, "level": 0, "table": pd.DataFrame(), "models": []}
    return Told(
        choice=Choice(**choice, errors=np.array(ours), start_errors=np.array(ours)),
        judged_by=judged_by,
        errors=errors,
        verdict=verdict_of(np.array(ours), errors, prior_used=None, trajectories=judged_by == LEFT_OUT),
        null_models="compared",
        following=pd.DataFrame(),
        prior={},
        prior_used=None,
        figures={},
        trajectories=1,
        regulators=5,
    )


def test_the_unit_of_errors_of_left_out_times_is_not_that_of_a_constant():
    lines = error_lines(told(TIME_POINTS, [0.5, 0.6], [0.7, 0.8]))
    assert (
        "as a fraction of the variance of the mean states of all times (2 folds; the model was chosen by them"
        in lines[0]
    )
    assert lines[-1].split() == ["constant", "0.750"]
    assert "as a fraction of a constant's" in error_lines(told(OTHER_HALF, [0.5, 0.6], [1, 1]))[0]


@pytest.mark.parametrize(("ours", "said"), [([0.6, 0.6], False), ([0.8, 0.8], True), ([1.1, 1.1], True)])
def test_a_model_is_compared_with_what_a_constant_reaches(ours, said):
    lines = next_lines(told(TIME_POINTS, ours, [0.7, 0.7]))
    assert (
        any(line.startswith("The model predicts no better than a constant: choose other genes.") for line in lines)
        == said
    )


def test_a_model_of_left_out_times_may_exceed_their_variance_and_still_beat_a_constant():
    assert not any("constant" in line for line in next_lines(told(TIME_POINTS, [1.1, 1.1], [1.2, 1.3])))


def test_advice_on_the_order_of_cells_is_for_cells_that_were_ordered():
    (line, *_) = next_lines(told(OTHER_HALF, [1.1, 1.1], [1, 1]))
    assert (
        line == "The model predicts no better than a constant: look at the order of the cells and choose other genes."
    )


@pytest.mark.parametrize(
    ("judged_by", "nulls", "advice"),
    [
        (TIME_POINTS, {}, "more sampled times make the test stronger"),
        (LEFT_OUT, {}, "more batches make the test stronger"),
        (OTHER_HALF, {"random_regulators_1": [9, 9.1], "random_regulators_2": [9.2, 9]}, "give batches or replicates"),
        (TIME_POINTS, {"random_regulators_1": [9, 9.1], "random_regulators_2": [9.2, 9]}, "perturbations or knockouts"),
    ],
)
def test_batches_are_advised_where_they_can_be_left_out(judged_by, nulls, advice):
    made = told(judged_by, [0.5, 0.51], [1, 1], **nulls)
    assert made.verdict is not None and (made.verdict.regulators.outcome == "better") == bool(nulls)
    assert advice in next_lines(made)[-1]


def test_one_fold_alone_is_named_as_what_leaves_the_verdict_open():
    made = told(TIME_POINTS, [0.5], [0.7], no_network=[0.6])
    assert (
        verdict_line(made)
        == "Verdict: not tested, because left-out time points of one fold alone have no standard error."
    )
    assert "(1 fold; the model was chosen by it, and" in error_lines(made)[0]
    missing = verdict_line(told(LEFT_OUT, [0.5, 0.6], [1, 1]))
    assert missing == "Verdict: not tested, because the errors of null models are missing."
