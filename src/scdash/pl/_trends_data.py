"""What `scdash.pl.trends` draws: states of a stored fit, and the cells behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.fit_settings import FitSettings
from scdash._core.logging import logger
from scdash._core.time_axis import TimeAxis
from scdash._core.trajectories import StoredTrajectories
from scdash._data import group_cells, is_membership_table, parse_time, read_labels, read_memberships
from scdash.pl.shared.read import expression

_MAX_TRAJECTORIES = 6
_MAX_POINTS = 4000


@dataclass(frozen=True)
class Series:
    """States of the chosen genes as the model saw and as it predicts them, in the units of the data."""

    time: NDArray[np.float64]  # (rows,)
    trajectories: StoredTrajectories  # names of the rows
    split: NDArray[np.str_]  # (rows,)
    n_cells: NDArray[np.float64]  # (rows,)
    states: NDArray[np.float64]  # (rows, genes)
    fitted: NDArray[np.float64]  # (rows, genes)

    def rows(self, trajectory: str) -> NDArray[np.int64]:
        """Return the rows of a trajectory in order of time."""
        found = self.trajectories.rows(trajectory)
        return found[np.argsort(self.time[found], kind="stable")]

    def held_out(self, trajectory: str) -> bool:
        """Say whether no state of a trajectory was trained on."""
        return not np.any(self.split[self.trajectories.rows(trajectory)] == "train")

    def resampled(self, trajectory: str) -> list[str]:
        """Return the names of the bootstraps of a trajectory, which show how certain its states are."""
        return self.trajectories.resampled(trajectory)


def changing_most(stored: Mapping[str, Any], present: NDArray[np.bool_], number: int) -> NDArray[np.int64]:
    """Return the positions of the genes in the data (`present`) whose states vary most, at most so many, the first the most."""
    spread = np.nan_to_num(np.asarray(stored["states"], dtype=np.float64).std(axis=0))
    order = np.argsort(-np.where(present, spread, -1.0), kind="stable")
    return order[present[order]][:number]


def series_of(stored: Mapping[str, Any], at: NDArray[np.int64], axis: TimeAxis) -> Series:
    """Return the states of the genes at positions `at` of a stored fit, with times as the axis shows them."""
    rows = len(stored["time"])
    return Series(
        axis.shown(stored["time"]),
        StoredTrajectories.of(stored),
        np.asarray(stored["split"]).astype(str),
        np.asarray(stored.get("n_cells", np.ones(rows)), dtype=np.float64),
        np.asarray(stored["states"], dtype=np.float64)[:, at],
        np.asarray(stored["fitted"], dtype=np.float64)[:, at],
    )


def chosen(series: Series, wanted: str | Sequence[str] | None) -> list[str]:
    """Return the trajectories to draw: those wanted, or all, or where there are many some that were held out and others."""
    everything = series.trajectories.all
    available = series.trajectories.originals  # one made of cells drawn again is drawn with its original
    if wanted is not None:
        listed = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
        for name in listed:
            if name not in everything:
                raise unknown("trajectory", name, available)
        if not listed:
            raise ValueError("trajectories is empty: name at least one, or leave it out.")
        return listed
    if len(available) <= _MAX_TRAJECTORIES:
        return available
    held_out = [name for name in available if series.held_out(name)][: _MAX_TRAJECTORIES // 2]
    trained = [name for name in available if name not in held_out][: _MAX_TRAJECTORIES - len(held_out)]
    logger.info("Drawing %d of %d trajectories; choose others with trajectories=.", _MAX_TRAJECTORIES, len(available))
    return trained + held_out


def cells_in(adata: AnnData, settings: FitSettings, trajectories: Sequence[str]) -> NDArray[np.bool_]:
    """Return which cells belong to one of the trajectories, (cells,); of lineages with weights those that weigh more than 0."""
    lineage_key, batch_key = settings.text("trajectory_key"), settings.text("batch_key")
    cell, lineage = np.arange(adata.n_obs), None
    if is_membership_table(adata, lineage_key):
        members = read_memberships(adata, str(lineage_key))
        cell, lineage = members.cell, members.lineage
    elif lineage_key in adata.obs:
        lineage = read_labels(adata.obs[lineage_key])
    batch = read_labels(adata.obs[batch_key]).iloc[cell] if batch_key in adata.obs else None
    if lineage is None and batch is None:
        return np.ones(adata.n_obs, dtype=bool)
    groups = group_cells(len(cell), lineage, None if batch is None else batch.reset_index(drop=True))
    wanted = np.isin(np.array([*groups.names, ""], dtype=str), list(trajectories))[groups.code]
    found = np.zeros(adata.n_obs, dtype=bool)
    found[cell[wanted]] = True
    return found


def cells_of(
    adata: AnnData,
    stored: Mapping[str, Any],
    genes: list[str],
    settings: FitSettings,
    layer: str | None,
    axis: TimeAxis,
    trajectories: Sequence[str] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return time (of the drawn axis) and expression of (at most 4,000) cells, or None where its rows are the states themselves.

    `trajectories`: those whose cells are returned; None: all.
    """
    at = next((name for name in (stored["position_key"], stored["cell_time"]) if name in adata.obs), None)
    if at is None or not settings.params["cells"]:
        return None
    time = np.asarray(parse_time(adata.obs[at], str(at)).values, dtype=np.float64)
    fitted = np.asarray(stored["time"], dtype=np.float64)
    if time.shape == fitted.shape and np.array_equal(np.sort(time), np.sort(fitted)):
        return None
    reach = np.ptp(fitted) or 1.0
    inside = np.isfinite(time) & (time >= fitted.min() - 0.1 * reach) & (time <= fitted.max() + 0.1 * reach)
    if trajectories is not None:
        inside &= cells_in(adata, settings, trajectories)
    shown = np.flatnonzero(inside)
    if not len(shown):
        return None
    covered = 1.0 if at == stored["position_key"] else np.ptp(time[shown]) / reach
    if (
        covered < 0.5 or trajectories is None and len(shown) < 0.5 * np.isfinite(time).sum()
    ):  # another scale of time: points would mislead
        logger.info("Cells are not drawn: obs[%r] is not on the time axis of the fit.", stored.get("cell_time"))
        return None
    shown = shown[:: -(-len(shown) // _MAX_POINTS)]
    drawn = axis.shown(time[shown]) if at == stored["position_key"] else time[shown]
    return drawn, expression(adata, genes, settings.layer_of(adata, layer))[shown]
