"""Scores of knockouts, beside what the expression of each gene says without a network."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scdash._core.drawing import colors_among, trajectory_colors
from scdash._core.errors import check_least, unknown
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import require_fit
from scdash._core.tables import score_table
from scdash._core.trajectories import lineages_of
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.labels import ticks
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, finish, house, legend_below, panels

_SHOWN = ("score", "along_path", "spread", "batch_spread", "expression", "change")
GAP = 0.8  # height that the lineages of one gene take together, of the distance between genes
BACK, ON = "<", ">"  # marks of the direction where colours name lineages
LABELS = (
    "distance between the ends with and without\nthe gene (1: length of the lineage's path)",
    "mean expression",
    "change along\nthe lineage",
)


@drawing
def perturbation_scores(
    data: AnnData | pd.DataFrame,
    *,
    key: str = "dynamics",
    lineage: str | None = None,
    n_top: int = 20,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the regulators whose knockout (or overexpression) moves the end of a lineage most, beside their expression.

    The first panel shows the score: blue where the lineage is held back along its path, red where it is pushed on. Of
    several lineages, each has a row of its own below the name of the gene and a colour of its own in all panels, and
    triangles show the direction (left: held back). Whiskers are the standard deviation over models, or over batches where
    there is one model. The other two panels show the mean expression of the gene and its change along the lineage: what
    would be known without a network. Genes without a target in the network have no score and are not drawn; the title
    counts them.

    Parameters
    ----------
    data
        AnnData after `scdash.tl.perturbation_scores`, or its table.
    key
        Name of the fit.
    lineage
        Lineage; None: all, side by side. Genes are sorted by their mean score over those drawn.
    n_top
        Number of genes.
    palette
        Colours of several lineages; default those of `scdash.pl.trends`.

    See Also
    --------
    scdash.tl.perturbation_scores : Score every regulator by how far its knockout (or overexpression) moves the end of a lineage.
    scdash.get.perturbation_scores : Return how far holding each gene moves the end of a lineage, the largest effects first, genes without a target last.

    Examples
    --------
    >>> axes = scdash.pl.perturbation_scores(adata, n_top=10)
    """
    table = score_table(data, key) if is_anndata(data) else data
    table = columns(table, ["gene", "lineage", *_SHOWN], argument="data")
    if lineage is not None:
        if lineage not in set(table["lineage"].astype(str)):
            raise unknown("lineage", lineage, pd.unique(table["lineage"].astype(str)))
        table = table[table["lineage"].astype(str) == lineage]
    check_least("n_top", n_top, 1)
    table = table.assign(gene=table["gene"].astype(str), lineage=table["lineage"].astype(str))
    scored = table.dropna(subset="score")
    if scored.empty:
        raise ValueError("No gene of the table has a target in the network: there is no score to draw.")
    genes = scored.groupby("gene", sort=False)["score"].mean().sort_values(ascending=False, kind="stable")
    top = genes.index[:n_top]
    lineages = sorted(scored["lineage"].unique())
    several = _colors(data, key, lineages, palette) if len(lineages) > 1 or palette is not None else None
    height = 1.3 + 0.2 * len(top) * max(1.0, 0.6 * len(lineages))
    with house():
        figure, axes = panels(3, page, size=(2.6, height), widths=(2.2, 1, 1))
        for i, name in enumerate(lineages):
            mine = scored[scored["lineage"] == name].set_index("gene").reindex(top)
            place = np.arange(len(top)) + ((i + 0.5) / len(lineages) - 0.5) * GAP
            _lineage(axes, mine, place, GAP / len(lineages), None if several is None else several[name])
        for panel, label in zip(axes, LABELS, strict=True):
            panel.axvline(0, color=INK, lw=0.8)
            panel.set(ylim=(len(top) - 0.5, -0.5), xlabel=label)
            panel.set_yticks(np.arange(len(top)), ticks(top) if panel is axes[0] else [""] * len(top))
            panel.tick_params(axis="y", length=0)
            panel.xaxis.set_major_locator(MaxNLocator(3))
        idle = table["gene"].nunique() - len(genes)
        note = f"{len(top)} of {len(genes)} genes" + (f"; {idle} without a target" if idle else "")
        axes[0].set_title(f"{lineage}: {note}" if lineage else note, loc="left", fontsize="medium")
        entries = _entries(scored[scored["gene"].isin(top)], several)
        legend_below(figure, axes[0], entries, own=page.get("ax") is None)
    return finish(figure, axes, "perturbation_scores", page)


def _colors(
    data: AnnData | pd.DataFrame,
    key: str,
    drawn: Sequence[str],
    palette: str | Sequence[str] | Mapping[str, str] | None,
) -> dict[str, str]:
    """Return a colour for each lineage: that of its trajectory in `pl.trends` where the fit is at hand."""
    if not is_anndata(data) or data.uns.get(key, {}).get("series") is None:
        return colors_among(drawn, drawn, palette)
    entry = require_fit(data, key)
    stored = trajectory_colors(data, FitSettings.of(entry, key).text("trajectory_key"), drawn)
    return colors_among(lineages_of(entry), drawn, palette, stored)


def _lineage(axes: Sequence[Axes], mine: pd.DataFrame, place: NDArray[Any], height: float, own: str | None) -> None:
    """Draw the genes of one lineage at their places, in its `own` colour, or in those of the direction."""
    score, back = mine["score"], (mine["along_path"] < 0).to_numpy()
    color = np.where(back, REPRESSION, ACTIVATION) if own is None else np.full(len(mine), own)
    spread = mine["spread"].fillna(mine["batch_spread"])
    axes[0].hlines(place, 0, score, color=list(color), lw=1.0, alpha=0.45)
    if spread.notna().any():
        axes[0].errorbar(score, place, xerr=spread, fmt="none", ecolor=MUTED, elinewidth=1.2, capsize=2)
    parts = [(np.ones(len(mine), bool), "o")] if own is None else [(back, BACK), (~back, ON)]
    for rows, marker in parts:
        axes[0].scatter(score[rows], place[rows], c=list(color[rows]), marker=marker, s=30, zorder=3)
    axes[1].barh(place, mine["expression"], color=own or MUTED, height=0.9 * height)
    axes[2].barh(place, mine["change"], color=own or MUTED, height=0.9 * height)


def _entries(drawn: pd.DataFrame, several: Mapping[str, str] | None) -> list[Line2D]:
    """Return the legend of the colours and marks that occur, and of the whiskers."""
    back = drawn["along_path"] < 0
    found = []
    for rows, name, color, marker in (
        (back, "lineage held back", REPRESSION, BACK),
        (~back, "lineage pushed on", ACTIVATION, ON),
    ):
        if rows.any():
            one = several is None
            found.append(
                Line2D([], [], ls="", label=name, color=color if one else MUTED, marker="o" if one else marker)
            )
    over = [word for column, word in (("spread", "models"), ("batch_spread", "batches")) if drawn[column].notna().any()]
    found += [Line2D([], [], color=MUTED, lw=1.2, label=f"± 1 sd over {' or '.join(over)}")] * bool(over)
    return [Line2D([], [], color=color, lw=4, label=name) for name, color in (several or {}).items()] + found
