"""Predictors that can be compared on held-out states: fitted fields and the trivial ones they have to beat."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.logging import logger
from scdash._data import SPLITS, TimeSeries
from scdash.dynamics.comparisons.no_network import relaxing
from scdash.fields import VectorField
from scdash.solve import converged, integrate

Floats: TypeAlias = NDArray[np.floating[Any]]
Codes: TypeAlias = NDArray[np.integer[Any]]
# start (b, genes), times (b, k + 1), codes (b,) of the trajectories they are from -> (k, b, genes)
Predictor: TypeAlias = Callable[[Floats, Floats, Codes], Floats]

LONG_HORIZON = 5  # states between start and target of the longer predictions of cells
# accepted RMS change of a prediction when its steps are halved: errors that are reported have to come out again where the
# same states are predicted in other company, as by `tl.predict`
TOLERANCE = 1e-6


def constant(series: TimeSeries) -> Predictor:
    """Predict the mean training state of every gene, whatever the start."""
    mean = series.states[series.rows_of("train")].mean(0)
    return lambda start, times, code: np.broadcast_to(mean, (times.shape[1] - 1, *start.shape))


def relaxation(bias: Floats, rates: Floats) -> Predictor:
    """Predict dx/dt = rates * (bias - x), genes without any network, by its closed form."""
    rollout = relaxing(bias, rates)
    return lambda start, times, code: rollout(start, times).transpose(1, 0, 2)


def no_change(start: Floats, times: Floats, code: Codes) -> Floats:
    """Predict the start state for ever."""
    return np.broadcast_to(start, (times.shape[1] - 1, *start.shape))


def scaled_about_middle(states: Floats, slope: float) -> Floats:
    """Return states in the units 1/2 + slope (x - 1/2), in which the activation found by the regression is PHOENIX's own."""
    return states if slope == 1 else 0.5 + slope * (states - 0.5)


def units_of_field(minimum: Floats, width: Floats, slope: float) -> tuple[Floats, Floats]:
    """Return offset and unit of every gene such that (x - offset) / unit is `scaled_about_middle((x - minimum) / width, slope)`."""
    return minimum + width * (0.5 - 0.5 / slope), width / slope


def field_predictor(
    field: VectorField, params: Mapping[str, Tensor], *, steps: int = 4, slope: float = 1.0
) -> Predictor:
    """Integrate ONE model (leading axis 1), halving rk4's step until it no longer matters.

    A prediction that depends on the step, or leaves the finite numbers, is returned as it is after a warning: it is to be
    compared with others, and loses. The field runs in double precision and in units scaled by `slope`; states are given
    and returned in those of the series.
    """
    dtype = torch.float64
    cpu = {name: value.detach().cpu().to(dtype) for name, value in params.items()}

    def once(start: Floats, times: Floats, n: int) -> Tensor:
        x = torch.as_tensor(np.ascontiguousarray(scaled_about_middle(start, slope)), dtype=dtype)[None]
        with torch.no_grad():
            path = integrate(field.bind(cpu), field.lift(cpu, x), torch.as_tensor(times)[None], solver="rk4", steps=n)
            return field.observe(cpu, path)[1:, 0]

    told: list[str] = []  # one message a predictor: it is asked for many predictions

    def tell(path: Tensor, text: str) -> None:
        if not told:
            told.append(text)
            logger.warning("    WARNING: %s", text)

    def predict(start: Floats, times: Floats, code: Codes) -> Floats:
        found = converged(
            lambda n: once(start, times, n),
            steps,
            change=lambda coarse, fine: float((fine - coarse).square().mean().sqrt()),
            tolerance=TOLERANCE,
            what="Predictions of held-out states",
            remedy="Their errors are those of the last try; a sparser model may be stable.",
            otherwise=tell,
        ).fine
        return scaled_about_middle(found.numpy(), 1 / slope)

    return predict


def pair_errors(series: TimeSeries, predict: Predictor, split: str) -> Floats:
    """Return the mean squared error of every next-step prediction of a split, (pairs,)."""
    return _errors_of_last(series, predict, series.pairs(split))


def rollout_errors(series: TimeSeries, predict: Predictor, split: str) -> Floats:
    """Return the mean squared error of every held-out window predicted whole from its start, (windows,)."""
    runs = series.rollouts(split)
    errors = np.empty(len(runs))
    for same, rows, predicted in _predicted(series, predict, runs):
        observed = series.states[rows[:, 1:]].transpose(1, 0, 2)
        errors[same] = ((predicted - observed) ** 2).mean((0, 2))
    return errors


def long_horizon_errors(series: TimeSeries, predict: Predictor, split: str, steps: int = LONG_HORIZON) -> Floats:
    """Return the mean squared error of every state of a split predicted from `steps` states before it, (states,)."""
    rows = [
        np.column_stack([mine[:-steps], mine[steps:]]) for mine in series.each() if len(mine) > steps
    ]  # runs of a trajectory, whatever the split of the states between
    found = np.concatenate(rows) if rows else np.empty((0, 2), np.int64)
    return _errors_of_last(series, predict, found[series.split[found[:, 1]] == SPLITS.index(split)])


def _predicted(
    series: TimeSeries, predict: Predictor, runs: Sequence[NDArray[np.int64]]
) -> Iterator[tuple[list[int], NDArray[np.int64], Floats]]:
    """Yield which runs have one length, their rows, and their later states as predicted from the first, (states, runs, genes)."""
    for length in {len(run) for run in runs}:
        same = [i for i, run in enumerate(runs) if len(run) == length]
        rows = np.stack([runs[i] for i in same])
        yield same, rows, predict(series.states[rows[:, 0]], series.times[rows], series.trajectory[rows[:, 0]])


def _errors_of_last(series: TimeSeries, predict: Predictor, rows: NDArray[np.int64]) -> Floats:
    """Return the mean squared error of the second of every two rows (pairs, 2), predicted from the first."""
    if not len(rows):
        return np.empty(0)
    predicted = predict(series.states[rows[:, 0]], series.times[rows], series.trajectory[rows[:, 0]])[0]
    return np.asarray(((predicted - series.states[rows[:, 1]]) ** 2).mean(1))


def held_out(series: TimeSeries) -> str:
    """Return the split that a fit is evaluated on: test where there is one."""
    return "test" if len(series.pairs("test")) else "validation"


def control_table(
    series: TimeSeries, predictors: Mapping[str, Predictor], *, long_horizon: bool = False
) -> pd.DataFrame:
    """Return one row per predictor: next-step errors by split, and the error of whole held-out windows.

    `rollout_mse` (and, with `long_horizon`, `five_bins_mse`) is over the test split where there is one, else over validation.
    Errors are NaN for absent splits.
    """
    held = held_out(series)
    rows = []
    for name, predict in predictors.items():
        row: dict[str, object] = {"predictor": name}
        for split in ("train", "validation", "test"):
            row[f"{split}_mse"] = _mean(pair_errors(series, predict, split))
        row["rollout_mse"] = _mean(rollout_errors(series, predict, held))
        if long_horizon:
            row["five_bins_mse"] = _mean(long_horizon_errors(series, predict, held))
        rows.append(row)
    return pd.DataFrame(rows)


def fitted_states(series: TimeSeries, predict: Predictor) -> Floats:
    """Return every state as predicted from the first state of its trajectory, (rows, genes)."""
    fitted = np.array(series.states, dtype=np.float32)
    for _, rows, predicted in _predicted(series, predict, series.rollouts()):
        fitted[rows[:, 1:].T] = predicted
    return fitted


def _mean(errors: Floats) -> float:
    return float(errors.mean()) if len(errors) else float("nan")
