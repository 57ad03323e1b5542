"""The paper's Figure 5: the latent space, the genes that make it on its left, the features it predicts on its right."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from mudata import MuData
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay, QhullError, cKDTree

from scdash._core.drawing import category_colors, stored_colors
from scdash._core.errors import suggest
from scdash._core.keys import genes_of_modality, stored_key
from scdash.pl.paired.sbnn_reading import entry_of, groups_of, latent_of, pick, predictions
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.points import Look, scatter
from scdash.pl.shared.style import INK, Drawn, bare, check_whole, finish, house, whole_figure

LEVELS = 21
GRID = 200  # places along each side of a map at which predictions are interpolated
WIDTH = 1.9  # inches of a small panel
MOST_ROWS = 3  # of small panels, before a third column of them
LETTERS = 26  # of a title that fit over a small panel


@drawing
def sbnn(
    mdata: MuData,
    color: str | None = None,
    *,
    key: str | None = None,
    genes: int | Sequence[str] = 6,
    features: int | Sequence[str] = 6,
    basis: str | None = None,
    gene_symbols: str | None = None,
    max_gap: float = 0.12,
    size: float | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | Colormap = "viridis",
    vmin: float = -1.0,
    vmax: float = 1.0,
    legend: bool | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the latent space with what the network predicts over it (Bernaerts, Berens & Kobak, Figure 5).

    In the middle the cells, with the R2 of held-out cells; on the left, filled contours of gene expression as the autoencoder head draws it; on the
    right, of the features. Both are standardised predictions of the cells, interpolated linearly between them; places far
    from every cell are left white, so that nothing is claimed where no cell is.

    Parameters
    ----------
    mdata
        MuData that `scdash.tl.sbnn` or `scdash.tl.srrr` has written to.
    color
        Column of `obs` that colours the cells, such as the cell type.
    key
        The `key_added` of the fit; None: "sbnn", or that of the only fit, such as "srrr".
    genes, features
        Names, or how many of them: genes by falling weight, features in their order; 0 leaves a side out.
    basis
        Two-dimensional entry of `mdata.obsm`; None: the latent space itself if it has two dimensions, else its t-SNE
        (`scdash.tl.latent_tsne`).
    gene_symbols
        Column of `mdata[x].var` with the names to write above the maps of genes; None: their index.
    max_gap
        Largest gap between two cells that a map bridges, as a fraction of the extent of the cells; places farther from every
        cell than half of it are white.
    size
        Area of a point in square points.
    palette
        Colours of categories; default `uns["<color>_colors"]`, else a colour-blind safe set.
    cmap, vmin, vmax
        Colour scale of the predictions, in training standard deviations from the mean.
    legend
        Show the categories' names; None: up to 20 of them.
    title, figsize, ax, show, save, return_fig
        See :mod:`scdash.pl`; `ax` gets the scatter alone.

    Returns
    -------
    list of Axes
        List of Axes: the scatter first, then genes, then features, unless shown.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.pl.training : Draw R2 on training and held-out cells over the epochs of the regression stages (paper: Figure 2).

    Examples
    --------
    >>> scdash.pl.sbnn(mdata, color="cell_type")  # doctest: +SKIP
    """
    key = stored_key(mdata, key)
    entry = entry_of(mdata, key, "sbnn")
    x = str(entry["params"]["x"])
    genes_of_modality(mdata, entry, key)
    name, points = latent_of(mdata, key, basis)
    groups = groups_of(mdata, color, x)
    tables = {head: predictions(mdata, entry, key, head) for head in ("genes", "features")}
    drawn = {"genes": pick(genes, tables["genes"].columns, "genes")}
    drawn["features"] = pick(features, tables["features"].columns, "features")
    titles = _titles(mdata, x, gene_symbols, drawn["genes"])
    known = _placed(points, tables)
    colors = _palette(mdata, color, x, groups, palette)
    ax = page.get("ax")
    check_whole(1 + sum(map(len, drawn.values())) if ax is None else 1, page)
    with house():
        if ax is not None:
            _scatter(ax, points[known], groups, known, colors, name, size, legend=legend)
            ax.set_title(f"{ax.get_title()}\n{_worth(entry)}", fontsize=9)
            return finish(whole_figure(ax), [ax], "sbnn", page)
        figure, middle, sides = _layout(len(drawn["genes"]), len(drawn["features"]), page.get("figsize"))
        _scatter(middle, points[known], groups, known, colors, name, size, legend=legend)
        middle.set_title(f"{middle.get_title()}\n{_worth(entry)}", fontsize=9)
        shown = np.hstack([tables[head].loc[known, drawn[head]].to_numpy() for head in sides])
        x_grid, y_grid, maps = predicted_maps(points[known], shown, max_gap)
        middle.set(xlim=x_grid[[0, -1]], ylim=y_grid[[0, -1]])
        each = iter(maps)
        scale = Normalize(vmin, vmax)
        axes = [middle]
        for head, panels in sides.items():
            for panel, column in zip(panels, drawn[head], strict=True):
                contours(panel, x_grid, y_grid, next(each), cmap, scale)
                text = "\n".join(textwrap.wrap(titles.get(column, column), LETTERS, break_on_hyphens=False))
                panel.set_title(text, fontsize=8, pad=2, style="italic" if head == "genes" else "normal")
            axes += panels
        if len(axes) > 1:
            _colorbar(figure, sides["features"] or sides["genes"], cmap, scale)
    return finish(figure, axes, "sbnn", page)


def _worth(entry: Mapping[str, Any]) -> str:
    """Return the R2 of held-out cells in words, without which neither the map nor the genes show anything."""
    metrics = entry["metrics"]
    trained = f"$R^2$ {float(metrics['train_r2']):.2f} on {int(metrics['n_train'])} training cells"
    if not int(metrics["n_test"]):
        return f"{trained}, none held out"
    return f"$R^2$ {float(metrics['test_r2']):.2f} on {int(metrics['n_test'])} held-out cells ({float(metrics['train_r2']):.2f} in training)"


def _placed(points: NDArray[np.float64], tables: Mapping[str, pd.DataFrame]) -> NDArray[np.bool_]:
    """Return which cells have a place and predictions; raise where they are too few to be drawn."""
    known = np.asarray(np.isfinite(points).all(axis=1))
    for table in tables.values():  # cells without genes have no predictions
        known &= np.isfinite(table.to_numpy(dtype=np.float64)).all(axis=1)
    if known.sum() < 3:
        raise ValueError(
            f"{int(known.sum())} cells of mdata have a latent position and predictions; three are needed. Were cells "
            "removed from one modality alone?"
        )
    return known


def predicted_maps(
    points: NDArray[np.float64], values: NDArray[np.float64], max_gap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return x (grid,) and y (grid,) of a grid around the cells and the values there, (columns, grid, grid), rows along y.

    Values (cells, columns) are interpolated linearly on the triangulation of the cells, and are those of the nearest cell
    outside it; they are NaN farther from every cell than half of `max_gap`. Each axis is measured by the range between its 1 %
    and 99 % quantiles, so that one far cell does not hide a gap. However few the cells, each of them is seen.
    """
    low, high = np.quantile(points, [0.01, 0.99], axis=0)
    unit = np.where(high > low, high - low, 1.0)
    cells = points / unit
    x, y = (np.linspace(cells[:, i].min() - max_gap / 2, cells[:, i].max() + max_gap / 2, GRID) for i in (0, 1))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(cells).query(places)
    found = values[nearest].astype(np.float64)
    try:
        between = LinearNDInterpolator(Delaunay(cells), values)(places)
        found = np.where(np.isnan(between), found, between)
    except QhullError:  # all cells on a line: there are no triangles
        pass
    found[distance > max_gap / 2] = np.nan
    return x * unit[0], y * unit[1], found.T.reshape(-1, GRID, GRID)


def contours(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    values: NDArray[np.float64],
    cmap: str | Colormap,
    scale: Normalize,
) -> None:
    """Fill contours of `values` (y, x) where they are not NaN, beyond the ends of the scale too."""
    levels = np.linspace(float(scale.vmin or 0), float(scale.vmax or 1), LEVELS)
    ax.contourf(x, y, np.ma.masked_invalid(values), levels=levels, cmap=cmap, norm=scale, extend="both")
    bare(ax)


def _titles(mdata: MuData, x: str, column: str | None, genes: Sequence[str]) -> dict[str, str]:
    """Return what is written above the map of each gene."""
    if column is None:
        return {}
    var = mdata.mod[x].var
    if column not in var:
        raise KeyError(f"gene_symbols: {column!r} is no column of mdata[{x!r}].var.{suggest(column, var.columns)}")
    return {gene: str(var.loc[gene, column]) for gene in genes}


def _layout(
    n_genes: int, n_features: int, figsize: tuple[float, float] | None
) -> tuple[Figure, Axes, dict[str, list[Axes]]]:
    """Return the figure, the axes of the scatter, and a grid of small axes, all of one size, on either side.

    All axes belong to the figure itself, so that `axes[0].figure.savefig` writes the whole of it.
    """
    counts = {"genes": n_genes, "features": n_features}
    columns = {side: _columns(count) for side, count in counts.items()}
    width = {side: WIDTH * columns[side] for side in counts}
    rows = max(-(-counts[side] // max(columns[side], 1)) for side in counts)
    height = max(4.2, WIDTH * rows + 0.5)
    figure = plt.figure(figsize=figsize or (sum(width.values()) + 4.8, height), layout="constrained")
    ratios = [max(width["genes"], 0.05), 3.6, max(width["features"], 0.05)]
    left, centre, right = figure.add_gridspec(1, 3, width_ratios=ratios)
    middle = figure.add_subplot(centre)
    sides: dict[str, list[Axes]] = {"genes": [], "features": []}
    for side, part in (("genes", left), ("features", right)):
        if counts[side]:
            grid = part.subgridspec(1 + rows, columns[side], height_ratios=[0.12] + rows * [1.0])
            heading = figure.add_subplot(grid[0, :])  # in a row of its own, where it meets no title of a panel
            bare(heading)
            text = f"{side}, predicted"
            heading.text(0.5, 0.5, text, transform=heading.transAxes, ha="center", va="center", fontsize=9, color=INK)
            places = [divmod(i, columns[side]) for i in range(counts[side])]
            sides[side] = [figure.add_subplot(grid[row + 1, column]) for row, column in places]
    return figure, middle, sides


def _columns(count: int) -> int:
    return 0 if not count else max(-(-count // MOST_ROWS), int(np.sqrt(count)))


def _palette(mdata: MuData, color: str | None, x: str, groups: pd.Series | None, palette: Any) -> dict[str, str] | None:
    if groups is None or pd.api.types.is_numeric_dtype(groups):
        return None
    names = [str(value) for value in groups.astype("category").cat.categories]
    stored = stored_colors(mdata.uns, color, names)
    return category_colors(names, palette, stored_colors(mdata.mod[x].uns, color, names) if stored is None else stored)


def _scatter(
    ax: Axes,
    points: NDArray[np.float64],
    groups: pd.Series | None,
    known: NDArray[np.bool_],
    colors: dict[str, str] | None,
    name: str,
    size: float | None,
    *,
    legend: bool | None,
) -> None:
    values = None if groups is None else groups[known]
    if values is not None and colors is not None:
        values = values.astype("category").cat.remove_unused_categories()
        values = values.cat.rename_categories([str(category) for category in values.cat.categories])
    area = size if size is not None else float(np.clip(9_000 / max(len(points), 1), 1.5, 18))
    scatter(ax, points, values, None, Look(area, colors))
    shown = len(colors or ()) <= 20 if legend is None else legend
    box = ax.get_legend()
    if box is not None:
        handles, labels = ax.get_legend_handles_labels()
        box.remove()
        if shown:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06), "ncols": min(4, len(labels))}
            ax.legend(handles, labels, handletextpad=0.2, columnspacing=0.8, **below)
    bare(ax)
    tsne = name.endswith("tsne")
    ax.set_xlabel("t-SNE 1" if tsne else "latent 1", loc="left")
    ax.set_ylabel("t-SNE 2" if tsne else "latent 2", loc="bottom")
    ax.set_title("t-SNE of the latent space" if tsne else "latent space", fontsize=9)


def _colorbar(figure: Figure, axes: Sequence[Axes], cmap: str | Colormap, scale: Normalize) -> None:
    mappable = plt.cm.ScalarMappable(scale, cmap)
    bar = figure.colorbar(mappable, ax=list(axes), shrink=0.5, aspect=25)
    bar.set_label("standard deviations", fontsize=8)
    bar.outline.set_visible(False)
    bar.set_ticks([float(scale.vmin or 0), 0.0, float(scale.vmax or 0)])
