"""Predictions of cells from what a stored fit was learned from; the network is one predictor among others."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, unknown
from scdash._core.logging import logger
from scdash._core.trajectories import StoredTrajectories
from scdash._data import SPLITS, TimeSeries
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import Floats, Predictor, field_predictor, pair_errors, rollout_errors
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.reporting.cell_baselines import no_network, trajectory_predictors, trivial
from scdash.networks import DynamicsModel, module_from_entry, rollout

PredictorName = Literal[
    "network",
    "best",
    "mean trajectory",
    "mean trajectory + start offset",
    "aligned mean trajectory",
    "nearest neighbours",
    "no network",
    "constant",
    "no change",
]
NETWORK, BEST = "network", "best"


def check_predictor(name: Any, entry: Any, key: str) -> None:
    """Raise unless `predictor` is known and the fit is one of cells, whose training states the predictions follow."""
    if not isinstance(name, str) or name not in get_args(PredictorName):
        raise unknown("predictor", name, get_args(PredictorName))
    if name == NETWORK:
        return
    if "screen" in entry or not entry["params"].get("cells", False):
        raise ValueError(
            f"predictor={name!r} is for cells along pseudotime; adata.uns[{key!r}] is a fit of "
            f"{'a perturbation screen' if 'screen' in entry else 'time courses'}. Use predictor='network'."
        )
    if name == BEST and not (np.asarray(entry["series"]["split"]) == "validation").any():
        raise ValueError(
            f"predictor='best' is chosen by validation states, and adata.uns[{key!r}] has none. Name a predictor "
            "(scdash.get.report lists their errors), or label trajectories 'validation' in a column of obs and fit again "
            "with split_key=<column>."
        )


def predict_states(
    entry: Any, model: DynamicsModel, states: NDArray[Any], grid: NDArray[np.float64], name: str, *, first: bool
) -> tuple[NDArray[Any], str]:
    """Return states (times, starts, genes) in the units of the data, and the name of the predictor used.

    `first`: the starts are the first states of the fitted trajectories, whose time and lineage are known.
    """
    series, lineage = stored_series(entry, model)
    known = predictors_of_cells(series, lineage)
    if name == BEST:
        network = field_predictor(model.field, dict(model.weights))
        errors = validation_errors(series, {NETWORK: network} | known)
        name = next(iter(errors))
        listed = ", ".join(f"{other} {error:.3g}" for other, error in errors.items())
        logger.info("    predictor: %s (errors of whole validation time windows: %s)", name, listed)
    else:
        logger.info("    predictor: %s", name)
    scaled = _scale(states, model)
    if name == NETWORK:
        kept = torch.as_tensor(states, dtype=model.minimum.dtype)
        return rollout(model, kept, torch.as_tensor(grid)).numpy(), name
    begin, code = _first_states(series) if first else nearest_training(series, scaled)
    path = known[name](scaled, begin[:, None] + grid / model.time_scale, code)
    return np.concatenate([np.asarray(states)[None], path * model.range.numpy() + model.minimum.numpy()]), name


def stored_series(entry: Any, model: DynamicsModel) -> tuple[TimeSeries, NDArray[np.intp] | None]:
    """Return the trajectories of a fit in the field's units (of genes and of time), and the lineage of every trajectory."""
    stored = entry["series"]
    known = StoredTrajectories.of(stored)
    code, names = pd.factorize(known.name)
    origin = np.arange(len(names))
    origin[code] = pd.Index(names).get_indexer(pd.Index(known.origin))
    series = TimeSeries(
        states=_scale(np.asarray(stored["states"], dtype=np.float64), model),
        times=np.asarray(stored["time"], dtype=np.float64) / model.time_scale,
        trajectory=code.astype(np.int64),
        names=tuple(str(name) for name in names),
        split=np.array([SPLITS.index(str(label)) for label in stored["split"]], dtype=np.int8),
        genes=pd.Index(model.genes),
        weights=np.asarray(stored["n_cells"], dtype=np.float64),
        origin=np.where(origin >= 0, origin, np.arange(len(names))),
    )
    if "lineage" not in stored:
        return series, None
    lineage = np.zeros(len(names), dtype=np.intp)
    lineage[code] = np.asarray(stored["lineage"])
    return series, lineage


def _first_states(series: TimeSeries) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    own = series.originals()
    rows = np.array([run[0] for run in own.each()])
    return own.times[rows], own.trajectory[rows]


def _scale(states: NDArray[Any], model: DynamicsModel) -> NDArray[np.float64]:
    return np.asarray((states - model.minimum.numpy()) / model.range.numpy(), dtype=np.float64)


def predict_split(entry: Any, split: str) -> AnnData:
    """Return every window of a split as predicted from the state before it, beside what was observed."""
    check_choice("split", split, SPLITS)
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
    # the field runs in units scaled by the slope, errors are in those of the series
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


def predictors_of_cells(series: TimeSeries, lineage: NDArray[np.intp] | None) -> dict[str, Predictor]:
    """Return every predictor of cells without a network, its own settings chosen by validation states."""
    problem = FitProblem(series, lineage=lineage)
    return trajectory_predictors(problem) | trivial(problem, no_network(problem, FitOptions(cells=True)))


def validation_errors(series: TimeSeries, predictors: Mapping[str, Predictor]) -> dict[str, float]:
    """Return the mean squared error of whole validation windows, smallest first; infinite where one diverges."""
    own = series.originals()
    found = {}
    for name, predict in predictors.items():
        errors = rollout_errors(own, predict, "validation")
        mean = float(errors.mean()) if len(errors) else np.nan
        found[name] = mean if np.isfinite(mean) else np.inf
    return dict(sorted(found.items(), key=lambda item: item[1]))


def nearest_training(series: TimeSeries, start: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the time and the trajectory of the training state that is nearest to each start (b, genes)."""
    rows = series.originals()
    train = rows.select(rows.rows_of("train"))
    distance = (train.states**2).sum(axis=1) - 2 * start @ train.states.T
    nearest = distance.argmin(axis=1)
    return train.times[nearest], train.trajectory[nearest]
