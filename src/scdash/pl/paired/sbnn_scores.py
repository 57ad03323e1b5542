"""Training curves, scores of single features and the stability of gene selection."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from scdash._core.drawing import category_colors
from scdash._core.errors import check_least
from scdash._core.keys import genes_of_modality
from scdash.pl.paired.sbnn_reading import entry_of, table_of
from scdash.pl.shared.labels import ticks
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.style import FAINT, INK, MUTED, ROUND, Drawn, finish, house, panels

LOWEST_R2 = -0.13  # where the axis of R2 ends for curves that end above it
STAGES = {"pretrain": "pre-training", "frozen": "frozen", "unfrozen": "lasso", "tuning": "25 genes"}


@drawing
def training(
    data: MuData | pd.DataFrame,
    *,
    key: str = "sbnn",
    baselines: bool | Mapping[str, float] = True,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw R2 on training and held-out cells over the epochs of the regression stages (paper: Figure 2).

    The axis of R2 ends little below 0, or below the end of a curve that stays there; a triangle on its edge says how far a mean
    curve went beyond it.

    Parameters
    ----------
    data
        MuData with a fit or a cross-validation, or a table of their history.
    key
        Name of the fit ("sbnn") or of the cross-validation ("sbnn_cv"): then bands show the standard deviation over
        folds.
    baselines
        Lines at the held-out R2 of the linear models of a cross-validation; or a mapping label: R2.
    palette
        Colours of training and held-out cells.
    ax
        Draw here; the cross-entropy of pre-training is then left out.
    title, figsize, show, save, return_fig
        See :mod:`scdash.pl`.

    Returns
    -------
    list of Axes
        ``[pre-training, regression]`` Axes, or the one given, unless shown.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.tl.cross_validate_sbnn : Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.

    Examples
    --------
    >>> scdash.pl.training(mdata, key="sbnn_cv")  # doctest: +SKIP
    """
    table = table_of(data, key, "history", "sbnn", ["model", "epoch", "stage", "train_loss"])
    if "test_r2" not in table:
        raise ValueError(
            f"mdata.uns[{key!r}] is a linear fit of scdash.tl.srrr, which has no epochs to draw: scdash.pl.sbnn draws it, and "
            "scdash.pl.sparsity_path the choice of its penalty."
        )
    levels = _levels(data, key, baselines=baselines)
    names = ["training", "held-out"]
    colors = category_colors(names, palette)
    first = table[table["stage"] == "pretrain"]
    with house():
        both = page.get("ax") is None and not first.empty
        figure, axes = panels(2 if both else 1, page, size=(3.9, 2.9), widths=[1.0, 2.2] if both else None)
        if both:
            figure.set_size_inches(page.get("figsize") or (8.4, 2.9))
            for column, name in (("train_loss", "training"), ("validation_loss", "held-out")):
                _band(axes[0], first, column, name, colors[name])
            axes[0].set(xlabel="epoch", ylabel="cross-entropy", title="pre-training on clusters")
        curves = axes[-1]
        rest = table[~table["stage"].isin(["pretrain", "autoencoder"])]
        for column, name in (("train_r2", "training"), ("test_r2", "held-out")):
            _band(curves, rest, column, name, colors[name])
        _mark_stages(curves, rest)
        _lines(curves, levels)
        curves.set(xlabel="epoch", ylabel="$R^2$")
        for panel in axes:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=ROUND))
        _limit(curves, rest, {"train_r2": "training", "test_r2": "held-out"}, colors)
        curves.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return finish(figure, axes, "training", page)


def _limit(ax: Axes, table: pd.DataFrame, columns_of: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """Let the axis end little below 0, but below what every curve ends with; a mark says how far a curve went beyond it."""
    curves = {name: table.groupby("epoch")[column].mean().dropna() for column, name in columns_of.items()}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        return
    every = table[list(columns_of)].to_numpy(dtype=float)
    last = min(float(curve.iloc[-1]) for curve in curves.values())
    low = min(max(LOWEST_R2, float(np.nanmin(every)) - 0.03), last - 0.05)
    ax.set_ylim(low, float(np.nanmax(every)) + 0.06)
    for name, curve in curves.items():
        if curve.min() < low:
            ax.plot(
                [float(curve.index[int(curve.argmin())])], [0.0], ls="", marker="v", ms=6, color=colors[name], clip_on=False, zorder=5,
                transform=ax.get_xaxis_transform(), label=f"{name} down to {curve.min():.2g}",
            )  # fmt: skip


@drawing
def feature_scores(
    data: MuData | pd.DataFrame,
    *,
    key: str = "sbnn_cv",
    methods: Sequence[str] | None = None,
    n_features: int = 20,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw cross-validated R2 of every feature as bars, one standard deviation over folds (paper: Figure 3).

    Parameters
    ----------
    data
        MuData with a cross-validation, or the table of `scdash.get.feature_scores`.
    key
        The `key_added` of the cross-validation.
    methods
        Methods to draw, in order; None: all. The line is the multivariate R2 of the first.
    n_features
        Features drawn, those that the first method predicts best; the title says how many there are.
    palette
        Colours of the methods.

    See Also
    --------
    scdash.tl.cross_validate_sbnn : Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.
    scdash.get.feature_scores : Return the cross-validated R2 of every method and feature.

    Examples
    --------
    >>> scdash.pl.feature_scores(mdata, methods=["sbnn-2", "srrr-2"])  # doctest: +SKIP
    """
    table = table_of(data, key, "summary", "cross_validate_sbnn", ["method", "feature", "mean", "sd"])
    found = [str(name) for name in dict.fromkeys(table["method"])]
    chosen = found if methods is None else [str(name) for name in methods]
    absent = [name for name in chosen if name not in found]
    if absent:
        raise ValueError(f"methods: {absent[0]!r} is not in the table; it holds {found}.")
    colors = category_colors(chosen, palette)
    leading = table[(table["method"] == chosen[0]) & (table["feature"] != "all")]
    order = leading.sort_values("mean", ascending=False)["feature"].astype(str).tolist()
    check_least("n_features", n_features, 1)
    left_out, order = max(len(order) - n_features, 0), order[:n_features]
    width = 0.8 / len(chosen)
    with house():
        figure, axes = panels(1, page, size=(max(4.0, 1.2 + 0.42 * len(order)), 3.3))
        bars = axes[0]
        for k, name in enumerate(chosen):
            own = table[table["method"] == name].set_index("feature").loc[order]
            places = np.arange(len(order)) + (k - (len(chosen) - 1) / 2) * width
            style: dict[str, Any] = {"error_kw": {"lw": 0.8, "ecolor": INK}, "capsize": 0}
            bars.bar(places, own["mean"], width * 0.92, yerr=own["sd"], color=colors[name], label=name, **style)
        whole = table[(table["method"] == chosen[0]) & (table["feature"] == "all")]["mean"]
        if len(whole):
            label = f"all features, {chosen[0]}"
            bars.axhline(float(whole.iloc[0]), color=MUTED, ls="--", lw=1, label=label, zorder=0)
        bars.axhline(0, color=INK, lw=0.8)
        bars.set_xticks(np.arange(len(order)), order, rotation=40, ha="right", rotation_mode="anchor")
        bars.tick_params(axis="x", length=0)
        bars.set(ylabel="cross-validated $R^2$", xlim=(-0.6, len(order) - 0.4))
        if left_out:
            text = f"{len(order)} of {len(order) + left_out} features, those that {chosen[0]} predicts best"
            bars.set_title(text, fontsize=9)
        bars.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return finish(figure, axes, "feature_scores", page)


@drawing
def gene_selection(
    data: MuData | pd.DataFrame,
    *,
    key: str = "sbnn_stability",
    n_genes: int = 30,
    color: str | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw how often genes were selected over repeats, and how many genes how often (paper: Figure 4).

    Parameters
    ----------
    data
        MuData with a stability analysis (or a cross-validation), or the table of `scdash.get.gene_selection`.
    key
        The `key_added` of that analysis.
    n_genes
        Genes shown by name, most frequent first.
    color
        Colour of the bars.
    ax
        Draw the genes here; the histogram is then left out.
    title, figsize, show, save, return_fig
        See :mod:`scdash.pl`.

    Returns
    -------
    list of Axes
        ``[genes, histogram]`` Axes unless shown.

    See Also
    --------
    scdash.tl.stability : Repeat a fit on data drawn again and count how often each gene, or each edge of a network, is selected.
    scdash.get.gene_selection : Return how often each gene was selected, the most frequent first.

    Examples
    --------
    >>> scdash.pl.gene_selection(mdata)  # doctest: +SKIP
    """
    table = table_of(data, key, "selection", "stability", ["gene", "frequency", "count"])
    if not isinstance(data, pd.DataFrame):
        table = genes_of_modality(data, entry_of(data, key, "stability"), key, table["gene"]).rows(table, "gene")
    check_least("n_genes", n_genes, 1)
    ever = table[table["count"] > 0]
    repeats = int(round(float((ever["count"] / ever["frequency"]).iloc[0]))) if len(ever) else 1
    shown = ever.sort_values("frequency", ascending=False, kind="stable").head(n_genes)
    fill = color or category_colors(["a"])["a"]
    with house():
        size = (max(3.4, 0.6 + 0.2 * len(shown)), 2.9)
        own = page.get("ax") is None
        figure, axes = panels(2 if own else 1, page, size=size, widths=[2.4, 1.0] if own else None)
        if own:
            figure.set_size_inches(page.get("figsize") or (size[0] + 2.8, 2.9))
            _histogram(axes[1], ever["count"], repeats, fill)
        bars = axes[0]
        bars.bar(np.arange(len(shown)), shown["frequency"], 0.85, color=fill)
        bars.set_xticks(np.arange(len(shown)), ticks(shown["gene"]), rotation=90, fontsize=7, style="italic")
        bars.tick_params(axis="x", length=0)
        more = len(ever) - len(shown)
        bars.set(ylabel=f"selected (fraction of {repeats} runs)", ylim=(0, 1.02), xlim=(-0.7, len(shown) - 0.3))
        if more:
            bars.set_title(
                f"{len(shown)} most often selected genes; {more} more were selected at least once", fontsize=9
            )
    return finish(figure, axes, "gene_selection", page)


def _histogram(ax: Axes, counts: pd.Series, repeats: int, fill: str) -> None:
    times = np.arange(1, repeats + 1)
    ax.bar(times, [int((counts == k).sum()) for k in times], 0.85, color=fill)
    ax.set(xlabel=f"times selected, of {repeats}", ylabel="genes")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=ROUND))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, steps=ROUND))


def _band(ax: Axes, table: pd.DataFrame, column: str, label: str, color: str) -> None:
    """Draw the mean over models with its standard deviation; nothing where the column is empty."""
    if column not in table or not table[column].notna().any():
        return
    wide = table.pivot_table(index="epoch", columns="model", values=column)
    mean, sd = wide.mean(axis=1), wide.std(axis=1, ddof=0).fillna(0)
    ax.plot(wide.index, mean, color=color, label=label)
    if wide.shape[1] > 1:
        ax.fill_between(wide.index, mean - sd, mean + sd, color=color, alpha=0.18, lw=0)


def _mark_stages(ax: Axes, table: pd.DataFrame) -> None:
    bounds = table.groupby("stage", sort=False)["epoch"].agg(["min", "max"])
    for k, (stage, span) in enumerate(bounds.iterrows()):
        if k:
            ax.axvline(span["min"] - 0.5, color=FAINT, lw=1, zorder=0)
        text = STAGES.get(str(stage), str(stage)) if stage != "tuning" else "pruned"
        middle = (span["min"] + span["max"]) / 2
        ax.text(middle, 1.01, text, transform=ax.get_xaxis_transform(), ha="center", fontsize=8, color=MUTED)


def _levels(data: MuData | pd.DataFrame, key: str, *, baselines: bool | Mapping[str, float]) -> dict[str, float]:
    if isinstance(baselines, Mapping):
        return {str(label): float(value) for label, value in baselines.items()}
    if not baselines or isinstance(data, pd.DataFrame):
        return {}
    entry = entry_of(data, key, "sbnn")
    if "summary" not in entry:
        return {}
    summary = pd.DataFrame(entry["summary"])
    own = str(entry["params"].get("method", ""))
    whole = summary[(summary["feature"] == "all") & (summary["method"] != own)]
    return {str(name): float(value) for name, value in zip(whole["method"], whole["mean"], strict=True)}


def _lines(ax: Axes, levels: Mapping[str, float]) -> None:
    styles = ["--", ":", "-.", (0, (1, 3)), (0, (5, 1, 1, 1))]
    for k, (label, value) in enumerate(levels.items()):
        ax.axhline(value, color=MUTED, lw=1.1, ls=styles[k % len(styles)], label=label, zorder=1)
