"""Genes along (pseudo)time: the cells, the bins the model saw, its trajectory, and what was held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._core.process_state import guarded
from scdash._core.trajectories import StoredTrajectories
from scdash._data import parse_time
from scdash._errors import unknown
from scdash._keys import DynamicsKeys, genes_of, require_fit
from scdash._logging import logger
from scdash.pl._colors import stored_colors
from scdash.pl._read import expression, positions, slot
from scdash.pl._style import FAINT, INK, MUTED, PALETTE, Drawn, category_colors, finish, house, panels

_MAX_TRAJECTORIES = 6
_MAX_POINTS = 4000
_SHADE = "#FFF1CC"


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

    def redrawn(self, trajectory: str) -> list[str]:
        """Return the names of the bootstraps of a trajectory, which show how certain its states are."""
        return self.trajectories.redrawn(trajectory)


@guarded
def trends(
    adata: Any,
    genes: str | Sequence[str] | None = None,
    *,
    key: str = "dynamics",
    layer: str | None = None,
    trajectories: str | Sequence[str] | None = None,
    cells: bool = True,
    ncols: int = 4,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw genes over time: cells as light points, bins as circles, the model's trajectory as a line.

    Thin lines are the same bins made of cells drawn again (bootstraps), where there are any.
    Stretches of a trajectory that were held out are shaded; trajectories that were held out as a whole are dashed, with
    open circles. The model's line is simulated from the first state of each trajectory to the last, as stored by
    the fit: it shows where the model ends up, not how well it predicts the next state (:func:`scdash.get.report`).

    Parameters
    ----------
    adata
        AnnData with a fit.
    genes
        Genes to draw; default the eight modelled genes that change most.
    key
        Name of the fit.
    layer
        Layer of the cells' expression; default the layer that was fitted.
    trajectories
        Trajectories to draw; default all, or six of many, held-out ones among them.
    cells
        Draw the cells.
    ncols
        Panels a row.
    palette
        Colours of the trajectories; default ``uns["<trajectory_key>_colors"]``, else a colour-blind safe set.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    stored, entry = dict(slot(adata, key, "series")), require_fit(adata, key)
    settings = FitSettings.of(entry, key)
    stored["cell_time"] = stored.get("cell_time") or settings.time_key
    stored["position_key"] = DynamicsKeys(key).position
    here = genes_of(adata, entry, key)
    names = pd.Index(np.asarray(entry["genes"], dtype=object))
    at = _changing_most(stored, here.present) if genes is None else positions(genes, names)
    series = _series(stored, at)
    drawn = _choose(series, trajectories)
    points = _cells(adata, stored, list(names[at]), settings, layer)
    own = _stored_colors(adata, settings.text("trajectory_key"), drawn)
    colors = category_colors(drawn, palette, own) if len(drawn) > 1 or palette or own else {drawn[0]: PALETTE[0]}
    with house():
        figure, axes = panels(len(at), ax, ncols=ncols, size=(2.7, 2.1), sharex=True)
        for i, (panel, gene) in enumerate(zip(axes, names[at], strict=True)):
            _shade(panel, series, drawn)
            if cells and points is not None:
                panel.scatter(points[0], points[1][:, i], s=5, color="#B8B8B8", alpha=0.5, lw=0, zorder=1,
                              rasterized=True, label="cells")  # fmt: skip
            for name in drawn:
                _draw(panel, series, name, i, colors[name])
            panel.set_title(str(gene), loc="left", fontweight="bold")
            if i % ncols == 0:
                panel.set_ylabel("expression")
            if i >= len(at) - ncols:
                panel.set_xlabel(settings.time_name)
                panel.tick_params(labelbottom=True)
        _legend(figure, axes, series, drawn, colors, with_cells=cells and points is not None, outside=ax is None)
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


def _stored_colors(adata: Any, column: Any, drawn: Sequence[str]) -> dict[str, str] | None:
    """Return the colours that `uns` keeps for the column of lineages, if it names every trajectory that is drawn."""
    if column is None or str(column) not in adata.obs:
        return None
    names = [str(name) for name in adata.obs[str(column)].astype("category").cat.categories]
    found = stored_colors(adata.uns, str(column), names) if set(drawn) <= set(names) else None
    return found


def _changing_most(stored: Mapping[str, Any], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    spread = np.nan_to_num(np.asarray(stored["states"], dtype=np.float64).std(axis=0))
    order = np.argsort(-np.where(present, spread, -1.0), kind="stable")
    return order[present[order]][:8]


def _series(stored: Mapping[str, Any], at: NDArray[np.int64]) -> Series:
    rows = len(stored["time"])
    return Series(
        np.asarray(stored["time"], dtype=np.float64),
        StoredTrajectories.of(stored),
        np.asarray(stored["split"]).astype(str),
        np.asarray(stored.get("n_cells", np.ones(rows)), dtype=np.float64),
        np.asarray(stored["states"], dtype=np.float64)[:, at],
        np.asarray(stored["fitted"], dtype=np.float64)[:, at],
    )


def _choose(series: Series, wanted: str | Sequence[str] | None) -> list[str]:
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


def _cells(
    adata: Any, stored: Mapping[str, Any], genes: list[str], settings: FitSettings, layer: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return time and expression of (at most 4,000) cells, or None where the rows of adata are the states themselves."""
    at = next((name for name in (stored["position_key"], stored["cell_time"]) if name in adata.obs), None)
    if at is None:
        return None
    time = np.asarray(parse_time(adata.obs[at], str(at)).values, dtype=np.float64)
    axis = np.asarray(stored["time"], dtype=np.float64)
    if time.shape == axis.shape and np.array_equal(np.sort(time), np.sort(axis)):
        return None
    reach = np.ptp(axis) or 1.0
    inside = np.isfinite(time) & (time >= axis.min() - 0.1 * reach) & (time <= axis.max() + 0.1 * reach)
    shown = np.flatnonzero(inside)
    if not len(shown):
        return None
    covered = 1.0 if at == stored["position_key"] else np.ptp(time[shown]) / reach
    if covered < 0.5 or len(shown) < 0.5 * np.isfinite(time).sum():  # another scale of time: points would mislead
        logger.info("Cells are not drawn: obs[%r] is not on the time axis of the fit.", stored.get("cell_time"))
        return None
    shown = shown[:: -(-len(shown) // _MAX_POINTS)]
    return time[shown], expression(adata, genes, settings.layer_of(adata, layer))[shown]


def _draw(ax: Axes, series: Series, name: str, gene: int, color: str) -> None:
    rows, held_out = series.rows(name), series.held_out(name)
    time, share = series.time[rows], series.n_cells[rows] / max(np.nanmax(series.n_cells), 1e-12)
    for again in map(series.rows, series.redrawn(name)):
        ax.plot(
            series.time[again], series.states[again, gene], color=color, lw=0.6, alpha=0.35, zorder=2, gid="redrawn"
        )
    ax.scatter(time, series.states[rows, gene], s=8 + 22 * np.sqrt(np.clip(share, 0, 1)), zorder=3, lw=0.9,
               facecolor="white" if held_out else color, edgecolor=color, alpha=0.75)  # fmt: skip
    ax.plot(time, series.fitted[rows, gene], color=color, lw=2.0, ls="--" if held_out else "-", zorder=4)


def _shade(ax: Axes, series: Series, drawn: Sequence[str]) -> None:
    """Shade the stretches held out of trajectories that were otherwise trained on, each stretch once."""
    spans: set[tuple[float, float]] = set()
    for name in drawn:
        rows = series.rows(name)
        out = series.split[rows] != "train"
        if out.all() or len(rows) < 2:
            continue
        time = series.time[rows]
        middle = np.concatenate([[time[0]], (time[1:] + time[:-1]) / 2, [time[-1]]])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], out, [False]]).astype(int)))
        spans |= {(float(middle[start]), float(middle[stop])) for start, stop in edges.reshape(-1, 2)}
    for low, high in sorted(spans):
        ax.axvspan(low, high, color=_SHADE, lw=0, zorder=0, gid="held out")


def _legend(
    figure: Any,
    axes: list[Axes],
    series: Series,
    drawn: Sequence[str],
    colors: Mapping[str, str],
    *,
    with_cells: bool,
    outside: bool,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    tint = INK if len(drawn) > 1 else colors[drawn[0]]
    entries: list[Any] = [Line2D([], [], ls="", marker="o", ms=3, color="#B8B8B8", label="cells")] if with_cells else []
    entries += [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            ms=5,
            color=tint,
            alpha=0.75,
            label="observed (bins)" if with_cells else "observed",
        ),
        Line2D([], [], color=tint, lw=2, label="model"),
    ]
    if any(series.redrawn(name) for name in drawn):
        entries.append(Line2D([], [], color=tint, lw=0.8, alpha=0.5, label="bins of re-drawn cells"))
    if any(series.held_out(name) for name in drawn):
        entries.append(Line2D([], [], color=tint, lw=2, ls="--", marker="o", mfc="white", label="held-out trajectory"))
    if any(patch.get_gid() == "held out" for patch in axes[0].patches):
        entries.append(Patch(color=_SHADE, ec=FAINT, label="held out"))
    if len(drawn) > 1:
        entries += [Line2D([], [], color=colors[name], lw=3, label=name) for name in drawn]
    if outside:
        figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 5), labelcolor=INK)
    else:
        axes[0].legend(handles=entries, loc="best", labelcolor=MUTED)
