"""Errors of predicted states, and of the two predictors that need no model."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scdash._core.process_state import guarded
from scdash._data import TimeSeries


@guarded
def mse_next_step(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Mean squared error of the next state of every pair, over pairs and genes, in squared units of the states.

    Parameters
    ----------
    predicted, observed
        States at the later time of each pair, (pairs, genes): the prediction starts from the OBSERVED earlier state.

    Returns
    -------
    float
        Mean squared error, in squared units of the data.

    See Also
    --------
    scdash.metrics.mse_long_horizon : Mean squared error of whole trajectories predicted from their first state, in squared units of the states.
    scdash.metrics.constant_mse : Error of a constant, the training mean of each gene, at the states that a model of `split` must predict.

    Examples
    --------
    >>> scdash.metrics.mse_next_step([[1.0, 2.0]], [[1.0, 4.0]])
    2.0
    """
    error = _difference(predicted, observed)
    return float(np.mean(error**2)) if error.size else float("nan")


@guarded
def mse_long_horizon(predicted: ArrayLike, observed: ArrayLike, *, by_time: bool = False) -> float | NDArray[Any]:
    """Mean squared error of whole trajectories predicted from their first state, in squared units of the states.

    Parameters
    ----------
    predicted, observed
        Trajectories, (times, genes) or (trajectories, times, genes). The first time is where the prediction starts
        and does not count. Unobserved values are NaN in `observed`.
    by_time
        Return the error at each time after the first instead of their mean.

    Returns
    -------
    float or ndarray
        Mean squared error, in squared units of the data; with ``by_time=True`` one for each time after the first.

    See Also
    --------
    scdash.metrics.mse_next_step : Mean squared error of the next state of every pair, over pairs and genes, in squared units of the states.
    scdash.metrics.no_change_mse : Error of predicting that nothing changes after the state a prediction starts from.

    Examples
    --------
    >>> scdash.metrics.mse_long_horizon([[0.0], [1.0], [3.0]], [[0.0], [1.0], [1.0]])
    2.0
    """
    error = _difference(predicted, observed)
    if error.ndim < 2 or error.shape[-2] < 2:
        raise ValueError(f"Trajectories of at least two times are needed, (..., times, genes); found {error.shape}.")
    missing = np.broadcast_to(np.isnan(np.asarray(observed)), error.shape)
    squared = np.ma.masked_array(error**2, mask=missing)[..., 1:, :]
    if by_time:
        axes = tuple(axis for axis in range(squared.ndim) if axis != squared.ndim - 2)
        return np.asarray(squared.mean(axis=axes).filled(np.nan))
    return float(np.ma.filled(squared.mean(), np.nan))


@guarded
def constant_mse(series: TimeSeries, *, split: str = "test", horizon: Literal["next", "long"] = "next") -> float:
    """Error of a constant, the training mean of each gene, at the states that a model of `split` must predict.

    The mean is over the states that training predicts, so without the states trajectories start from: where all
    trajectories relax, as in SIM350, their inclusion would make an easily beaten baseline (8.9e-3 against 5.8e-3).

    Parameters
    ----------
    series
        States along trajectories, with their splits.
    split
        The split to predict; where it holds no state the result is NaN.
    horizon
        ``"next"`` counts the later state of each pair, ``"long"`` each state of the rollouts after their start.

    Returns
    -------
    float
        Mean squared error, in squared units of the data.

    See Also
    --------
    scdash.metrics.no_change_mse : Error of predicting that nothing changes after the state a prediction starts from.
    scdash.metrics.mse_next_step : Mean squared error of the next state of every pair, over pairs and genes, in squared units of the states.

    Examples
    --------
    >>> scdash.metrics.constant_mse(series)  # doctest: +SKIP
    """
    rows = _predicted_rows(series, split, horizon)[1]
    train = _predicted_rows(series, "train", horizon)[1]
    if not len(rows) or not len(train):
        return float("nan")
    states = np.asarray(series.states, dtype=np.float64)
    return float(np.mean((states[rows] - states[train].mean(axis=0)) ** 2))


@guarded
def no_change_mse(series: TimeSeries, *, split: str = "test", horizon: Literal["next", "long"] = "next") -> float:
    """Error of predicting that nothing changes after the state a prediction starts from.

    Parameters as in :func:`constant_mse`: for ``"next"`` that state is the earlier one of each pair, for ``"long"`` the
    first one of each rollout.

    Returns
    -------
    float
        Mean squared error, in squared units of the data.

    See Also
    --------
    scdash.metrics.constant_mse : Error of a constant, the training mean of each gene, at the states that a model of `split` must predict.
    scdash.metrics.mse_next_step : Mean squared error of the next state of every pair, over pairs and genes, in squared units of the states.

    Examples
    --------
    >>> scdash.metrics.no_change_mse(series)  # doctest: +SKIP
    """
    starts, rows = _predicted_rows(series, split, horizon)
    if not len(rows):
        return float("nan")
    states = np.asarray(series.states, dtype=np.float64)
    return float(np.mean((states[rows] - states[starts]) ** 2))


def _predicted_rows(series: TimeSeries, split: str, horizon: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row each prediction starts from and the row it predicts."""
    if horizon == "next":
        pairs = series.pairs(split)
        return pairs[:, 0], pairs[:, 1]
    if horizon != "long":
        raise ValueError(f"horizon must be 'next' or 'long', found {horizon!r}.")
    runs = series.rollouts(split)
    none = np.empty(0, np.int64)
    starts = np.concatenate([none, *(np.repeat(run[0], len(run) - 1) for run in runs)])
    return starts, np.concatenate([none, *(run[1:] for run in runs)])


def _difference(predicted: ArrayLike, observed: ArrayLike) -> NDArray[np.float64]:
    left, right = np.asarray(predicted, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if left.shape != right.shape:
        raise ValueError(f"predicted has shape {left.shape}, observed {right.shape}: they must be equal.")
    return left - right
