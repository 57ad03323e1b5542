"""Phase portrait: two genes against each other, with where the model takes the cells."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from scdash._core.drawing import not_below_observed
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_timed_fit
from scdash._core.time_axis import time_axis
from scdash._data import all_genes
from scdash.pl._embedding import colors_of, values_of
from scdash.pl._trends_data import chosen, series_of
from scdash.pl._velocity import grid_arrows, velocity_layer
from scdash.pl.shared.options import drawing
from scdash.pl.shared.points import Look, PointStyle, beside_legend, scatter
from scdash.pl.shared.read import expression, slot
from scdash.pl.shared.style import INK, Drawn, finish, house, panels


@drawing
def phase(
    adata: AnnData,
    genes: Sequence[str],
    *,
    key: str = "dynamics",
    color: str | None = None,
    layer: str | None = None,
    trajectory: str | None = None,
    arrows: bool = True,
    density: float = 0.8,
    **look: Unpack[PointStyle],
) -> Drawn:
    """Draw two genes against each other: cells, the model's velocity of both, and its trajectory.

    Arrows are the mean velocity (dx/dt of the two genes, from ``layers["<key>_velocity"]``) of the cells around each point,
    so that they hold for the values that the other genes have there. Both components of an arrow are scaled by the ranges
    of the axes. The line is simulated by the model from the first state of a trajectory, the circle; of several
    trajectories the legend names it. Of a gene that was nowhere observed below 0, predictions below 0 are drawn at 0.

    Parameters
    ----------
    adata
        AnnData with a fit and its velocities.
    genes
        Two modelled genes: of the horizontal and of the vertical axis.
    key
        Name of the fit.
    color
        Column of `obs` or gene to colour the cells by; None: grey points.
    layer
        Layer of expression; default the one that was fitted.
    trajectory
        The trajectory whose simulation is drawn; None: the first.
    arrows
        Draw the velocities.
    density
        Density of arrows.
    **look
        Look of the cells, as for :func:`scdash.pl.embedding`: `groups`, `size`, `alpha`, `palette`, `cmap`, `color_map`, `vmin`,
        `vmax`, `vcenter`, `legend_loc`.

    See Also
    --------
    scdash.pl.velocity : Draw where the fitted dynamics take the cells, on an embedding.
    scdash.pl.trends : Draw genes over time: what was observed as circles, the model's trajectory as a line, and cells as light points.

    Examples
    --------
    >>> first, second = scdash.get.grn(adata, top=1)[["source", "target"]].iloc[0]
    >>> ax = scdash.pl.phase(adata, [first, second])
    """
    pair = [str(gene) for gene in ([genes] if isinstance(genes, str) else genes)]
    if len(pair) != 2 or pair[0] == pair[1]:
        raise ValueError(
            f"Name two different genes, such as ['A', 'B'], found {pair!r}: a phase portrait has two axes."
        )
    entry = require_timed_fit(adata, key)
    here = genes_of(adata, entry, key)
    at = all_genes(pair, here.names, "genes", error=ValueError)
    layer = FitSettings.of(entry, key).layer_of(adata, layer)
    colored = values_of(adata, color, layer)
    style = Look.of("phase", look, [values for _, values in colored], without=("frameon",))
    points = expression(adata, pair, layer)
    if arrows and len(points) < 3:
        raise ValueError(f"{len(points)} cells: at least three are needed to draw velocities. Pass arrows=False.")
    moves = expression(adata, pair, velocity_layer(adata, key)) if arrows else None
    series = series_of(dict(slot(adata, key, "series")), at, time_axis(adata, entry, key))
    drawn = chosen(series, trajectory)[0]
    line = not_below_observed(series.fitted[series.rows(drawn)], series.states.min(axis=0))
    of_several = f" of {drawn}" if len(series.trajectories.originals) > 1 else ""
    with house():
        figure, (panel,) = panels(1, look, size=(4.8, 4.0))
        ((column, values),) = colored
        scatter(panel, points, values, column, style, stored=colors_of(adata, column, values), alpha=0.6)
        if moves is not None:
            _draw_arrows(panel, points, moves, density)
        panel.plot(*line.T, color=INK, lw=2, zorder=4)
        panel.plot(*line[0], color=INK, marker="o", ms=6, mfc="white", ls="", zorder=5)
        panel.set(xlabel=f"{pair[0]} (expression)", ylabel=f"{pair[1]} (expression)")
        if style.legend_loc not in (None, "none"):
            _legend(panel, of_several)
    return finish(figure, [panel], "phase", look)


def _draw_arrows(ax: Axes, points: NDArray[np.float64], moves: NDArray[np.float64], density: float) -> None:
    """Draw mean velocities on a grid; both axes count by their ranges, so that no unit decides the direction."""
    span = np.maximum(np.ptp(points, axis=0), 1e-12)
    where, mean, _ = grid_arrows(points / span, moves / span, density, 1.0)
    longest = float(np.quantile(np.hypot(*mean.T), 0.95)) or 1.0
    ax.quiver(*(where * span).T, *mean.T, color=INK, angles="uv", scale=22 * longest, width=0.0034, headwidth=4,
              headlength=4.5, headaxislength=4, zorder=3, alpha=0.75)  # fmt: skip


def _legend(ax: Axes, of: str) -> None:
    """Say what the line is, and `of` which trajectory, below the panel and beside any legend of the cells."""
    label = f"model, from the first state{of}" if of else "model, from its first state"
    entry = Line2D([], [], color=INK, lw=2, marker="o", mfc="white", markevery=[0], label=label)
    beside_legend(ax, [entry], loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
