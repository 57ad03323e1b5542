"""The fitted velocity field on an embedding."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from scdash._core.errors import check_choice, suggest
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import DynamicsKeys, genes_of, require_fit
from scdash._data import parse_time, representation
from scdash.pl._embedding import colors_of, values_of
from scdash.pl._projection import neighbors_and_arrows, on_grid, project_time
from scdash.pl.shared.options import drawing
from scdash.pl.shared.points import Look, PointStyle, beside_legend, frame, scatter_under_arrows
from scdash.pl.shared.read import embedding_of, expression
from scdash.pl.shared.style import INK, Drawn, finish, house, panels

_AGAINST = "#D55E00"
# in spacings of the grid, half a diagonal: every cell has a point of the grid within it, and no arrow is drawn farther off
_NEAREST_CELL = float(np.sqrt(0.5))
LABEL_HEIGHT = 18.0  # points below a panel that the name of its axis takes


@drawing
def velocity(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    key: str = "dynamics",
    basis: str = "umap",
    kind: Literal["stream", "grid", "cells"] = "stream",
    layer: str | None = None,
    n_neighbors: int = 30,
    density: float = 1.0,
    smooth: float = 1.0,
    ncols: int = 3,
    **look: Unpack[PointStyle],
) -> Drawn:
    """Draw where the fitted dynamics take the cells, on an embedding.

    The velocity of the modelled genes is projected as in the RNA-velocity literature
    (:func:`scdash.pl.project_velocity`): arrows show directions between neighbouring cells, not speeds. The embedding
    may distort them; evaluate a fit by its predictions.

    Where the arrows run against the time the fit was given, they are drawn in another colour: there the model returns
    to a state it does not leave, and the figure shows its error. The report (:func:`scdash.get.report`) says how far the
    velocity follows the trajectory, without any embedding.

    Parameters
    ----------
    adata
        AnnData with a fit and an embedding.
    color
        Columns of `obs` or genes to colour the cells by, one panel each; None: grey points.
    key
        Name of the fit, whose velocity is ``layers["<key>_velocity"]``.
    basis
        Key of `obsm`; ``"umap"`` finds ``X_umap`` and ``umap``.
    kind
        ``"stream"`` lines, arrows on a ``"grid"``, or an arrow for each of the ``"cells"``.
    layer
        Layer of expression that the velocity belongs to; default the one that was fitted.
    n_neighbors
        Neighbours a cell may move to.
    density, smooth
        Density of streamlines or arrows; width of the smoothing kernel.
    ncols
        Panels a row.
    **look
        Look of the cells, as for :func:`scdash.pl.embedding`: `groups`, `size`, `alpha`, `palette`, `cmap`, `color_map`, `vmin`,
        `vmax`, `vcenter`, `legend_loc`, `frameon`.

    See Also
    --------
    scdash.pl.embedding : Draw cells on an embedding.
    scdash.pl.phase : Draw two genes against each other: cells, the model's velocity of both, and its trajectory.
    scdash.pl.project_velocity : Project velocities onto an embedding through the neighbours they point at.

    Examples
    --------
    >>> ax = scdash.pl.velocity(adata, kind="grid")
    """
    check_choice("kind", kind, ["stream", "grid", "cells"])
    name, points = embedding_of(adata, basis, finite=True)
    layer = FitSettings.of(require_fit(adata, key), key).layer_of(adata, layer)
    colored = values_of(adata, color, layer)
    style = Look.of("velocity", look, [values for _, values in colored])
    near, arrows = _arrows(adata, key, layer, points, n_neighbors)
    time_key, later = _later(adata, key, points, near)
    with house():
        figure, axes = panels(len(colored), look, ncols=ncols, size=(5.4, 4.4))
        for panel, (column, values) in zip(axes, colored, strict=True):
            scatter_under_arrows(panel, points, values, column, style, colors_of(adata, column, values))
            if kind == "stream":
                against = _stream(panel, points, arrows, later, density, smooth)
            elif kind == "grid":
                against = quiver(panel, *grid_arrows(points, arrows, density, smooth, later))
            else:
                against = quiver(panel, points, arrows, later)
            if column is not None:
                panel.set_title(column, loc="left", fontweight="bold")
            frame(panel, name, frameon=style.frameon)
            if against and style.legend_loc not in (None, "none"):
                _direction_legend(panel, time_key)
    return finish(figure, axes, "velocity", look)


def _direction_legend(ax: Axes, time_key: str) -> None:
    """Say what the colours of arrows mean, below the name of the axis and beside any legend of the cells."""
    arrows = [
        Line2D([], [], color=color, marker=">", ms=4, label=f"{word} {time_key}")
        for color, word in ((INK, "along"), (_AGAINST, "against"))
    ]
    below = ax.transAxes + ScaledTranslation(0, -LABEL_HEIGHT / 72, ax.figure.dpi_scale_trans)
    box = beside_legend(
        ax, arrows, loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=below, ncols=2, borderaxespad=0.0
    )
    box.set_gid("against")


def _arrows(
    adata: AnnData, key: str, layer: str | None, points: NDArray[np.float64], n_neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the neighbours of every cell and its arrow."""
    fit, slots = require_fit(adata, key), DynamicsKeys(key)
    genes_of(adata, fit, key)
    velocity_layer(adata, key)
    modelled = adata.var[slots.genes].to_numpy(bool) if slots.genes in adata.var else np.ones(adata.n_vars, bool)
    genes = list(adata.var_names[modelled])
    states = expression(adata, genes, layer)
    found = expression(adata, genes, slots.velocity)
    components = next((name for name in ("X_pca", "pca") if name in adata.obsm), None)
    space = None if components is None else representation(adata, components, "obsm")
    return neighbors_and_arrows(states, found, points, space, n_neighbors)


def velocity_layer(adata: AnnData, key: str) -> str:
    """Return the name of the layer with the velocities of a fit, or say why there is none."""
    slots = DynamicsKeys(key)
    if slots.velocity not in adata.layers:
        layers = [str(name) for name in adata.layers if name is not None]
        raise KeyError(
            f"No layer {slots.velocity!r}.{suggest(slots.velocity, layers)} Fits without an ODE have no velocity, and "
            "none is written with write_velocity=False or where rows x genes are too many: see 'Large data' for how to add "
            "it for some rows."
        )
    return slots.velocity


def _later(
    adata: AnnData, key: str, points: NDArray[np.float64], near: NDArray[np.int64]
) -> tuple[str, NDArray[np.float64] | None]:
    """Return the name of the fit's time and where it increases on the embedding, None where it is not in `obs`."""
    name = FitSettings.of(require_fit(adata, key), key).time_key or ""
    if name not in adata.obs:  # a table of lineages in obsm: the fit has noted where every cell lies
        name = DynamicsKeys(key).position
    if name not in adata.obs:
        return name, None
    return name, project_time(parse_time(adata.obs[name], name).values, points, near)


def _stream(
    ax: Axes,
    points: NDArray[Any],
    arrows: NDArray[Any],
    later: NDArray[Any] | None,
    density: float,
    smooth: float,
) -> bool:
    """Draw streamlines; return whether any runs against time."""
    x, y, u, v = on_grid(points, arrows, smooth=smooth)
    speed = np.hypot(u, v)
    if not np.nanmax(np.nan_to_num(speed)) > 0:
        raise ValueError("The velocity points nowhere: it is zero, or favours no neighbour, in every cell.")
    width = 0.4 + 1.0 * np.nan_to_num(speed / np.nanmax(speed))
    against = np.zeros(u.shape, bool)
    if later is not None:
        _, _, a, b = on_grid(points, later, smooth=smooth)
        against = np.nan_to_num(u * a + v * b) < 0
    drawn = ax.streamplot(x, y, np.ma.masked_invalid(u), np.ma.masked_invalid(v), density=1.25 * density, linewidth=width,
                          color=against.astype(float), cmap=ListedColormap([INK, _AGAINST]), norm=Normalize(0, 1),
                          arrowsize=1.1, arrowstyle="-|>", zorder=3)  # fmt: skip
    drawn.lines.set_capstyle("round")
    return bool((np.asarray(drawn.lines.get_array()) > 0.5).any())


def grid_arrows(
    points: NDArray[Any], arrows: NDArray[Any], density: float, smooth: float, later: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return points of a grid beside cells, the mean arrows there, and the mean direction of time if it is given as `later`."""
    n_grid = max(int(22 * density), 4)
    x, y, u, v = on_grid(points, arrows, n_grid=n_grid, smooth=smooth, max_distance=_NEAREST_CELL)
    kept = np.isfinite(u)
    grid_x, grid_y = np.meshgrid(x, y)
    where, found = np.column_stack([grid_x[kept], grid_y[kept]]), np.column_stack([u[kept], v[kept]])
    if later is None:
        return where, found, None
    _, _, a, b = on_grid(points, later, n_grid=n_grid, smooth=smooth)
    return where, found, np.column_stack([a[kept], b[kept]])


def quiver(ax: Axes, points: NDArray[Any], arrows: NDArray[Any], later: NDArray[Any] | None = None) -> bool:
    """Draw arrows; return whether any runs against time."""
    longest = np.quantile(np.hypot(*arrows.T), 0.95) or 1.0
    against = np.zeros(len(points), bool) if later is None else (arrows * later).sum(axis=1) < 0
    ax.quiver(*points.T, *arrows.T, color=np.where(against, _AGAINST, INK), angles="xy", scale=28 * longest, width=0.0032,
              headwidth=4, headlength=4.5, headaxislength=4, zorder=3)  # fmt: skip
    return bool(against.any())
