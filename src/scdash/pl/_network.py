"""The strongest edges as a drawing, of one fit or of several side by side."""

from collections.abc import Sequence
from typing import Unpack

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scdash._core.edges.order import BY_PRIOR, rank_edges
from scdash._core.errors import check_least
from scdash._core.tables import network_edges
from scdash._data import all_genes
from scdash.metrics.edge_lists import GRN, is_anndata
from scdash.pl._network_drawing import (
    Sheet,
    draw_edges,
    draw_nodes,
    entries_of,
    fitted,
    lay_out,
    legend_columns,
    new_page,
    points_of,
    readable,
    with_prior,
    wrapped,
)
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns
from scdash.pl.shared.read import networks as networks_of
from scdash.pl.shared.style import Drawn, bare, check_whole, finish, house, panels, whole_figure


@drawing
def network(
    data: GRN,
    *,
    key: str = "dynamics",
    n_edges: int = 50,
    focus: str | Sequence[str] | None = None,
    rank_by: str | None = None,
    genes: Sequence[str] | None = None,
    **page: Unpack[FigureOptions],
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

    See Also
    --------
    scdash.pl.networks : Draw the networks of several fits side by side, one lineage (or strategy) each, as :func:`scdash.pl.network`.
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.
    scdash.get.network : Return the fitted network in the form that another tool reads.

    Examples
    --------
    >>> scdash.pl.network(adata, focus="MYOG")  # doctest: +SKIP
    """
    edges = _strongest(_edges(data, key, genes), n_edges, focus, rank_by)
    title, figsize, ax = page.get("title"), page.get("figsize"), page.get("ax")
    check_whole(1, page)
    caption = _caption(edges, rank_by)
    heading = (
        caption if title is None else "\n".join([str(title if isinstance(title, str) else title[0]), caption]).strip()
    )
    with house():
        if figsize is not None:
            figure = plt.figure(figsize=figsize)
            panel = figure.add_axes((0.02, 0.14, 0.96, 0.78))
        elif ax is None:
            figure, panel = new_page(_sheet([edges], None).area, entries_of(edges), heading)
        else:
            figure, panel = whole_figure(ax), ax
        sheet = _sheet([edges], None if ax is None and figsize is None else points_of(panel))
        _draw(panel, edges, sheet, heading)
    return finish(figure, [panel], "network", page | {"title": None})


@drawing
def networks(
    adata: AnnData,
    keys: str | Sequence[str],
    *,
    n_edges: int = 25,
    focus: str | Sequence[str] | None = None,
    ncols: int = 2,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the networks of several fits side by side, one lineage (or strategy) each, as :func:`scdash.pl.network`.

    A gene has the same place in every panel, so that edges can be compared.

    Parameters
    ----------
    adata
        AnnData with the fits.
    keys
        Names of the fits; one name draws that fit alone.
    n_edges, focus
        As in :func:`scdash.pl.network`.
    ncols
        Panels a row.

    See Also
    --------
    scdash.pl.network : Draw the strongest edges of the network.

    Examples
    --------
    >>> ax = scdash.pl.networks(adata, ["dynamics"], n_edges=10)
    """
    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys:
        raise ValueError("keys is empty: name at least one fit, such as 'dynamics'.")
    drawn = [_strongest(_edges(adata, key, None), n_edges, focus, None) for key in keys]
    with house():
        figure, axes = panels(len(keys), page, ncols=ncols, size=readable(_sheet(drawn, None).area))
        sheet = _sheet(drawn, points_of(axes[0]))
        title = page.get("title")
        titles = [str(key) for key in keys] if title is None or isinstance(title, str) else list(title)
        for panel, edges, name in zip(axes, drawn, titles, strict=True):
            _draw(panel, edges, sheet, f"{name}\n{_caption(edges, None)}".strip())
    whole = title if isinstance(title, str) else None
    return finish(figure, axes, "networks", page | {"title": whole})


def _sheet(drawn: Sequence[pd.DataFrame], area: tuple[float, float] | None) -> Sheet:
    """Lay out the genes of all these networks together: on a sheet of their own, or in a given area."""
    together = pd.concat(drawn)
    names = list(dict.fromkeys([*together["source"], *together["target"]]))
    pairs = list(dict.fromkeys(zip(together["source"], together["target"], strict=True)))
    degree = np.max([edges["source"].value_counts().reindex(names, fill_value=0) for edges in drawn], axis=0)
    return lay_out(names, degree, pairs) if area is None else fitted(names, degree, pairs, area)


def _draw(ax: Axes, edges: pd.DataFrame, sheet: Sheet, heading: str) -> None:
    ax.set(xlim=(0, sheet.area[0]), ylim=(0, sheet.area[1]))
    bare(ax)
    mine = sheet.of([*edges["source"], *edges["target"]])
    draw_nodes(ax, edges, mine)
    draw_edges(ax, edges, mine)
    entries = entries_of(edges)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "columnspacing": 1.4}
    ax.legend(handles=entries, ncols=legend_columns(entries), **below)
    caption = ax.set_title(wrapped(heading, sheet.area[0]), loc="left", fontsize="small", pad=2)
    caption.set_in_layout(False)  # else a long one would make the axes smaller that the drawing was fitted to


def _edges(data: GRN, key: str, genes: Sequence[str] | None) -> pd.DataFrame:
    table = data if isinstance(data, pd.DataFrame) else None
    if is_anndata(data) and isinstance(data.uns.get(key), dict) and key not in data.varp:
        table = network_edges(data, key)
    if table is None:
        names, (matrix,) = networks_of(data, key=key, genes=genes)
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
    check_least("n_edges", n_edges, 1)
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
    if not with_prior(edges):
        return edges.head(n_edges)
    known = edges["in_prior"].astype(bool)
    novel = min(int((~known).sum()), max(n_edges // 2, n_edges - int(known.sum())))
    chosen = pd.concat([edges[known].head(n_edges - novel), edges[~known].head(novel)])
    return chosen.reset_index(drop=True)


def _caption(edges: pd.DataFrame, rank_by: str | None) -> str:
    """Say how many edges of either kind are drawn, and what put them in order; nothing of a network without a prior."""
    if not with_prior(edges):
        return ""
    known = int(edges["in_prior"].astype(bool).sum())
    counts = f"{known} edges of the prior, {len(edges) - known} novel ones"
    if rank_by is not None:
        return f"{counts}, by {rank_by}"
    if "ranked_by" in edges and (edges["ranked_by"] == BY_PRIOR).all():
        return f"{counts}: the data do not tell the two kinds apart, each is in the order of the data"
    return f"{counts}: the strongest of each kind"
