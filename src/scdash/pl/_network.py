"""The strongest edges as a drawing: arrows activate, bars repress, larger names have more targets."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from scdash._core.edge_order import BY_PRIOR, rank_edges
from scdash._core.layout import arrange, route
from scdash._core.process_state import guarded
from scdash._core.tables import network_edges
from scdash._data import all_genes
from scdash.metrics._edges import is_anndata
from scdash.pl._read import columns, networks
from scdash.pl._style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, bare, finish, house

_REGULATOR, _TARGET = "#FFF3D6", "#F2F2F2"
_DASHES = (0, (3.2, 1.8))
_SMALLEST = 7.5  # size of a name without targets, in points
_LETTER = 4.6  # mean width of a letter of the caption, in points


@guarded
def network(
    data: Any,
    *,
    key: str = "dynamics",
    n_edges: int = 50,
    focus: str | Sequence[str] | None = None,
    rank_by: str | None = None,
    genes: Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the strongest edges of the network.

    Red arrows activate, blue bars repress; the width of an edge grows with its relative contribution, the size of a name
    with the number of its targets in the drawing. Names never overlap. With a prior, half of the edges are the strongest of
    the prior (solid) and half the strongest novel ones (dashed), fewer of one kind where there are not as many; a caption
    counts them, and says so where the data do not tell the two kinds apart (`ranked_by` of :func:`scdash.get.grn`).

    Parameters
    ----------
    data
        AnnData with a fit, the table of ``scdash.get.grn``, or a matrix (row regulates column) with `genes`.
    key
        Name of the fit.
    n_edges
        Number of edges, from the top of the ranking.
    focus
        Genes whose edges alone are drawn, in and out.
    rank_by
        Column to rank all edges by, of the prior or not. None: ``score`` (else ``contribution``, else the absolute weight)
        within each of the two kinds, and equal scores by the data (`rank` of :func:`scdash.get.grn`).
    genes
        Names of the rows of a bare matrix.
    ax, show, return_fig
        See :mod:`scdash.pl`.

    Examples
    --------
    >>> scdash.pl.network(adata, focus="MYOG")  # doctest: +SKIP
    """
    edges = _strongest(_edges(data, key, genes), n_edges, focus, rank_by)
    names = list(dict.fromkeys([*edges["source"], *edges["target"]]))
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    degree = edges["source"].value_counts().reindex(names, fill_value=0).to_numpy()
    with house():
        if ax is None:
            sheet = _lay_out(names, degree, pairs)
            figure, panel = _page(sheet.area, legend=92.0 * len(_entries(edges)), caption=_caption(edges, rank_by))
        else:
            figure, panel = ax.figure, ax
            sheet = _fit(names, degree, pairs, _points(ax))
        panel.set(xlim=(0, sheet.area[0]), ylim=(0, sheet.area[1]))
        bare(panel)
        _draw_nodes(panel, names, degree, sheet)
        _draw_edges(panel, edges, names, sheet)
        _legend(panel, edges)
        caption = panel.set_title(
            _wrapped(_caption(edges, rank_by), sheet.area[0]), loc="left", fontsize="small", pad=2
        )
        caption.set_in_layout(False)  # else a long one would make the axes smaller that the drawing was fitted to
    return finish(figure, [panel], ax=ax, show=show, return_fig=return_fig)


@dataclass(frozen=True)
class Sheet:
    """A layout in points."""

    middles: NDArray[np.float64]  # (nodes, 2)
    sizes: NDArray[np.float64]  # (nodes, 2), of the drawn boxes
    fonts: NDArray[np.float64]  # (nodes,)
    area: tuple[float, float]


def _edges(data: Any, key: str, genes: Sequence[str] | None) -> pd.DataFrame:
    table = data if isinstance(data, pd.DataFrame) else None
    if is_anndata(data) and isinstance(data.uns.get(key), dict) and key not in data.varp:
        table = network_edges(data, key)
    if table is None:
        names, (matrix,) = networks(data, key=key, genes=genes)
        entries = matrix.tocoo()
        return pd.DataFrame(
            {"source": names[entries.row].astype(str), "target": names[entries.col].astype(str), "weight": entries.data}
        )
    table = columns(table, ["source", "target", "weight"], argument="edges")
    return table.astype({"source": str, "target": str})


def _strongest(
    edges: pd.DataFrame, n_edges: int, focus: str | Sequence[str] | None, rank_by: str | None
) -> pd.DataFrame:
    """Return the edges to draw: where some are in the prior and some are not, the strongest half of each."""
    if n_edges < 1:
        raise ValueError(f"n_edges must be at least 1, found {n_edges}.")
    edges = edges[(edges["weight"] != 0) & (edges["source"] != edges["target"])]
    if edges.empty:
        raise ValueError("The network has no edge between two genes: there is nothing to draw.")
    if focus is not None:
        wanted = [focus] if isinstance(focus, str) else [str(name) for name in focus]
        present = pd.unique(pd.concat([edges["source"], edges["target"]]))
        all_genes(wanted, present, "focus", where="the edges of the network", error=ValueError)
        edges = edges[edges["source"].isin(wanted) | edges["target"].isin(wanted)]
    if rank_by is not None:
        columns(edges, [rank_by], argument="edges")
        order = np.lexsort((-edges["weight"].abs(), -edges[rank_by].abs()))
        return edges.iloc[order[:n_edges]].reset_index(drop=True)
    if "score" not in edges:
        by = "contribution" if "contribution" in edges else "weight"
        edges = edges.assign(score=edges[by].abs())
    edges = rank_edges(edges)
    if not _with_prior(edges):
        return edges.head(n_edges)
    known = edges["in_prior"].astype(bool)
    novel = min(int((~known).sum()), max(n_edges // 2, n_edges - int(known.sum())))
    chosen = pd.concat([edges[known].head(n_edges - novel), edges[~known].head(novel)])
    return chosen.reset_index(drop=True)


def _caption(edges: pd.DataFrame, rank_by: str | None) -> str:
    """Say how many edges of either kind are drawn, and what put them in order; nothing of a network without a prior."""
    if not _with_prior(edges):
        return ""
    known = int(edges["in_prior"].astype(bool).sum())
    counts = f"{known} edges of the prior, {len(edges) - known} novel ones"
    if rank_by is not None:
        return f"{counts}, by {rank_by}"
    if "ranked_by" in edges and (edges["ranked_by"] == BY_PRIOR).all():
        return f"{counts}: the data do not tell the two kinds apart, each is in the order of the data"
    return f"{counts}: the strongest of each kind"


def _lay_out(
    names: Sequence[str], degree: NDArray[Any], pairs: list[tuple[str, str]], *, aspect: float = 1.35
) -> Sheet:
    """Measure the names, whose size grows with the root of the out-degree, and lay out boxes around them."""
    fonts = _SMALLEST + 5.5 * np.sqrt(degree / max(int(degree.max()), 4))
    weights = ["bold" if targets else "normal" for targets in degree]
    width = [
        TextPath((0, 0), name if name.strip() else "-", size=font, prop=FontProperties(weight=weight))
        .get_extents()
        .width
        for name, font, weight in zip(names, fonts, weights, strict=True)
    ]
    sizes = np.column_stack([np.asarray(width) + 1.2 * fonts, 1.8 * fonts])
    middles, area = arrange(names, pairs, sizes + np.array([14.0, 16.0]), length=78.0, aspect=aspect)
    return Sheet(middles, sizes, fonts, area)


def _fit(names: Sequence[str], degree: NDArray[Any], pairs: list[tuple[str, str]], area: tuple[float, float]) -> Sheet:
    """Shrink a drawing into a given area, text and all, or spread it over a larger one."""
    sheet = _lay_out(names, degree, pairs, aspect=area[0] / area[1])
    stretch = np.divide(area, sheet.area)
    scale = min(float(stretch.min()), 1.0)
    if scale * _SMALLEST < 3.0:
        raise ValueError(f"{len(names)} names do not fit into this axis: draw fewer edges (n_edges) or a larger axis.")
    return replace(
        sheet, middles=sheet.middles * stretch, sizes=sheet.sizes * scale, fonts=sheet.fonts * scale, area=area
    )


def _points(ax: Axes) -> tuple[float, float]:
    figure: Any = ax.figure
    if hasattr(figure, "draw_without_rendering") and figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # the layout may still move the axis
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def _wrapped(caption: str, width: float) -> str:
    """Return a caption in lines that fit into so many points."""
    return textwrap.fill(caption, max(int(width / _LETTER), 20))


def _page(area: tuple[float, float], legend: float, caption: str) -> tuple[Any, Axes]:
    """Return a figure whose axis measures `area` points, with a strip for a legend of this width below and a caption above."""
    margin, strip = 6.0, 26.0
    above = 12.0 * len(_wrapped(caption, area[0]).splitlines())
    width, height = max(area[0] + 2 * margin, legend), area[1] + 2 * margin + strip + above
    figure = plt.figure(figsize=(width / 72, height / 72))
    left = (width - area[0]) / 2
    return figure, figure.add_axes((left / width, (margin + strip) / height, area[0] / width, area[1] / height))


def _draw_nodes(ax: Axes, names: Sequence[str], degree: NDArray[Any], sheet: Sheet) -> None:
    for name, targets, middle, size, font in zip(names, degree, sheet.middles, sheet.sizes, sheet.fonts, strict=True):
        box = FancyBboxPatch(
            (middle - size / 2).tolist(), size[0], size[1], boxstyle=f"round,pad=0,rounding_size={size[1] / 2}", zorder=3, gid=f"node:{name}",
            fc=_REGULATOR if targets else _TARGET, ec=INK if targets else MUTED, lw=1.0 if targets else 0.6,
        )  # fmt: skip
        ax.add_patch(box)
        ax.text(middle[0], middle[1], name, fontsize=font, ha="center", va="center_baseline", zorder=4, color=INK,
                fontweight="bold" if targets else "normal")  # fmt: skip


def _draw_edges(ax: Axes, edges: pd.DataFrame, names: Sequence[str], sheet: Sheet) -> None:
    size = (edges["contribution"] if "contribution" in edges else edges["weight"]).abs().to_numpy()
    width = 0.8 + 1.6 * np.sqrt(size / (size.max() or 1.0))
    known = edges["in_prior"].astype(bool).to_numpy() if _with_prior(edges) else np.ones(len(edges), bool)
    place = {name: i for i, name in enumerate(names)}
    scale = float(sheet.fonts.min()) / _SMALLEST
    for row, line, prior in zip(edges.itertuples(), width * scale, known, strict=True):
        points = route(place[row.source], place[row.target], sheet.middles, sheet.sizes, gap=2.5 * scale)
        color, name = (ACTIVATION, "activates") if row.weight > 0 else (REPRESSION, "represses")
        body, head = _head(points, active=row.weight > 0, size=(3.6 + 1.6 * line) * scale)
        ax.plot(*body.T, color=color, lw=line, ls="-" if prior else _DASHES, zorder=2, solid_capstyle="butt",
                dash_capstyle="butt", gid=f"edge:{row.source}:{row.target}")  # fmt: skip
        look = (
            {"fc": color, "lw": 0}
            if row.weight > 0
            else {"ec": color, "lw": line + 0.6, "closed": False, "fill": False}
        )
        ax.add_patch(Polygon(head, zorder=2.5, gid=f"{name}:{row.source}:{row.target}", **look))


def _head(points: NDArray[Any], *, active: bool, size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the line of an edge up to its head, and the head: a triangle that activates, a bar that represses."""
    away = np.linalg.norm(points - points[-1], axis=1)
    base = max(int(np.flatnonzero(away >= size)[-1]) if (away >= size).any() else 0, 0)
    direction = points[-1] - points[base]
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    across = np.array([-direction[1], direction[0]])
    if active:
        corner = points[-1] - size * direction
        return np.vstack([points[: base + 1], corner]), np.array(
            [points[-1], corner + 0.48 * size * across, corner - 0.48 * size * across]
        )
    return points, np.array([points[-1] + 0.75 * size * across, points[-1] - 0.75 * size * across])


def _with_prior(edges: pd.DataFrame) -> bool:
    """Whether dashes would tell edges apart: without a prior all of them would be dashed."""
    return "in_prior" in edges and bool(edges["in_prior"].astype(bool).any())


def _entries(edges: pd.DataFrame) -> list[Line2D]:
    entries = [
        Line2D([0, 1], [0, 0], color=ACTIVATION, lw=1.8, marker=">", ms=6, markevery=[1], label="activates"),
        Line2D([0, 1], [0, 0], color=REPRESSION, lw=1.8, marker="|", ms=9, mew=2, markevery=[1], label="represses"),
    ]
    shown = [entry for entry, sign in zip(entries, (1, -1), strict=True) if (np.sign(edges["weight"]) == sign).any()]
    if _with_prior(edges) and not edges["in_prior"].astype(bool).all():
        shown += [
            Line2D([], [], color=MUTED, lw=1.6, label="in the prior"),
            Line2D([], [], color=MUTED, lw=1.6, ls=_DASHES, label="not in the prior"),
        ]
    return shown


def _legend(ax: Axes, edges: pd.DataFrame) -> None:
    ax.legend(handles=_entries(edges), loc="upper center", ncols=4, bbox_to_anchor=(0.5, 0.0), columnspacing=1.4)
