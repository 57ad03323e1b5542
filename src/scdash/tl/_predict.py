"""`predict`: trajectories of a fitted model from any start."""

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._core.process_state import guarded
from scdash._core.trajectories import StoredTrajectories
from scdash._data import expression, holds_flags, read_flags
from scdash._errors import suggest
from scdash._keys import genes_of, require_fit
from scdash.networks import DynamicsModel, module_from_entry, rollout
from scdash.tl._forecast import NETWORK, Forecaster, check_forecaster, forecast
from scdash.tl._predict_split import predict_split

SETTLED = 10.0  # times until a screen's model is at rest, whose fastest decay is near 1


@guarded
def predict(
    adata: Any,
    start: Any = None,
    *,
    times: Any = None,
    key: str | None = None,
    layer: str | None = None,
    missing_genes: Literal["raise", "mean"] = "raise",
    forecaster: Forecaster = "network",
    split: Literal["train", "validation", "test"] | None = None,
) -> AnnData:
    """Predict expression over time with a fitted model of dynamics, or features of cells with a bottleneck network.

    Integrates dx/dt with steps of at most a quarter of the fastest relaxation time, halved until it no longer matters.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to; or a MuData that `scdash.tl.sbnn` or `scdash.tl.srrr` has
        written to: `start` are then the cells whose features are predicted, an AnnData of log expression.
    start
        Where to start: None (the first state of every trajectory the model was fitted on; the control of a screen), names of observations, a
        boolean `obs` mask, an AnnData, a DataFrame (rows by genes) or an array (rows, modelled genes), in the units of
        the data.
    times
        Increasing times since the start, which is 0 whether or not it is among them: the state at 2 is the same for
        times=[2, 4] and times=[0, 2, 4]. In the unit of the fit's `time_key`; for cells in the model's time, which runs
        from 0 to 10. None: the times of the fitted trajectories, or long enough to come to rest for a screen.
    key
        The `key_added` of the fit; None: "dynamics", or "sbnn" for MuData.
    layer
        Layer of `adata` (or of `start`, if that is an AnnData) to take start states from; None: the one that was
        fitted; "X": X.
    missing_genes
        For MuData: "raise", or "mean" to fill genes that `start` lacks with their training mean.
    forecaster
        For cells: "network", the fitted model; one of the forecasts without a network that the fit's report lists
        (`scdash.get.report`), which follow the training trajectories; or "best", the one of all these with the smallest
        error of whole validation stretches, which the log names. A network is often not the best forecast of cells
        ({doc}`/concepts/evidence`). Starts other than None take their time and lineage from the training state nearest
        to them; a forecast without a network can not be asked what a change of a gene would do.
    split
        Predict what the fit was judged by: every stretch of states of "test" (or "validation", "train"), whole, from the
        state before it and at its own times. Of cells these are the smoothed bins. Without `start` and `times`. `layers`
        then holds the `observed` states, `obs["stretch"]` the number of the stretch, `var["range"]` the unit of every
        gene in which errors are given, and `uns` the errors of the report again, `rollout_mse` and `next_step_mse`.

    Returns
    -------
    AnnData of shape (starts * times, modelled genes): `X` predicted expression, `obs["trajectory"]` the start's name,
    `obs["time"]`, `uns["forecaster"]` the name of the forecaster (dynamics alone),
    `uns["time_name"]` what an axis of `obs["time"]` is called.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    KeyError
        If the start lacks genes of the model.
    ValueError
        If `forecaster` is unknown, or needs cells and the fit is of time courses or a screen; if `split` has no states.
    NonFiniteError
        If the trajectory leaves the finite numbers.

    Examples
    --------
    >>> future = scdash.tl.predict(adata, times=[0, 1, 2, 5])  # doctest: +SKIP
    """
    if hasattr(adata, "mod"):
        from scdash.tl._sbnn_predict import predict_mudata

        if forecaster != NETWORK:
            raise ValueError(f"forecaster={forecaster!r} is for dynamics; a MuData has no time.")
        if split is not None or times is not None:
            raise ValueError("split and times are for dynamics; a MuData has no time.")
        return predict_mudata(adata, start, key=key or "sbnn", layer=layer, missing_genes=missing_genes)
    entry = require_fit(adata, key or "dynamics")
    if missing_genes != "raise":
        raise ValueError(
            f"missing_genes={missing_genes!r} is for MuData; a model of dynamics needs the state of every gene."
        )
    if split is not None:
        if start is not None or times is not None or forecaster != NETWORK:
            raise ValueError(f"split={split!r} has its own starts and times: leave out start, times and forecaster.")
        return predict_split(entry, split)
    check_forecaster(forecaster, entry, key or "dynamics")
    genes_of(adata, entry, key or "dynamics")
    model = module_from_entry(entry)
    settings = FitSettings.of(entry, key or "dynamics")
    names, states = start_states(adata, settings, entry, model, start, layer)
    grid = time_grid(entry, times)
    if forecaster == NETWORK:
        begin = torch.as_tensor(states, dtype=model.minimum.dtype)
        path = rollout(model, begin, torch.as_tensor(grid.solved)).numpy()
        used: str = forecaster
    else:
        path, used = forecast(entry, model, states, grid.solved, forecaster, first=start is None)
    found = paths_to_adata(path[grid.added :], names, grid.asked, model.genes)
    found.uns |= {"forecaster": used, "time_name": settings.time_name}
    return found


def paths_to_adata(path: NDArray[Any], names: list[str], grid: NDArray[np.float64], genes: NDArray[Any]) -> AnnData:
    """Turn states (times, starts, genes) into an AnnData with one row per start and time."""
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, len(grid)), categories=list(dict.fromkeys(names))),
            "time": np.tile(grid, len(names)),
        },
        index=pd.Index([f"{name}_t{k}" for name in names for k in range(len(grid))]),
    )
    flat = path.transpose(1, 0, 2).reshape(-1, path.shape[2]).astype(np.float32)
    return AnnData(X=flat, obs=obs, var=pd.DataFrame(index=pd.Index(genes)))


class TimeGrid(NamedTuple):
    """Times since the start: those that are solved for, the first being 0, and how many of them were not asked for."""

    solved: NDArray[np.float64]
    added: int

    @property
    def asked(self) -> NDArray[np.float64]:
        """The times that were asked for."""
        return self.solved[self.added :]


def time_grid(entry: Any, times: Any) -> TimeGrid:
    """Return the user's times since the start, or those of the fitted trajectories; the start is 0, asked for or not."""
    if times is None and "screen" in entry:
        return TimeGrid(np.asarray(np.linspace(0, SETTLED, 21), dtype=np.float64), 0)
    if times is None:
        seen = np.unique(np.asarray(entry["series"]["time"], dtype=np.float64))
        return TimeGrid(np.asarray(seen - seen[0], dtype=np.float64), 0)
    return times_since_start(times)


def times_since_start(times: Any) -> TimeGrid:
    """Check times since the start: finite, increasing and not negative."""
    grid: NDArray[np.float64] = np.array(times, dtype=np.float64, ndmin=1)
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any() or grid[0] < 0:
        raise ValueError(
            f"times must be finite, increasing times since the start, the earliest at least 0; found {grid.tolist()}."
        )
    return TimeGrid(grid, 0) if grid[0] == 0 else TimeGrid(np.concatenate([[0.0], grid]), 1)


def start_states(
    adata: Any, settings: FitSettings, entry: Any, model: DynamicsModel, start: Any, layer: str | None
) -> tuple[list[str], NDArray[np.floating[Any]]]:
    """Return names and states (starts, modelled genes) in the units of the data."""
    if start is None:
        series = entry["series"]
        if "screen" in entry:  # the regimes of a screen are no trajectories: start unperturbed
            return [str(series["trajectory"][0])], np.asarray(series["states"])[:1]
        known = StoredTrajectories.of(series)
        first = [known.rows(name)[0] for name in known.originals]  # re-drawn cells are no new starts
        return known.originals, np.asarray(series["states"])[first]
    if isinstance(start, AnnData):
        return list(start.obs_names), _rows(start, model, settings.layer_of(start, layer, name="start"))
    if isinstance(start, pd.DataFrame):
        absent = [g for g in model.genes if g not in start.columns]
        if absent:
            raise _missing_genes(absent, start.columns)
        # a copy, as pandas 3 hands out read-only views and torch warns of these
        return start.index.astype(str).tolist(), start[list(model.genes)].to_numpy(dtype=np.float64, copy=True)
    found = np.asarray(start)
    if found.dtype.kind == "f" or (found.dtype.kind in "iu" and found.ndim == 2):
        states = np.atleast_2d(found).astype(np.float64)
        if states.shape[1] != len(model.genes) or not np.isfinite(states).all():
            raise ValueError(
                f"start: an array must be finite with one column per modelled gene ({len(model.genes)}, in the order of "
                f"get.model(adata).genes), found shape {found.shape}."
            )
        return [f"start{i}" for i in range(len(states))], states
    names: Any = [start] if isinstance(start, str) else start
    if found.dtype == bool or (found.shape == (adata.n_obs,) and holds_flags(start)):
        names = read_flags(start, "start")
    else:
        unknown = [str(n) for n in names if n not in adata.obs_names]
        if unknown:
            raise KeyError(f"start: {unknown[0]!r} is not in adata.obs_names.{suggest(unknown[0], adata.obs_names)}")
    chosen = adata[names]
    if chosen.n_obs == 0:
        raise ValueError("start selects no observation.")
    return list(chosen.obs_names), _rows(chosen, model, settings.layer_of(adata, layer))


def _rows(adata: Any, model: DynamicsModel, layer: str | None) -> NDArray[np.floating[Any]]:
    absent = [g for g in model.genes if g not in adata.var_names]
    if absent:
        raise _missing_genes(absent, adata.var_names)
    return expression(adata, layer=layer, genes=model.genes, min_cells=1).dense()


def _missing_genes(absent: list[str], available: Any) -> KeyError:
    return KeyError(
        f"start: {len(absent)} genes of the model are missing, first {str(absent[0])!r}.{suggest(absent[0], available)} A model "
        "needs the state of every gene it was fitted on."
    )
