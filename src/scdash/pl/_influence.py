"""Whose start value matters for everybody else."""

from typing import Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scdash._core.drawing import PALETTE
from scdash._core.errors import check_least
from scdash._core.tables import influence_table
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.labels import ticks
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, finish, house, legend_below, panels


@drawing
def influence(
    data: AnnData | pd.DataFrame,
    *,
    key: str = "dynamics",
    n_top: int = 20,
    by_time: bool = False,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the most influential genes, with the spread over the models of an ensemble, or their influence over time.

    The axis is the mean absolute change of all other genes, in units of their ranges, after the start value of one gene
    is changed (`scdash.tl.gene_influence`). Red genes raise the others on balance, blue ones lower them. Whiskers are one
    standard deviation over the models of an ensemble, or one standard error over start states where there is one model;
    where they overlap, the order is not settled.

    Parameters
    ----------
    data
        AnnData after `scdash.tl.gene_influence`, or the table of `scdash.get.influence` (`by_time` as here).
    key
        Name of the fit.
    n_top
        Genes to draw.
    by_time
        Draw curves over time instead, at most eight.

    See Also
    --------
    scdash.tl.gene_influence : Measure how far a change of one gene moves the predicted trajectories of all others.
    scdash.get.influence : Return the influence of every gene, strongest first.

    Examples
    --------
    >>> ax = scdash.pl.influence(adata, n_top=10)
    """
    check_least("n_top", n_top, 1)
    table = _table(data, key, by_time=by_time)
    with house():
        if by_time:
            figure, (panel,) = panels(1, page, size=(4.4, 3.2))
            _curves(panel, table, min(n_top, 8))
        else:
            best = table.sort_values("absolute", ascending=False, kind="stable").head(n_top)
            table = best[best["absolute"] > 0] if (best["absolute"] > 0).any() else best
            figure, (panel,) = panels(1, page, size=(4.2, 1.1 + 0.2 * len(table)))
            legend_below(figure, panel, _ranking(panel, table), own=page.get("ax") is None, ncols=2)
    return finish(figure, [panel], "influence", page)


def _table(data: AnnData | pd.DataFrame, key: str, *, by_time: bool) -> pd.DataFrame:
    given = data
    if is_anndata(data):
        table, _ = influence_table(data, key, by_time=by_time)
        given = table if by_time else table.reset_index().dropna(subset=["absolute"])
    return columns(given, ["gene", "absolute", "signed", *(["time"] if by_time else [])], argument="data")


def _ranking(ax: Axes, table: pd.DataFrame) -> list[Line2D]:
    """Draw the genes, the first on top; return the entries of the legend."""
    size, place = table["absolute"].to_numpy(), np.arange(len(table))
    color = np.where(table["signed"] >= 0, ACTIVATION, REPRESSION)
    ax.hlines(place, 0, size, color=color, lw=1.0, alpha=0.45)
    spread = table["spread"] if "spread" in table and table["spread"].notna().any() else table.get("standard_error")
    if spread is not None and spread.notna().any():
        ax.errorbar(size, place, xerr=np.minimum(spread, size), fmt="none", ecolor=MUTED, elinewidth=1.2, capsize=2)
    ax.scatter(size, place, c=list(color), s=30, zorder=3)
    ax.set_yticks(place, ticks(table["gene"]))
    ax.set(
        ylim=(len(table) - 0.5, -0.5),
        xlim=(0, None),
        xlabel="mean absolute change of the other genes\n(in units of their ranges)",
    )
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="y", length=0)
    dots = [Line2D([], [], ls="", marker="o", ms=5, color=c, label=t)
            for c, t in ((ACTIVATION, "raises the others"), (REPRESSION, "lowers them"))]  # fmt: skip
    if spread is not None and spread.notna().any():
        over = "models" if "spread" in table and table["spread"].notna().any() else "drawn starts"
        dots.append(
            Line2D(
                [],
                [],
                color=MUTED,
                lw=1.2,
                label=f"± 1 sd over {over}" if over == "models" else "± 1 standard error over starts",
            )
        )
    return dots


def _curves(ax: Axes, table: pd.DataFrame, n_top: int) -> None:
    mean = table.groupby("gene", observed=True)["absolute"].mean().sort_values(ascending=False)
    mean = mean[mean > 0] if (mean > 0).any() else mean
    wide = table.pivot(index="time", columns="gene", values="absolute")[mean.index[:n_top]]
    for gene, color in zip(wide, PALETTE, strict=False):
        ax.plot(wide.index, wide[gene], color=color, marker="o", ms=3, label=str(gene))
    ax.set(xlabel="time after the change", ylabel="mean absolute change of the other genes", ylim=(0, None))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK)
