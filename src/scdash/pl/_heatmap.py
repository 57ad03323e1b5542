"""Genes along (pseudo)time as a heat map, in the order in which they rise."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scdash._core.drawing import not_below_observed
from scdash._core.errors import check_least, unknown
from scdash._core.keys import genes_of, require_timed_fit
from scdash._core.time_axis import time_axis
from scdash.pl._trends_data import changing_most, chosen, series_of
from scdash.pl.shared.labels import room, ticks
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.order import cluster_order
from scdash.pl.shared.points import color_bar
from scdash.pl.shared.read import positions, slot
from scdash.pl.shared.style import ROUND, Drawn, finish, house, panels

_MAX_LABELS = 80
_FEW_TIMES = 9  # columns up to which each has its time
_LEAST_APART = 0.12  # of the width of a panel, between the labels of two times


@drawing
def heatmap(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    key: str = "dynamics",
    trajectory: str | None = None,
    values: Literal["observed", "model", "both"] = "both",
    n_top: int = 50,
    order: Literal["peak", "cluster", "given"] = "peak",
    standard_scale: Literal["gene"] | None = "gene",
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw genes along time as a heat map, as observed and as simulated by the model from the first state on.

    Columns are the states of one trajectory that the fit was made on (for cells: means of bins along pseudotime, equally
    wide here; the axis names their times). Both panels have the genes in the same order and the same colours.

    Parameters
    ----------
    adata
        AnnData with a fit over time.
    genes
        Genes to draw; None: the `n_top` modelled genes that change most.
    key
        Name of the fit.
    trajectory
        The trajectory to draw; None: the first.
    values
        ``"observed"`` states, those of the ``"model"``, or ``"both"`` side by side.
    n_top
        Number of genes, where none are named.
    order
        ``"peak"``: by the time of the highest observed value; ``"cluster"``: similar genes together; ``"given"``.
    standard_scale
        ``"gene"``: every gene from its lowest (0) to its highest (1) observed value, as in scanpy; None: expression.
    cmap, vmin, vmax
        Colours. Arrows at the ends of the colour bar say that there are values beyond.

    See Also
    --------
    scdash.pl.trends : Draw genes over time: what was observed as circles, the model's trajectory as a line, and cells as light points.

    Examples
    --------
    >>> axes = scdash.pl.heatmap(adata, n_top=10)
    """
    for name, given, known in (
        ("values", values, ("observed", "model", "both")),
        ("order", order, ("peak", "cluster", "given")),
        ("standard_scale", standard_scale, ("gene", None)),
    ):
        if given not in known:
            raise unknown(name, given, [str(one) for one in known])
    check_least("n_top", n_top, 1)
    entry = require_timed_fit(adata, key)
    times, observed, fitted, names, axis_name, drawn_of = _states(adata, entry, key, genes, trajectory, n_top)
    rows = _ordered(observed, order)
    shown = {"observed": observed[rows], "model": fitted[rows]}
    if standard_scale == "gene":
        low, high = observed[rows].min(axis=1, keepdims=True), observed[rows].max(axis=1, keepdims=True)
        shown = {side: (some - low) / np.maximum(high - low, 1e-12) for side, some in shown.items()}
        vmin, vmax = 0.0 if vmin is None else vmin, 1.0 if vmax is None else vmax
    sides = ["observed", "model"] if values == "both" else [values]
    drawn = np.stack([shown[side] for side in sides])
    low_end = float(drawn.min()) if vmin is None else vmin
    high_end = float(drawn.max()) if vmax is None else vmax
    norm = Normalize(low_end, high_end)
    with house():
        height = float(np.clip(1.2 + 0.15 * len(rows), 2.6, 10.0))
        figure, axes = panels(len(sides), page, size=(3.6 + room(names[rows], 7) / len(sides), height))
        for i, (panel, side) in enumerate(zip(axes, sides, strict=True)):
            image = panel.imshow(shown[side], cmap=cmap, norm=norm, aspect="auto", interpolation="nearest")
            _name(panel, names[rows], times, axis_name, first=i == 0)
            panel.set_title(side if drawn_of is None else f"{side}, {drawn_of}", loc="left", fontweight="bold")
        beyond = (bool(drawn.min() < low_end - 1e-9), bool(drawn.max() > high_end + 1e-9))
        color_bar(
            image, axes, "expression" if standard_scale is None else "expression (0 to 1: observed range)", beyond
        )
    return finish(figure, axes, "heatmap", page)


def _states(
    adata: AnnData, entry: Any, key: str, genes: str | Sequence[str] | None, trajectory: str | None, n_top: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], pd.Index, str, str | None]:
    """Return times, observed and fitted states (genes, times), names of the genes, of the axis, and of one trajectory of several."""
    stored, here = dict(slot(adata, key, "series")), genes_of(adata, entry, key)
    names = pd.Index(np.asarray(entry["genes"], dtype=object))
    if genes is None:
        at = changing_most(stored, here.present, n_top)
    else:
        at = positions(genes, names)
    axis = time_axis(adata, entry, key)
    series = series_of(stored, at, axis)
    name = chosen(series, trajectory)[0]
    rows = series.rows(name)
    fitted = not_below_observed(series.fitted[rows], series.states.min(axis=0))
    of_several = name if len(series.trajectories.originals) > 1 else None
    return series.time[rows], series.states[rows].T, fitted.T, names[at], axis.name, of_several


def _ordered(observed: NDArray[np.float64], order: str) -> NDArray[np.int64]:
    if order == "given":
        return np.arange(len(observed))
    if order == "cluster":
        return cluster_order(observed - observed.mean(axis=1, keepdims=True))
    middle = (observed * np.arange(observed.shape[1])).sum(axis=1) / np.maximum(observed.sum(axis=1), 1e-12)
    return np.lexsort((middle, observed.argmax(axis=1)))


def _name(ax: Axes, genes: pd.Index, times: NDArray[np.float64], axis_name: str, *, first: bool) -> None:
    named = genes if len(genes) <= _MAX_LABELS else genes[:0]
    ax.set_yticks(range(len(named)), ticks(named) if first else [""] * len(named), fontsize=7)
    if first and not len(named):
        ax.set_ylabel(f"{len(genes):,} genes")
    ax.set_xticks(*time_ticks(times))
    ax.set_xlabel(axis_name)
    ax.tick_params(length=0)


def time_ticks(times: NDArray[np.float64]) -> tuple[list[float], list[str]]:
    """Return places along columns, and labels: the times of a few columns, or else round times where they lie between columns.

    Columns are equally wide, so that round times need not be equally far apart: some are left out where they are too close, and
    others are added half way between two that are far apart.

    >>> time_ticks(np.array([0.0, 2.0, 72.0]))
    ([0, 1, 2], ['0', '2', '72'])
    >>> time_ticks(np.linspace(0.0, 1.0, 21))
    ([0.0, 4.0, 8.0, 12.0, 16.0, 20.0], ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    if len(times) <= _FEW_TIMES:
        return list(range(len(times))), [f"{value:.6g}" for value in times]
    round_times = np.asarray(MaxNLocator(5, steps=ROUND).tick_values(times[0], times[-1]), dtype=np.float64)
    found: dict[float, str] = {}
    for value in [*round_times, *(round_times[:-1] + round_times[1:]) / 2]:
        place = float(np.interp(value, times, np.arange(len(times))))
        apart = min((abs(place - other) for other in found), default=np.inf)
        if times[0] <= value <= times[-1] and apart >= _LEAST_APART * len(times):
            found[place] = f"{value + 0.0:.6g}"
    return list(found), list(found.values())
