"""Where predictions start, and the times at which they are asked for."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.display import some_names
from scdash._core.errors import suggest
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import DynamicsKeys
from scdash._core.trajectories import StoredTrajectories, lineages_of, trajectories_named
from scdash._core.types import StartLike, TimesLike
from scdash._data import expression, holds_flags, parse_time, read_flags
from scdash._data.names import cause_of_mismatch
from scdash.networks import DynamicsModel

if TYPE_CHECKING:
    pass


SETTLED = 10.0  # times until a screen's model is at rest, whose fastest decay is near 1
EQUAL = 1e-9  # of the longest time: times closer than this are one


class Starts(NamedTuple):
    """States from which trajectories are predicted."""

    names: list[str]
    states: NDArray[np.floating[Any]]  # (starts, modelled genes), in the units of the data
    position: NDArray[np.float64]  # (starts,), place on the time axis of the fit; NaN where it is not known


class TimeGrid(NamedTuple):
    """Times since the start: those that are solved for, the first being 0, and how many of them were not asked for."""

    solved: NDArray[np.float64]
    added: int

    @property
    def asked(self) -> NDArray[np.float64]:
        """The times that were asked for."""
        return self.solved[self.added :]


def time_grid(entry: Any, times: TimesLike | None) -> TimeGrid:
    """Return the user's times since the start, or those of the fitted states since the start of their own trajectory.

    The start is 0, asked for or not.
    """
    if times is None and "screen" in entry:
        return TimeGrid(np.asarray(np.linspace(0, SETTLED, 21), dtype=np.float64), 0)
    if times is None:
        time = pd.Series(np.asarray(entry["series"]["time"], dtype=np.float64))
        since = time - time.groupby(np.asarray(entry["series"]["trajectory"], dtype=object)).transform("min")
        seen = np.unique(since)
        apart = np.append(True, np.diff(seen) > EQUAL * seen[-1])
        return TimeGrid(np.asarray(seen[apart], dtype=np.float64), 0)
    return times_since_start(times)


def times_since_start(times: TimesLike) -> TimeGrid:
    """Check times since the start: finite, increasing and not negative."""
    grid: NDArray[np.float64] = np.array(times, dtype=np.float64, ndmin=1)
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any() or grid[0] < 0:
        raise ValueError(
            f"times must be finite, increasing times since the start, the earliest at least 0; found {grid.tolist()}."
        )
    return TimeGrid(grid, 0) if grid[0] == 0 else TimeGrid(np.concatenate([[0.0], grid]), 1)


def start_states(
    adata: "AnnData",
    settings: FitSettings,
    entry: Any,
    model: DynamicsModel,
    start: StartLike | None,
    layer: str | None,
) -> Starts:
    """Return where to start, from any form of the argument `start`."""
    if start is None:
        series = entry["series"]
        if "screen" in entry:  # the perturbations of a screen are no trajectories: start unperturbed
            return Starts([str(series["trajectory"][0])], np.asarray(series["states"])[:1], np.zeros(1))
        return _first_states(
            entry, StoredTrajectories.of(series).originals
        )  # bootstraps of the cells are no new starts
    if isinstance(start, AnnData):
        rows = _rows(start, model, settings.layer_of(start, layer, name="start"))
        return Starts(list(start.obs_names), rows, _positions(start, settings))
    if isinstance(start, pd.DataFrame):
        absent = [g for g in model.genes if g not in start.columns]
        if absent:
            raise _missing_genes(absent, model, start.columns)
        # a copy, as pandas 3 hands out read-only views and torch warns of these
        values = start[list(model.genes)].to_numpy(dtype=np.float64, copy=True)
        return Starts(start.index.astype(str).tolist(), values, np.full(len(values), np.nan))
    found = np.asarray(start)
    if found.dtype.kind == "f" or (found.dtype.kind in "iu" and found.ndim == 2):
        states = np.atleast_2d(found).astype(np.float64)
        if states.shape[1] != len(model.genes) or not np.isfinite(states).all():
            raise ValueError(
                f"start: an array must be finite with one column per modelled gene ({len(model.genes)}, in the order of "
                f"get.model(adata).genes), found shape {found.shape}."
            )
        return Starts([f"start{i}" for i in range(len(states))], states, np.full(len(states), np.nan))
    names: Any = [start] if isinstance(start, str) else start
    if found.dtype == bool or (found.shape == (adata.n_obs,) and holds_flags(start)):
        names = read_flags(start, "start")
    else:
        if not all(str(name) in adata.obs_names for name in names):
            return _first_states(entry, _trajectories(adata, entry, names))
    chosen = adata[names]
    if chosen.n_obs == 0:
        raise ValueError("start selects no observation.")
    rows = _rows(chosen, model, settings.layer_of(adata, layer))
    return Starts(list(chosen.obs_names), rows, _positions(chosen, settings))


def _trajectories(adata: AnnData, entry: Any, names: Any) -> list[str]:
    """Return the trajectories of lineages that are named, or raise with the name that is neither a lineage nor an observation."""
    if "screen" in entry:  # its perturbations are no trajectories
        lineages, where = [], "in adata.obs_names"
    else:
        lineages, where = lineages_of(entry), "in adata.obs_names, nor a lineage of the fit"
    named = {str(name): trajectories_named(entry, str(name)) if lineages else [] for name in names}
    if all(named.values()):
        return list(dict.fromkeys(one for mine in named.values() for one in mine))
    absent = [name for name, mine in named.items() if not mine and name not in adata.obs_names]
    if not absent:
        raise KeyError(f"start: {list(named)} are names of observations and of lineages; give either.")
    columns = [str(name) for name, column in adata.obs.items() if (column.astype(str) == absent[0]).any()]
    if columns:
        raise KeyError(
            f"start: {absent[0]!r} is not {where}, but a value of adata.obs[{columns[0]!r}]. Its cells are "
            f"start=adata.obs[{columns[0]!r}] == {absent[0]!r}."
        )
    raise KeyError(f"start: {absent[0]!r} is not {where}.{suggest(absent[0], [*lineages, *adata.obs_names])}")


def _first_states(entry: Any, trajectories: list[str]) -> Starts:
    """Return the first states of some trajectories of the fit."""
    series = entry["series"]
    known = StoredTrajectories.of(series)
    times = np.asarray(series["time"], dtype=np.float64)
    first = [known.rows(name)[np.argmin(times[known.rows(name)])] for name in trajectories]
    return Starts(trajectories, np.asarray(series["states"])[first], times[first])


def _positions(data: AnnData, settings: FitSettings) -> NDArray[np.float64]:
    """Return the place of observations on the time axis of the fit, NaN where `data` do not say it."""
    placed = DynamicsKeys(settings.key).position
    if placed in data.obs:
        return np.asarray(data.obs[placed], dtype=np.float64)
    if "predictor" in data.uns and "position" in data.obs:  # states that scdash.tl.predict returned know their place
        return np.asarray(data.obs["position"], dtype=np.float64)
    if bool(settings.params.get("model_time", False)) or settings.time_key not in data.obs:
        return np.full(data.n_obs, np.nan)
    return np.asarray(parse_time(data.obs[settings.time_key], f"obs[{settings.time_key!r}]").values, dtype=np.float64)


def _rows(adata: "AnnData", model: DynamicsModel, layer: str | None) -> NDArray[np.floating[Any]]:
    absent = [g for g in model.genes if g not in adata.var_names]
    if absent:
        raise _missing_genes(absent, model, adata.var_names)
    return expression(adata, layer=layer, genes=model.genes, min_cells=1).dense()


def _missing_genes(absent: list[str], model: DynamicsModel, available: Any) -> KeyError:
    genes = pd.Index(model.genes)
    if len(absent) == len(genes):
        cause = cause_of_mismatch(pd.Index(available).astype(str), genes, "start")
        return KeyError(
            f"start: none of the {len(genes)} genes of the model is there. The model has "
            f"{some_names(genes)}; start has {some_names(available)}.{cause} Start from cells with the genes, and names of "
            "genes, that the model was fitted on, or fit these data."
        )
    return KeyError(
        f"start: {len(absent)} genes of the model are missing, first {str(absent[0])!r}.{suggest(absent[0], available)} A model "
        "needs the state of every gene it was fitted on."
    )
