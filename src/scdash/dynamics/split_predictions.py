"""Predictions of the states that a stored fit was judged by, and the errors of its report again."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.errors import unknown
from scdash._data import SPLITS, TimeSeries
from scdash.dynamics.predictions import stored_series
from scdash.dynamics.predictors import Predictor, field_predictor, pair_errors, rollout_errors
from scdash.networks import DynamicsModel, module_from_entry


def predict_split(entry: Any, split: str) -> AnnData:
    """Return every window of a split as predicted from the state before it, beside what was observed."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if "screen" in entry:
        raise ValueError(
            "split is for fits of time; predict perturbations of a screen with scdash.tl.predict_perturbations."
        )
    model = module_from_entry(entry)
    series = stored_series(entry, model)[0].originals()
    runs = series.rollouts(split)
    if not runs:
        raise ValueError(
            f"split={split!r}: the fit has no such states to predict. Errors on trajectories that were left out in turn are "
            f"in scdash.get.report(adata); to keep states for {split}, label them in a column of obs and fit again with "
            "split_key=<column>."
        )
    predict = field_predictor(model.field, dict(model.weights))
    slope = float(entry["params"].get("slope", 1.0))
    found = _table(series, runs, predict, model)
    found.var["range"] = model.range.numpy() * slope
    found.uns["predictor"] = "network"
    # the field runs in units stretched by the slope, errors are in those of the series
    found.uns["rollout_mse"] = float(rollout_errors(series, predict, split).mean()) / slope**2
    found.uns["next_step_mse"] = float(pair_errors(series, predict, split).mean()) / slope**2
    return found


def _table(series: TimeSeries, runs: Any, predict: Predictor, model: DynamicsModel) -> AnnData:
    """Return one row per predicted state, in the units of the data."""
    unit, offset = model.range.numpy().astype(np.float64), model.minimum.numpy().astype(np.float64)
    paths = [predict(series.states[r[:1]], series.times[r][None], series.trajectory[r[:1]])[:, 0] for r in runs]
    rows = np.concatenate([run[1:] for run in runs])
    window = np.repeat(np.arange(len(runs)), [len(run) - 1 for run in runs])
    names = np.asarray(series.names, dtype=str)[series.trajectory[rows]]
    obs = pd.DataFrame(
        {"trajectory": pd.Categorical(names), "time": series.times[rows] * model.time_scale, "window": window},
        index=pd.Index([f"{name}_{row}" for name, row in zip(names, rows, strict=True)]),
    )
    found = AnnData(
        X=(np.concatenate(paths) * unit + offset).astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(model.genes)),
    )
    found.layers["observed"] = (series.states[rows] * unit + offset).astype(np.float32)
    return found
