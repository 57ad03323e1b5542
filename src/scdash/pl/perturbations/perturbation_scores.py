"""Scores of knockouts, beside what the expression of each gene says without a network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scdash._core.errors import check_least, unknown
from scdash._core.process_state import guarded
from scdash._core.tables import score_table
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.read import columns
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, finish, house, panels

_SHOWN = ("score", "along_path", "spread", "batch_spread", "expression", "change")


@guarded
def perturbation_scores(
    data: AnnData | pd.DataFrame,
    *,
    key: str = "dynamics",
    lineage: str | None = None,
    n_top: int = 20,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the regulators whose knockout (or overexpression) moves the end of a lineage most, beside their expression.

    The first panel shows the score: blue where the lineage is held back along its path, red where it is pushed on.
    Whiskers are the standard deviation over models, or over batches where there is one model. The other two show the mean
    expression of the gene and its change along the lineage: what would be known without a network. Genes without a target
    in the network have no score and are not drawn; the title counts them.

    Parameters
    ----------
    data
        AnnData after `scdash.tl.perturbation_scores`, or its table.
    key
        Name of the fit.
    lineage
        Lineage; None: the mean over all.
    n_top
        Number of genes.
    title, figsize, ax, show, save, return_fig
        See :mod:`scdash.pl`.

    Returns
    -------
    Axes or list of Axes or Figure or None
        One Axes, or one for each panel; the Figure with ``return_fig=True``; None once it was shown.

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
    mean = table.groupby(table["gene"].astype(str), sort=False)[list(_SHOWN)].mean()
    scored = mean.dropna(subset="score").sort_values("score", ascending=False, kind="stable")
    if scored.empty:
        raise ValueError("No gene of the table has a target in the network: there is no score to draw.")
    top = scored.head(n_top)
    with house():
        figure, axes = panels(3, ax, title=title, figsize=figsize, size=(2.6, 1.3 + 0.2 * len(top)), widths=(2.2, 1, 1))
        place = np.arange(len(top))
        color = np.where(top["along_path"] < 0, REPRESSION, ACTIVATION)
        spread = top["spread"].fillna(top["batch_spread"])
        axes[0].hlines(place, 0, top["score"], color=list(color), lw=1.0, alpha=0.45)
        if spread.notna().any():
            axes[0].errorbar(top["score"], place, xerr=spread, fmt="none", ecolor=MUTED, elinewidth=1.2, capsize=2)
        axes[0].scatter(top["score"], place, c=list(color), s=30, zorder=3)
        axes[1].barh(place, top["expression"], color=MUTED, height=0.6)
        axes[2].barh(place, top["change"], color=MUTED, height=0.6)
        labels = (
            "distance between the ends with and without\nthe gene (fraction of the path)",
            "mean expression",
            "change along\nthe lineage",
        )
        for panel, label in zip(axes, labels, strict=True):
            panel.axvline(0, color=INK, lw=0.8)
            panel.set(ylim=(len(top) - 0.5, -0.5), xlabel=label)
            panel.set_yticks(place, top.index if panel is axes[0] else [""] * len(top))
            panel.tick_params(axis="y", length=0)
            panel.xaxis.set_major_locator(MaxNLocator(3))
        idle = len(mean) - len(scored)
        note = f"{len(top)} of {len(scored)} genes" + (f"; {idle} without a target" if idle else "")
        axes[0].set_title(f"{lineage}: {note}" if lineage else note, loc="left", fontsize="medium")
        axes[0].legend(handles=_entries(color, top), loc="lower right")
    return finish(
        figure, axes, ax=ax, show=show, return_fig=return_fig, name="perturbation_scores", title=title, save=save
    )


def _entries(color: Any, top: pd.DataFrame) -> list[Line2D]:
    """Return the legend of the colours that occur, and of the whiskers."""
    names = {REPRESSION: "lineage held back", ACTIVATION: "lineage pushed on"}
    shown = [Line2D([], [], color=one, marker="o", ls="", label=name) for one, name in names.items() if one in color]
    over = [word for column, word in (("spread", "models"), ("batch_spread", "batches")) if top[column].notna().any()]
    return shown + [Line2D([], [], color=MUTED, lw=1.2, label=f"± 1 sd over {' or '.join(over)}")] * bool(over)
