"""Predictions of cells from what a stored fit was learned from; the network is one predictor among others."""

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.logging import logger
from scdash._core.trajectories import StoredTrajectories
from scdash._data import SPLITS, TimeSeries
from scdash.dynamics.comparisons.cell_predictors import nearest_training, predictors_of_cells, validation_errors
from scdash.dynamics.predictors import field_predictor
from scdash.networks import DynamicsModel, rollout

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
    return np.concatenate([np.asarray(states)[None], _unscale(path, model)]), name


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


def _unscale(states: NDArray[Any], model: DynamicsModel) -> NDArray[np.float64]:
    return np.asarray(states * model.range.numpy() + model.minimum.numpy(), dtype=np.float64)
