"""The step is halved until that no longer matters, and there is one policy for where it goes on mattering."""

import math

import numpy as np
import pytest
import torch

from scdash._core.errors import NonFiniteError, NotConvergedError
from scdash.dynamics import predictors as _predictors
from scdash.fields import Phoenix
from scdash.networks import interventions as _interventions
from scdash.networks import predicted_trajectories as _rollout
from scdash.networks.dynamics_model import DynamicsModel
from scdash.solve import converged
from scdash.solve import step_halving as _converged

GENES = 3


def difference(coarse: float, fine: float) -> float:
    return abs(fine - coarse)


def halved(solve, **options):
    return converged(
        solve, 1, **{"change": difference, "tolerance": 0.1, "what": "Values", "remedy": "Stop."} | options
    )


def test_steps_are_doubled_until_the_result_stands_still() -> None:
    tried: list[int] = []

    def solve(steps: int) -> float:
        tried.append(steps)
        return 1 / steps

    found = halved(solve)
    assert tried == [1, 2, 4, 8, 16]  # 1/4 - 1/8 is more than 0.1, 1/8 - 1/16 is less
    assert (found.coarse, found.fine, found.steps) == (1 / 8, 1 / 16, 8)


def test_a_change_as_large_as_the_tolerance_is_accepted() -> None:
    assert halved(lambda steps: 1 / steps, tolerance=0.5).steps == 1


def test_what_never_stands_still_raises_and_says_by_how_much() -> None:
    tried: list[int] = []

    def solve(steps: int) -> float:
        tried.append(steps)
        return math.log2(steps)

    with pytest.raises(
        NotConvergedError,
        match="Values still change by 1 when their 64 steps an interval are halved; 0.1 is accepted. Stop.",
    ):
        halved(solve)
    assert tried == [2**k for k in range(_converged.HALVINGS + 1)]


def test_a_result_that_is_not_a_number_is_never_small_enough() -> None:
    with pytest.raises(NotConvergedError):
        halved(lambda steps: float("nan"))
    assert halved(lambda steps: float("nan") if steps < 8 else 1.0).steps == 8


def test_the_caller_may_do_otherwise() -> None:
    told: list[tuple[float, str]] = []
    found = halved(lambda steps: float(steps), otherwise=lambda value, text: told.append((value, text)))
    assert (found.fine, found.coarse, found.steps) == (128, 64, 64) and len(told) == 1 and told[0][0] == 128

    def raise_another(value: float, text: str) -> None:
        raise NonFiniteError("gene 3")

    with pytest.raises(NonFiniteError, match="gene 3"):
        halved(lambda steps: float(steps), otherwise=raise_another)


@pytest.fixture
def model() -> DynamicsModel:
    field = Phoenix(GENES, encoder="genes")
    params = field.init(1, torch.Generator().manual_seed(0))
    genes = np.array([f"g{i}" for i in range(GENES)])
    return DynamicsModel(field, params, genes=genes)


def unsettled(monkeypatch: pytest.MonkeyPatch, module, name: str, shape: tuple[int, ...], make) -> None:
    """Let a solve return a number that grows with its steps, finite and never the same."""
    monkeypatch.setattr(module, name, lambda *arguments: make(shape, float(arguments[-1])))


def test_a_finite_trajectory_that_depends_on_the_step_is_no_error_of_non_finite_numbers(
    monkeypatch: pytest.MonkeyPatch, model: DynamicsModel
) -> None:
    start, times = torch.rand(2, GENES), torch.tensor([0.0, 1.0])
    unsettled(monkeypatch, _rollout, "_integrate", (2, 1, GENES), torch.full)
    with pytest.raises(NotConvergedError, match="Predicted trajectories.*Ask for shorter `times`"):
        _rollout.rollout(model, start, times)
    unsettled(monkeypatch, _rollout, "_integrate", (2, 1, GENES), lambda shape, steps: torch.full(shape, torch.inf))
    with pytest.raises(NonFiniteError, match="first gene: g0"):
        _rollout.rollout(model, start, times)


def test_the_same_of_interventions(monkeypatch: pytest.MonkeyPatch, model: DynamicsModel) -> None:
    starts, held = np.zeros((2, GENES)), np.zeros((2, GENES), bool)
    unsettled(monkeypatch, _interventions, "_solve", (2, GENES), np.full)
    with pytest.raises(NotConvergedError, match="States after an intervention"):
        _interventions.intervene(model, starts, 1.0, held, starts)
    unsettled(monkeypatch, _interventions, "_solve", (2, GENES), lambda shape, steps: np.full(shape, np.inf))
    with pytest.raises(NonFiniteError, match="first gene: g0"):
        _interventions.intervene(model, starts, 1.0, held, starts)


def test_a_prediction_that_is_to_be_compared_warns_once(
    monkeypatch: pytest.MonkeyPatch, model: DynamicsModel, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        _predictors, "integrate", lambda v, x, times, solver, steps: torch.full((2, *x.shape), float(steps))
    )
    predict = _predictors.field_predictor(model.field, dict(model.weights))
    start, times, code = np.zeros((2, GENES)), np.array([[0.0, 1.0]] * 2), np.zeros(2, int)
    with caplog.at_level("WARNING", logger="scdash"):
        first, second = predict(start, times, code), predict(start, times, code)
    assert (first == second).all() and caplog.text.count("Predictions of held-out states still change") == 1
