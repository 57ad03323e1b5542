"""Methods beside each other, beside the paper's figures and beside trivial baselines."""

from collections.abc import Collection, Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scdash._core.drawing import category_colors
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns, named
from scdash.pl.shared.style import MUTED, Drawn, finish, house, panels

_LOWER = ("mse", "loss", "error", "epoch", "second", "time", "density")
_HIGHER = ("accuracy", "auprc", "auc", "precision", "recall", "f1", "correlation", "pearson", "r2")
_MARKERS = "oDs^vP"
_KNOWN = {"ours": "#0072B2", "paper": "#E69F00", "baseline": "#7F7F7F"}


@drawing
def benchmark(
    table: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    lower_is_better: Collection[str] | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    ncols: int = 3,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw every metric as a panel with one row a method; ours, the paper's and baselines in their own colours.

    Parameters
    ----------
    table
        Columns ``method``, ``metric``, ``value``, and where present ``spread`` (half the length of a bar, such as a
        standard deviation) and ``source`` (``ours``, ``paper``, ``baseline`` or any other).
    metrics, methods
        What to draw, in this order; default all metrics, and methods from best to worst by the first metric.
    lower_is_better
        Metrics of which less is better; default those whose name says error, loss, MSE, epochs, time or density.
    palette
        Colours of the sources.
    ncols
        Panels a row.

    See Also
    --------
    scdash.metrics.grn_report : Compare a network with a known truth, and say what it adds to the prior it was given.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("ours", "error", 0.2), ("constant", "error", 1.0)]
    >>> ax = scdash.pl.benchmark(pd.DataFrame(rows, columns=["method", "metric", "value"]))
    """
    table = columns(table, ["method", "metric", "value"])
    table = table.assign(source=table["source"].astype(str) if "source" in table else "ours")
    wanted = _listed("metric", table, metrics)
    lower = (
        {m for m in wanted if any(part in m.lower() for part in _LOWER)}
        if lower_is_better is None
        else set(lower_is_better)
    )
    higher = {m for m in wanted if any(part in m.lower() for part in _HIGHER)} - lower
    rows = _listed("method", table, methods)
    if methods is None:
        rows = _best_first(table[table["metric"] == wanted[0]], rows, lower=wanted[0] in lower)
    sources = sorted(
        table["source"].unique(), key=lambda s: (s not in _KNOWN, list(_KNOWN).index(s) if s in _KNOWN else 0)
    )
    colors = category_colors(sources, palette or _colors(sources))
    with house():
        longest = max(len(method) for method in rows)
        size = (2.6 + 0.055 * longest / min(ncols, len(wanted)), 1.0 + 0.27 * len(rows))
        figure, axes = panels(len(wanted), page, ncols=ncols, size=size)
        for i, (panel, metric) in enumerate(zip(axes, wanted, strict=True)):
            _draw(panel, table[table["metric"] == metric], rows, sources, colors)
            panel.set_title(metric, loc="left", fontweight="bold")
            if metric in lower or metric in higher:
                panel.set_xlabel("lower is better" if metric in lower else "higher is better", color=MUTED)
            if i % ncols:
                panel.set_yticklabels([])
        found = {label: one for panel in axes for one, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        labels = [source for source in sources if source in found]
        handles = [found[source] for source in labels]
        if len(sources) > 1 and page.get("ax") is None:
            figure.legend(handles, labels, loc="outside lower center", ncols=len(sources))
        elif len(sources) > 1:
            axes[0].legend(handles, labels, loc="best")
    return finish(figure, axes, "benchmark", page)


def _listed(column: str, table: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    present = list(dict.fromkeys(table[column].astype(str)))
    found = named(column, wanted, present)
    if not found:
        raise ValueError(f"{column}s is empty: name at least one, or leave it out.")
    return found


def _best_first(table: pd.DataFrame, methods: Sequence[str], *, lower: bool) -> list[str]:
    best = table.groupby(table["method"].astype(str))["value"].agg("min" if lower else "max").reindex(list(methods))
    return list(best.sort_values(ascending=lower, na_position="last", kind="stable").index)


def _colors(sources: Sequence[str]) -> dict[str, str]:
    others = [source for source in sources if source not in _KNOWN]
    spare = ("#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
    return _KNOWN | {source: spare[i % len(spare)] for i, source in enumerate(others)}


def _draw(
    ax: Axes, table: pd.DataFrame, methods: Sequence[str], sources: Sequence[str], colors: Mapping[str, str]
) -> None:
    offset = dict(zip(sources, np.linspace(-0.16, 0.16, len(sources)) if len(sources) > 1 else [0.0], strict=True))
    place = {method: i for i, method in enumerate(methods)}
    for source, marker in zip(sources, _MARKERS * len(sources), strict=False):
        chosen = table[(table["source"] == source) & table["method"].astype(str).isin(place)]
        if chosen.empty:
            continue
        y = chosen["method"].astype(str).map(place).to_numpy(float) + offset[source]
        spread = chosen["spread"].fillna(0.0).to_numpy() if "spread" in chosen else None
        ax.errorbar(chosen["value"], y, xerr=spread, ls="", marker=marker, ms=5.5, color=colors[source], elinewidth=1.2,
                    capsize=2, label=source, zorder=3)  # fmt: skip
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#EDEDED", lw=0.8)
    ax.set_axisbelow(True)
    values = table["value"].to_numpy(float)
    if (values > 0).all() and len(values) and values.max() / values.min() > 30:
        ax.set_xscale("log")
