"""Figures of the benchmark, by the package's own functions where there is one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from scdash.pl.paired.sbnn import sbnn as draw_latent
from scdash.pl.paired.sbnn_scores import feature_scores


def draw(runs: pd.DataFrame, load: Callable[[], Any], folder: Path) -> None:
    """Write sbnn.png (scores, curves, features) and sbnn_latent.png (the paper's Figure 5)."""
    figure, axes = plt.subplot_mosaic(
        [["scores", "curves"], ["features", "features"]], figsize=(10, 7.4), layout="constrained"
    )
    _scores(axes["scores"], runs)
    _curves(axes["curves"], runs)
    networks = runs[(runs["metric"] == "r2") & runs["part"].str.startswith("network") & (runs["setting"] == "paper")]
    summary = networks.assign(feature=networks["feature"].replace("", "all")).groupby(["method", "feature"], sort=False)
    table = summary["value"].agg(mean="mean", sd=lambda v: v.std(ddof=0)).reset_index()
    methods = [m for m in ("sbnn-2", "sbnn-64", "srrr-2") if m in set(table["method"])]
    feature_scores(table, methods=methods, ax=axes["features"])
    figure.savefig(folder / "sbnn.png", dpi=110)
    latent(load, folder)


def _scores(ax: Any, runs: pd.DataFrame) -> None:
    from benchmarks.sbnn import PAPER

    found = runs[(runs["metric"] == "r2") & (runs["feature"] == "") & (runs["part"] != "paired")]
    found = found[~((found["part"] != "linear") & found["method"].str.startswith("srrr"))]
    longer = found["setting"].str.endswith("tuning epochs")
    found = found[found["setting"].isin(["paper", "standardize=train"]) | longer]
    found = found.assign(method=found["method"].where(~longer, found["method"] + "\nlonger"))
    names = ("srrr-2", "srrr-16", "ridge", "sbnn-2", "sbnn-2\nlonger", "sbnn-64", "sbnn-64\nlonger")
    order = [m for m in names if m in set(found["method"])]
    for k, method in enumerate(order):
        own = found[found["method"] == method]
        folds = own.groupby(["seed", "fold"])["value"].mean()
        spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(folds))
        ax.scatter(k + spread, folds, s=9, color="#56B4E9", lw=0, zorder=1)
        ax.errorbar(k, folds.mean(), folds.std(ddof=0), fmt="o", color="#0072B2", ms=5, zorder=3)
        if method in PAPER:
            ax.plot([k - 0.3, k + 0.3], [PAPER[method][0]] * 2, color="#D55E00", lw=1.6, zorder=2)
    ax.plot([], [], color="#D55E00", label="paper")
    ax.scatter([], [], s=9, color="#56B4E9", label="fold of one seed")
    ax.set_xticks(range(len(order)), order)
    ax.set(ylabel="cross-validated $R^2$", title="M1, 25 genes (ridge: all 1000)")
    ax.tick_params(axis="x", labelsize=8)
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)


def _curves(ax: Any, runs: pd.DataFrame) -> None:
    colors = {"sbnn-2": "#0072B2", "sbnn-64": "#009E73"}
    for method, color in colors.items():
        for name, style in (("train_r2", ":"), ("test_r2", "-")):
            own = runs[(runs["metric"] == f"curve_{name}") & (runs["method"] == method) & (runs["setting"] == "paper")]
            if own.empty:
                continue
            wide = own.assign(epoch=own["fold"].astype(int)).groupby("epoch")["value"].mean()
            ax.plot(
                wide.index, wide, style, color=color, label=f"{method}, {'held-out' if style == '-' else 'training'}"
            )
    for epoch in (100.5, 150.5):
        ax.axvline(epoch, color="#D9D9D9", lw=1, zorder=0)
    ax.set(xlabel="epoch", ylabel="$R^2$", title="frozen, lasso, pruned to 25 genes", ylim=(0.15, 0.56))
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def latent(load: Callable[[], Any], folder: Path) -> None:
    """Draw the paper's Figure 5 for both sizes of the latent space, trained on all cells."""
    from scdash.tl._sbnn import sbnn
    from scdash.tl._sbnn_tsne import latent_tsne

    mdata = load()
    colors = dict(zip(mdata.obs["rna_type"].astype(str), mdata.obs["colour"].astype(str), strict=True))
    features = ["Max AP num", "AP width", "AHP", "R_input", "Rheobase", "Rebound", "Tau", "AP amp", "UDR"]
    for n_latent, name in ((2, "sbnn_latent.png"), (64, "sbnn_latent_64.png")):
        sbnn(mdata, n_latent=n_latent, test_fraction=0)
        if n_latent > 2:
            latent_tsne(mdata)
        figure: Any = draw_latent(mdata, "rna_type", palette=colors, features=features, return_fig=True)
        figure.savefig(folder / name, dpi=100)
