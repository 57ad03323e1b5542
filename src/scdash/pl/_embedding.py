"""Cells on any embedding, coloured by a column or a gene."""

from collections.abc import Sequence
from typing import Unpack

import pandas as pd
from anndata import AnnData

from scdash._core.drawing import stored_colors
from scdash._core.errors import suggest
from scdash.pl.shared.options import drawing
from scdash.pl.shared.points import Look, PointStyle, frame, scatter
from scdash.pl.shared.read import embedding_of, expression
from scdash.pl.shared.style import Drawn, finish, house, panels


@drawing
def embedding(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    basis: str = "umap",
    layer: str | None = None,
    ncols: int = 3,
    **look: Unpack[PointStyle],
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
    ncols
        Panels a row.
    **look
        Look of the cells, by the names that scanpy has for it.

        groups
            Categories that keep their colours; the others are grey. Only for columns of categories.
        size, alpha
            Area of a point in square points (default by the number of cells), and its opacity.
        palette
            Colours of categories; default ``uns["<color>_colors"]``, else a colour-blind safe set.
        cmap, color_map, vmin, vmax, vcenter
            Colour scale of numbers (``"viridis"``); `color_map` is another name of `cmap`. Arrows at the ends of a colour
            bar say that there are values beyond.
        legend_loc
            Place of the legend: ``"right margin"`` (default), ``"on data"``, a place of matplotlib's such as ``"best"``, or
            None for no legend and no colour bar.
        frameon
            Draw a box around the panel (True), or neither box nor names of the axes (False).

    See Also
    --------
    scdash.pl.velocity : Draw where the fitted dynamics take the cells, on an embedding.

    Examples
    --------
    >>> ax = scdash.pl.embedding(adata, "trajectory", legend_loc=None)
    """
    name, points = embedding_of(adata, basis)
    colored = values_of(adata, color, layer)
    style = Look.of("embedding", look, [values for _, values in colored])
    with house():
        figure, axes = panels(len(colored), look, ncols=ncols, size=(4.3, 3.5))
        for panel, (column, values) in zip(axes, colored, strict=True):
            scatter(panel, points, values, column, style, stored=colors_of(adata, column, values))
            if column is not None:
                panel.set_title(column, loc="left", fontweight="bold")
            frame(panel, name, frameon=style.frameon)
    return finish(figure, axes, "embedding", look)


def values_of(
    adata: AnnData, color: str | Sequence[str] | None, layer: str | None
) -> list[tuple[str | None, pd.Series | None]]:
    """Return the column and the values of every panel; one panel without values where nothing is named."""
    wanted = [color] if color is None or isinstance(color, str) else list(color)
    if not wanted:
        raise ValueError("color is empty: name at least one column or gene, or leave it out.")
    return [(one, None if one is None else _values(adata, one, layer)) for one in wanted]


def _values(adata: AnnData, name: str, layer: str | None) -> pd.Series:
    if name in adata.obs:
        values: pd.Series = adata.obs[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            return values
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return values.astype(float)
        return values.astype(str).where(values.notna()).astype("category")
    if name in adata.var_names:
        return pd.Series(expression(adata, [name], layer)[:, 0], index=adata.obs_names)
    options = [*adata.obs.columns, *adata.var_names]
    raise ValueError(f"color: {name!r} is neither a column of adata.obs nor a gene.{suggest(name, options)}")


def colors_of(adata: AnnData, name: str | None, values: pd.Series | None) -> dict[str, str] | None:
    """Return the stored colours of a column of categories, by category."""
    if values is None or not isinstance(values.dtype, pd.CategoricalDtype):
        return None
    return stored_colors(adata.uns, name, [str(category) for category in values.cat.categories])
