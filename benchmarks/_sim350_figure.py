"""The picture of the SIM350 table: who finds the zeros at which sparsity, and what the network adds to the prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

# figures of the paper by method and fraction of moved edges
Paper: TypeAlias = Mapping[tuple[str, float], tuple[float | None, float, float]]
COLORS = {
    "dash": "#D55E00", "imp": "#0072B2", "bio": "#009E73", "posthoc": "#CC79A7",
    "none": "#999999", "l0": "#56B4E9", "cnode": "#E69F00", "pathreg": "#8C6D31",
}  # fmt: skip


def draw(runs: pd.DataFrame, paper: Paper, path: Path) -> None:
    """Write the figure: every run as a point, the paper's figures as crosses, the prior alone as a line."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    main = runs[(runs["noise"] == 0.05) & (runs["moved"] == 0.05)]
    _zeros(axes[0], main, paper)
    _errors(axes[1], main)
    _networks(axes[2], runs[runs["noise"] == 0.05])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _zeros(axis: plt.Axes, main: pd.DataFrame, paper: Paper) -> None:
    for name, color in COLORS.items():
        own = main[main["strategy"] == f"paper: {name}"]
        axis.scatter(100 * own["sparsity"], 100 * own["balanced_accuracy"], s=22, color=color, label=name)
        published = paper.get((name, 0.05))
        if published is not None and published[0] is not None:
            axis.scatter(published[0], published[1], marker="x", s=40, color=color)
    own = main[main["strategy"] == "default"]
    axis.scatter(
        100 * own["sparsity"], 100 * own["balanced_accuracy"], marker="*", s=70, color="black", label="default"
    )
    axis.scatter([], [], marker="x", color="0.4", label="paper")
    axis.axhline(50, color="0.8", lw=0.8, zorder=0)
    axis.set(xlabel="sparsity of the weights (%)", ylabel="balanced accuracy (%)", title="Which weights are zero")
    axis.legend(frameon=False, fontsize=7, loc="upper left")


def _errors(axis: plt.Axes, main: pd.DataFrame) -> None:
    order = main.groupby("strategy")["test_mse"].mean().sort_values(ascending=False).index.tolist()
    axis.scatter(1e3 * main["test_mse"], [order.index(s) for s in main["strategy"]], s=16, color="#0072B2")
    for name, style in (("constant_mse", "--"), ("no_change_mse", ":")):
        axis.axvline(
            1e3 * main[name].mean(), color="0.4", ls=style, lw=1, label=name.removesuffix("_mse").replace("_", " ")
        )
    axis.set(
        xlabel="next-step test error (1e-3)",
        xscale="log",
        yticks=range(len(order)),
        title="5 % noise, 5 % of edges moved",
    )
    axis.set_yticklabels(order, fontsize=8)
    axis.legend(frameon=False, fontsize=7, loc="upper right")


def _networks(axis: plt.Axes, runs: pd.DataFrame) -> None:
    own = runs[(runs["strategy"] == "default") & runs["moved"].notna()]
    shown = {"auprc": "relative contribution", "auprc_stability": "stability", "auprc_score": "score"}
    for (name, label), color in zip(shown.items(), ("#0072B2", "#009E73", "#D55E00"), strict=True):
        groups = own.groupby("moved")[name]
        axis.errorbar(100 * groups.mean().index, groups.mean(), groups.std(), fmt="o-", ms=4, color=color, label=label)
    prior = own.groupby("moved")["auprc_prior"].mean()
    axis.plot(100 * prior.index, prior, "k--", label="prior alone")
    axis.set(xlabel="edges of the prior moved (%)", ylabel="AUPRC", title="The default's network at 5 % noise")
    axis.legend(frameon=False, fontsize=7, loc="lower left")
