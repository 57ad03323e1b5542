"""Genes along (pseudo)time: the cells, the bins the model saw, its trajectory, and what was held out."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scdash._core.drawing import colors_among, not_below_observed, trajectory_colors
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import DynamicsKeys, genes_of, require_timed_fit
from scdash._core.time_axis import time_axis
from scdash.pl._trends_data import Series, cells_of, changing_most, chosen, series_of
from scdash.pl.shared.labels import TITLE, cut
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import positions, slot
from scdash.pl.shared.style import FAINT, INK, Drawn, finish, house, panels

_BAND = 2  # standard deviations of the means of bootstraps of the cells
_SHADE = "#FFF1CC"


@drawing
def trends(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    key: str = "dynamics",
    layer: str | None = None,
    trajectories: str | Sequence[str] | None = None,
    cells: bool = True,
    ncols: int = 4,
    legend_loc: str | None = "outside",
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw genes over time: what was observed as circles, the model's trajectory as a line, and cells as light points.

    Circles are bins of cells, or the samples (states) themselves where the rows of AnnData are samples, as in bulk series.
    A band of two standard deviations around the bins shows how certain they are: it comes from the same bins made of cells
    drawn again (bootstraps), where there are any. Time windows of a trajectory that were held out of the fit are shaded;
    trajectories that were held out as a whole are dashed, with open circles. Time is the column that the fit was given; where
    cells of several batches or lineages were ranked, it is their rank. The model's line is simulated from the first state of each trajectory to the last, as stored by
    the fit: it shows where the model ends up, not how well it predicts the next state (:func:`scdash.get.report`).
    Of a gene that was nowhere observed below 0, predictions below 0 are drawn at 0.

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
        Draw the cells, of chosen `trajectories` their own.
    ncols
        Panels a row.
    legend_loc
        ``"outside"`` (below the panels; in the first panel of a given `ax`), a place of matplotlib's in the first panel, or
        None for no legend.
    palette
        Colours of the trajectories; default ``uns["<trajectory_key>_colors"]``, else a colour-blind safe set.

    See Also
    --------
    scdash.pl.heatmap : Draw genes along time as a heat map, as observed and as simulated by the model from the first state on.
    scdash.pl.phase : Draw two genes against each other: cells, the model's velocity of both, and its trajectory.
    scdash.pl.knockout_trends : Draw genes over time without (solid) and with an intervention (dashed), as predicted by `scdash.tl.perturb`.

    Examples
    --------
    >>> axes = scdash.pl.trends(adata, list(adata.var_names[:2]))
    """
    stored, entry = dict(slot(adata, key, "series")), require_timed_fit(adata, key)
    settings = FitSettings.of(entry, key)
    stored["cell_time"] = stored.get("cell_time") or settings.time_key
    stored["position_key"] = DynamicsKeys(key).position
    here = genes_of(adata, entry, key)
    names = pd.Index(np.asarray(entry["genes"], dtype=object))
    at = changing_most(stored, here.present, 8) if genes is None else positions(genes, names)
    axis = time_axis(adata, entry, key)
    series = series_of(stored, at, axis)
    drawn = chosen(series, trajectories)
    every = series.trajectories.originals
    some = None if set(every) <= set(drawn) else drawn
    points = cells_of(adata, stored, list(names[at]), settings, layer, axis, some)
    colors = colors_among(every, drawn, palette, trajectory_colors(adata, settings.text("trajectory_key"), drawn))
    with house():
        figure, axes = panels(len(at), page, ncols=ncols, size=(2.7, 2.1), sharex=True)
        for i, (panel, gene) in enumerate(zip(axes, names[at], strict=True)):
            _shade(panel, series, drawn)
            if cells and points is not None:
                panel.scatter(points[0], points[1][:, i], s=5, color="#B8B8B8", alpha=0.5, lw=0, zorder=1,
                              rasterized=True, label="cells")  # fmt: skip
            for name in drawn:
                _draw(panel, series, name, i, colors[name])
            panel.set_title(cut(gene, TITLE), loc="left", fontweight="bold")
            if i % ncols == 0:
                panel.set_ylabel("expression")
            if i >= len(at) - ncols:
                panel.set_xlabel(axis.name)
                panel.tick_params(labelbottom=True)
            values = [series.states[:, i], *([points[1][:, i]] if cells and points is not None else [])]
            if all(len(some) == 0 or np.nanmin(some) >= 0 for some in values):  # nowhere below 0
                panel.set_ylim(bottom=0)
        entries = _entries(axes, series, drawn, colors, with_cells=cells and points is not None, named=len(every) > 1)
        _place(figure, axes, entries, legend_loc, own=page.get("ax") is None)
    return finish(figure, axes, "trends", page)


def _draw(ax: Axes, series: Series, name: str, gene: int, color: str) -> None:
    rows, held_out, lowest = series.rows(name), series.held_out(name), series.states[:, gene].min()
    time, fraction = series.time[rows], series.n_cells[rows] / max(np.nanmax(series.n_cells), 1e-12)
    again = [series.states[series.rows(other), gene] for other in series.resampled(name)]
    if len(again) > 1 and all(len(values) == len(rows) for values in again):
        middle, spread = series.states[rows, gene], _BAND * np.std(again, axis=0, ddof=1)
        low = not_below_observed(middle - spread, lowest)
        ax.fill_between(time, low, middle + spread, color=color, alpha=0.2, lw=0, zorder=2, gid="resampled")
    ax.scatter(time, series.states[rows, gene], s=8 + 22 * np.sqrt(np.clip(fraction, 0, 1)), zorder=3, lw=0.9, clip_on=False,
               facecolor="white" if held_out else color, edgecolor=color, alpha=0.75)  # fmt: skip
    ax.plot(
        time,
        not_below_observed(series.fitted[rows, gene], lowest),
        color=color,
        lw=2.0,
        ls="--" if held_out else "-",
        zorder=4,
    )


def _shade(ax: Axes, series: Series, drawn: Sequence[str]) -> None:
    """Shade the time windows held out of trajectories that were otherwise trained on, each window once."""
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


def _entries(
    axes: list[Axes], series: Series, drawn: Sequence[str], colors: Mapping[str, str], *, with_cells: bool, named: bool
) -> list[Any]:
    """Return the entries of the legend: only what the figure shows."""
    tint = INK if len(drawn) > 1 else colors[drawn[0]]
    entries: list[Any] = [Line2D([], [], ls="", marker="o", ms=3, color="#B8B8B8", label="cells")] if with_cells else []
    observed = "observed (bins)" if with_cells else "observed"
    entries.append(Line2D([], [], ls="", marker="o", ms=5, color=tint, alpha=0.75, label=observed))
    entries.append(Line2D([], [], color=tint, lw=2, label="model"))
    if any(found.get_gid() == "resampled" for found in axes[0].collections):
        entries.append(Patch(color=tint, alpha=0.2, lw=0, label=f"± {_BAND} sd of the bins (bootstrap)"))
    if any(series.held_out(name) for name in drawn):
        entries.append(Line2D([], [], color=tint, lw=2, ls="--", marker="o", mfc="white", label="held-out trajectory"))
    if any(patch.get_gid() == "held out" for patch in axes[0].patches):
        entries.append(Patch(color=_SHADE, ec=FAINT, label="time window held out of the fit"))
    if named:
        entries += [Line2D([], [], color=colors[name], lw=3, label=name) for name in drawn]
    return entries


def _place(figure: Any, axes: list[Axes], entries: list[Any], where: str | None, *, own: bool) -> None:
    if where is None:
        return
    if where == "outside" and own:
        figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 4), labelcolor=INK)
    else:
        box: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "fontsize": 7}
        axes[0].legend(handles=entries, loc="best" if where == "outside" else where, labelcolor=INK, **box)
