"""Cells on any embedding, coloured by a column or a gene."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from numpy.typing import NDArray

from scdash._core.process_state import guarded
from scdash._errors import suggest
from scdash.pl._colors import stored_colors
from scdash.pl._read import embedding_of, expression
from scdash.pl._style import FAINT, INK, Drawn, bare, category_colors, finish, house, panels, save_figure


@guarded
def embedding(
    adata: Any,
    color: str | Sequence[str] | None = None,
    *,
    basis: str = "umap",
    layer: str | None = None,
    size: float | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    vcenter: float | None = None,
    ncols: int = 3,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw cells on an embedding.

    Parameters
    ----------
    adata
        AnnData with an embedding in `obsm`.
    color
        Columns of `obs` or genes, one panel each; None draws grey points.
    basis
        Key of `obsm`; ``"umap"`` finds ``X_umap`` and ``umap``.
    layer
        Layer of the genes' expression; default X.
    size
        Area of a point in square points; default by the number of cells.
    palette
        Colours of categories; default ``uns["<color>_colors"]``, else a colour-blind safe set.
    cmap, vmin, vmax, vcenter
        Colour scale of numbers.
    ncols
        Panels a row.
    save
        Write the figure to `scanpy.settings.figdir`, as scanpy does: `True`, or what to add to the name of the file.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    name, points = embedding_of(adata, basis)
    colored = values_of(adata, color, layer)
    with house():
        figure, axes = panels(len(colored), ax, ncols=ncols, size=(4.3, 3.5))
        for panel, (title, values) in zip(axes, colored, strict=True):
            scale = _scale(values, cmap, vmin, vmax, vcenter)
            stored = colors_of(adata, title, values)
            scatter(panel, points, values, title, size=size, palette=palette, stored=stored, **scale)
            if title is not None:
                panel.set_title(title, loc="left", fontweight="bold")
            frame(panel, name)
    save_figure(figure, "embedding", save=save)
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


def values_of(
    adata: Any, color: str | Sequence[str] | None, layer: str | None
) -> list[tuple[str | None, pd.Series | None]]:
    """Return the title and the values of every panel; one panel without values where nothing is named."""
    wanted = [color] if color is None or isinstance(color, str) else list(color)
    if not wanted:
        raise ValueError("color is empty: name at least one column or gene, or leave it out.")
    return [(one, None if one is None else _values(adata, one, layer)) for one in wanted]


def _values(adata: Any, name: str, layer: str | None) -> pd.Series:
    if name in adata.obs:
        values = adata.obs[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            return values
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return values.astype(float)
        return values.astype(str).where(values.notna()).astype("category")
    if name in adata.var_names:
        return pd.Series(expression(adata, [name], layer)[:, 0], index=adata.obs_names)
    options = [*adata.obs.columns, *adata.var_names]
    raise ValueError(f"color: {name!r} is neither a column of adata.obs nor a gene.{suggest(name, options)}")


def colors_of(adata: Any, name: str | None, values: pd.Series | None) -> dict[str, str] | None:
    """Return the stored colours of a column of categories, by category."""
    if values is None or not isinstance(values.dtype, pd.CategoricalDtype):
        return None
    return stored_colors(adata.uns, name, [str(category) for category in values.cat.categories])


def _scale(
    values: pd.Series | None,
    cmap: str | Colormap,
    vmin: float | None,
    vmax: float | None,
    vcenter: float | None,
) -> dict[str, Any]:
    if values is None or isinstance(values.dtype, pd.CategoricalDtype):
        return {}
    known = values[np.isfinite(values)]
    low = vmin if vmin is not None else float(known.min()) if len(known) else 0.0
    high = vmax if vmax is not None else float(known.max()) if len(known) else 1.0
    if vcenter is None:
        return {"cmap": cmap, "norm": Normalize(low, high)}
    reach = max(abs(high - vcenter), abs(vcenter - low)) or 1.0
    low, high = vcenter - reach if vmin is None else vmin, vcenter + reach if vmax is None else vmax
    return {"cmap": cmap, "norm": TwoSlopeNorm(vcenter, low, high)}


def scatter(
    ax: Axes,
    points: NDArray[np.float64],
    values: pd.Series | None,
    title: str | None,
    *,
    size: float | None = None,
    palette: Any = None,
    stored: Mapping[str, str] | None = None,
    alpha: float = 1.0,
    bar_label: str | None = None,
    **scale: Any,
) -> None:
    """Draw points with a legend or a colour bar on the right; the largest numbers on top, missing ones grey below."""
    area = size if size is not None else float(np.clip(60_000 / max(len(points), 1), 2, 30))
    look: dict[str, Any] = {"s": area, "lw": 0, "alpha": alpha, "rasterized": True}
    if values is None:
        ax.scatter(points[:, 0], points[:, 1], color="#BDBDBD", **look)
        return
    missing = values.isna().to_numpy()
    if missing.any():
        ax.scatter(points[missing, 0], points[missing, 1], color=FAINT, label="missing", **look)
    if isinstance(values.dtype, pd.CategoricalDtype):
        names = [str(category) for category in values.cat.categories]
        colors = category_colors(names, palette, stored)
        codes = values.cat.codes.to_numpy()
        # in random but fixed order, so that no group hides another
        order = np.random.default_rng(0).permutation(np.flatnonzero(~missing))
        ax.scatter(points[order, 0], points[order, 1], c=[colors[names[code]] for code in codes[order]], **look)
        for i, name in enumerate(names):
            if (codes == i).any():
                ax.scatter([], [], s=28, color=colors[name], label=name)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=-(-len(names) // 14), handletextpad=0.3)
        return
    number = values.to_numpy(dtype=float)
    order = np.argsort(np.where(missing, -np.inf, number), kind="stable")[missing.sum() :]
    drawn = ax.scatter(points[order, 0], points[order, 1], c=number[order], **scale, **look)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.6, aspect=20, pad=0.02)
    bar.outline.set_visible(False)
    if bar_label:
        bar.set_label(bar_label)
    if bar.solids is not None:
        bar.solids.set_alpha(1)


def frame(ax: Axes, name: str) -> None:
    """Leave only the names of the axes: distances on an embedding mean nothing."""
    bare(ax)
    ax.set_xlabel(f"{name.upper() if len(name) <= 4 else name} 1", loc="left", color=INK)
    ax.set_ylabel(f"{name.upper() if len(name) <= 4 else name} 2", loc="bottom", color=INK)
