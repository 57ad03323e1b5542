"""Training over epochs: loss, sparsity, and when weights were pruned."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from scdash._core.drawing import PALETTE, category_colors
from scdash._core.keys import require_fit
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns, slot
from scdash.pl.shared.style import INK, MUTED, ROUND, Drawn, check_whole, finish, house, panels

_LOSSES = {"train_loss": "training", "validation_loss": "validation"}
_LEVELS = {
    "validation_loss_constant": "constant",
    "validation_loss_no_change": "no change",
    "validation_loss_no_network": "no network",
    "validation_loss_matched_start": "matched start",
}
_OTHERS = [color for color in PALETTE if color != "#000000"]  # black is the colour of what was chosen
_LOGARITHMIC = 5  # largest over smallest loss from which on the axis is logarithmic
_SPARSE = 0.6  # sparsity above which the axis shows what changes instead of beginning at 0


@drawing
def history(
    data: AnnData | pd.DataFrame,
    *,
    key: str = "dynamics",
    model: int | Sequence[int] | None = None,
    baselines: bool | Mapping[str, float] = True,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the loss of every epoch (on a logarithmic axis from a factor of five on), the sparsity below it, and the prunings as marks.

    Training errors are of short windows, validation errors of what the fit was chosen by (for cells whole held-out
    windows): compare each curve with itself, and the validation curve with the levels, which are errors on the same
    states. A fit that started sparse has a sparsity axis of its own range.

    A screen that was matched was not trained: what is drawn then is how well every setting tried predicts held-out
    perturbations, along the penalty, with the chosen one marked.

    Parameters
    ----------
    data
        AnnData with a fit, or the table of ``scdash.get.history``.
    key
        Name of the fit.
    model
        Which of the models trained together to draw; default all, each as a thin line, with their median.
    baselines
        Dashed lines at the validation errors of a constant, of no change, of genes without a network and of the matched
        start, on the very states of the validation curve (from the fit's metrics); or a mapping label: error.
    palette
        Colours of ``training``, ``validation`` and ``sparsity``.
    ax
        Draw here; the sparsity then has an axis of its own on the right.
    title, figsize, show, save, return_fig
        See :mod:`scdash.pl`.

    Returns
    -------
    list of Axes
        ``[loss, sparsity]`` Axes unless shown; one Axes for a matched screen.

    See Also
    --------
    scdash.get.history : Return the history of training: one row per epoch and model.

    Examples
    --------
    >>> scdash.pl.history(adata)  # doctest: +SKIP
    """
    table = slot(data, key, "history") if is_anndata(data) else data
    if isinstance(table, pd.DataFrame) and table.empty:
        raise ValueError(
            "The history is empty: the fit needed no training (regression alone), there is nothing to draw."
        )
    table = columns(table, [], argument="history")
    if {"lam", "held_out_r2", "covariation"} <= set(table):
        return draw_settings(table, page)
    table = columns(table, ["epoch", "train_loss"], argument="history")
    table = _choose(table, model)
    levels = _levels(data, key, baselines=baselines)
    colors = category_colors(["training", "validation", "sparsity"], palette)
    ax = page.get("ax")
    with house():
        figure: Any
        if ax is None:
            figure, (loss, fraction) = panels(2, page, ncols=1, size=(6.2, 2.1), heights=[2.6, 1.0], sharex=True)
        else:
            check_whole(2, page)
            figure, loss = ax.figure, ax
            fraction = ax.twinx()
        _draw_losses(loss, table, colors, _labels(data, key))
        _draw_levels(loss, levels, colors)
        _draw_sparsity(fraction, table, colors["sparsity"], twin=ax is not None)
        _mark_prunings(loss, table)
        loss.set_ylabel("mean squared error")
        _scale_losses(loss, table, levels)
        (fraction if ax is None else loss).set_xlabel("epoch")
        loss.xaxis.set_major_locator(MaxNLocator(integer=True, steps=ROUND))
        loss.legend(loc="upper left", bbox_to_anchor=(1.14 if ax is not None else 1.01, 1.0), borderaxespad=0)
        if ax is None:
            figure.align_ylabels()
    return finish(figure, [loss, fraction], "history", page)


def _choose(table: pd.DataFrame, model: int | Sequence[int] | None) -> pd.DataFrame:
    if "model" not in table:
        table = table.assign(model=0)
    if model is None:
        return table
    wanted = [model] if isinstance(model, int | np.integer) else list(model)
    chosen = table[table["model"].isin(wanted)]
    if chosen.empty:
        raise ValueError(f"model {model!r} is not in the history; it holds {sorted(set(table['model']))}.")
    return chosen


def _levels(data: AnnData | pd.DataFrame, key: str, *, baselines: bool | Mapping[str, float]) -> dict[str, float]:
    if isinstance(baselines, Mapping):
        return {str(label): float(value) for label, value in baselines.items()}
    stored = slot(data, key, "metrics") if baselines and is_anndata(data) else {}
    found = {label: float(stored[name]) for name, label in _LEVELS.items() if name in stored}
    if "matched start" in found and require_fit(data, key)["params"].get("kept") == "regression":
        found["matched start (kept)"] = found.pop("matched start")
    return {label: value for label, value in found.items() if np.isfinite(value) and value > 0}


def _labels(data: AnnData | pd.DataFrame, key: str) -> dict[str, str]:
    """Say what each loss is an error of, where the two differ."""
    training = require_fit(data, key)["params"].get("training") if is_anndata(data) else None
    window = int(training["window"]) if isinstance(training, Mapping) and "window" in training else 1
    if window == 1:
        return {label: label for label in _LOSSES.values()}
    return {"training": f"training ({window} steps)", "validation": "validation (whole time windows)"}


def _draw_losses(ax: Axes, table: pd.DataFrame, colors: Mapping[str, str], labels: Mapping[str, str]) -> None:
    for column, label in _LOSSES.items():
        if column not in table or not table[column].notna().any():
            continue
        wide = table.pivot_table(index="epoch", columns="model", values=column, dropna=False)
        several = wide.shape[1] > 1
        if several:
            ax.plot(wide.index, wide.to_numpy(), color=colors[label], lw=0.7, alpha=0.3)
        name = f"{labels[label]} (median)" if several else labels[label]
        # a validation curve of few points is as visible as a training curve of many, and lies on top
        few = int(wide.notna().any(axis=1).sum()) <= 30
        ax.plot(wide.index, wide.median(axis=1), color=colors[label], label=name, marker="o" if few else None, ms=3,
                zorder=4 if label == "validation" else 3)  # fmt: skip


def _draw_levels(ax: Axes, levels: Mapping[str, float], colors: Mapping[str, str]) -> None:
    for (label, value), style in zip(levels.items(), ["--", ":", "-.", (0, (1, 3))] * len(levels), strict=False):
        own = label.startswith("matched start")  # where the validation curve begins
        color, style = (colors["validation"], "--") if own else (MUTED, style)
        ax.axhline(value, color=color, lw=1.1, ls=style, label=label, zorder=1)


def _scale_losses(ax: Axes, table: pd.DataFrame, levels: Mapping[str, float]) -> None:
    """Choose an axis with ticks that can be read: logarithmic from a factor of five on, with 0.02 for 2 x 10^-2."""
    columns_drawn = [name for name in _LOSSES if name in table]
    values = np.concatenate([table[columns_drawn].to_numpy(dtype=float).ravel(), list(levels.values())])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values) or values.max() < _LOGARITHMIC * values.min():
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
        return
    ax.set_yscale("log")
    if values.max() < 100 * values.min():
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _draw_sparsity(ax: Axes, table: pd.DataFrame, color: str, *, twin: bool) -> None:
    ax.set(ylim=(0, 103), ylabel="sparsity (%)")
    if "sparsity" in table:
        for _, one in table.groupby("model"):
            ax.plot(one["epoch"], 100 * one["sparsity"], color=color, drawstyle="steps-post", lw=1.4, alpha=0.8)
        low, high = 100 * table["sparsity"].min(), 100 * table["sparsity"].max()
        if low > 100 * _SPARSE:  # 99.80 to 99.82 % is a tenth of the weights, and a flat line on an axis from 0
            around = max(0.25 * (high - low), 0.05 * (100 - low))
            ax.set_ylim(low - around, high + around)
            ax.ticklabel_format(axis="y", useOffset=False, style="plain")
            ax.yaxis.set_major_locator(MaxNLocator(3, steps=ROUND, min_n_ticks=3))
        else:
            ax.set_yticks([0, 50, 100])
    if twin:
        ax.spines["right"].set_visible(True)
        ax.spines["top"].set_visible(False)
        ax.yaxis.label.set_color(color)
    else:
        ax.spines[["top", "right"]].set_visible(False)


def _mark_prunings(ax: Axes, table: pd.DataFrame) -> None:
    """Mark the epochs at which weights were removed by small triangles along the upper edge."""
    if "pruned" not in table:
        return
    epochs = np.unique(table.loc[table["pruned"].astype(bool), "epoch"].to_numpy())
    if len(epochs):
        ax.plot(
            epochs, np.full(len(epochs), 1.0), ls="", marker="v", ms=5, color=INK, clip_on=False, label="pruning",
            transform=ax.get_xaxis_transform(), zorder=5,
        )  # fmt: skip


def draw_settings(table: pd.DataFrame, page: FigureOptions) -> Drawn:
    """Draw `held_out_r2` against `lam`, one line a setting; zero is the mean of the other perturbations."""
    best = table.loc[[cast("int", table["held_out_r2"].idxmax())]].iloc[0]
    with house():
        figure, axes = panels(1, page, size=(6.4, 3.2))
        drawn = table.groupby(["covariation", "activating", "hubs", "mcp"], sort=False)
        for i, (setting, part) in enumerate(drawn):
            weights = cast("tuple[float, float, float, float]", setting)
            chosen = weights == tuple(best[["covariation", "activating", "hubs", "mcp"]])
            axes[0].plot(
                part["lam"], part["held_out_r2"], color=INK if chosen else _OTHERS[i % len(_OTHERS)], lw=2.4 if chosen else 1.2,
                zorder=3 if chosen else 2, label=_words(*weights) + (" (chosen)" if chosen else ""),
            )  # fmt: skip
        axes[0].plot(best["lam"], best["held_out_r2"], "o", color=INK, ms=5, zorder=4)
        axes[0].axhline(0, color=MUTED, lw=1.1, ls="--", zorder=1)
        low = max(float(table["held_out_r2"].min()), -max(float(best["held_out_r2"]), 0.5))
        axes[0].set_ylim(bottom=low - 0.05)  # dense networks may predict worse than any axis should show
        axes[0].set(xscale="log", xlabel="penalty (sparser to the left)", ylabel="R2 over the mean of the others")
        axes[0].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes[0].xaxis.set_major_formatter("{x:g}")
        axes[0].minorticks_off()
        axes[0].invert_xaxis()
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return finish(figure, axes, "history", page)


def _words(covariation: float, activating: object, hubs: object, mcp: float) -> str:
    parts = [f"covariation {covariation:g}", "activating" if activating else "both signs"]
    return ", ".join(parts + ["hubs"] * bool(hubs) + ["MCP"] * bool(mcp))
