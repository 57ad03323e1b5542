"""Myoblasts for `benchmarks.hsmm`: the bins, the held-out cells, the priors, and errors on the held-out bins.

The protocol of the trial behind the wanted figures. 228 cells in the order of pseudotime are cut into 25 bins of equal
size (9 or 10 cells; ranks within a bin set the place in it). Bins 4, 9, 14 and 19 are held out with all their cells,
before smoothing and scaling. Models are trained on 8 bootstraps of the other cells, smoothed with a Gaussian kernel, and
the best epoch is that with the best rollout of the smoothed mean of the SAME cells: no held-out cell is used for it.
Errors are judged against plain means of held-out cells (disjoint bins), in squared units of each gene's range over the
plain means of the training bins, at least .5; models start from the smoothed bin before, or from bin 0.

The kernel's width was not written down. Constant (79.9) does not depend on it; 1.15 bins give no change 68 and the
mean of both smoothed neighbours 55, where the trial had 70 and 55. No model was looked at for this.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HERE = Path(__file__).parent
BINS, HELD_OUT, HORIZON, BANDWIDTH, BOOTSTRAPS = 25, (4, 9, 14, 19), 10.0, 1.15, 8
KEPT = tuple(b for b in range(BINS) if b not in HELD_OUT)


def reference() -> Path:
    """Return the folder of reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[1] / "shared" / "data"))


def cells() -> Any:
    """Return all cells with their bin of equal size and their position in [0, 1]."""
    import scdash

    adata = scdash.datasets.hsmm()
    bins, position = np.empty(adata.n_obs, dtype=int), np.empty(adata.n_obs)
    order = np.argsort(adata.obs["pseudotime"].to_numpy(), kind="stable")
    for number, rows in enumerate(np.array_split(order, BINS)):
        bins[rows] = number
        position[rows] = (number + (np.arange(len(rows)) + 0.5) / len(rows)) / BINS
    adata.obs["bin"], adata.obs["position"] = bins, position
    return adata


def training_bins(adata: Any) -> Any:
    """Smooth the training cells: 8 bootstraps to train on, their mean curve to choose the epoch by."""
    import scdash

    train = adata[~adata.obs["bin"].isin(HELD_OUT)].copy()
    train.obs["split"] = "train"
    bins = scdash.pp.trajectories(
        train, time_key="position", align="none", split_key="split", n_bins=BINS, bandwidth=BANDWIDTH,
        n_bootstrap=BOOTSTRAPS, horizon=HORIZON, rng=0,
    )  # fmt: skip
    bins.obs["split"] = pd.Categorical(np.where(bins.obs["bootstrap"] == 0, "validation", "train"))
    return bins


def plain_means(adata: Any) -> NDArray[np.float64]:
    """Return means of the cells of each bin, (bins, genes): bins that share no cell."""
    return np.asarray(pd.DataFrame(adata.X.toarray()).groupby(adata.obs["bin"].to_numpy()).mean())


def collectri(adata: Any) -> pd.DataFrame:
    """Return the edges of CollecTRI among the genes."""
    table = pd.read_csv(reference() / "priors" / "collectri_human.csv.gz", keep_default_na=False)
    among = table["source"].isin(adata.var_names) & table["target"].isin(adata.var_names)
    return table[among].reset_index(drop=True)


def predictions(bins: Any, held: Sequence[int] = HELD_OUT) -> dict[str, NDArray[np.float64]]:
    """Return the model's states at the held-out bins, (held-out bins, genes), from the bin before and from bin 0."""
    import torch

    import scdash
    from scdash.networks import rollout

    model, smooth = scdash.get.model(bins), np.asarray(bins[bins.obs["bootstrap"] == 0].X)

    def predict(first: int, last: int) -> NDArray[np.float64]:
        start = torch.as_tensor(smooth[first : first + 1], dtype=torch.float32)
        times = torch.tensor([0.0, (last - first) * HORIZON / BINS])
        return np.asarray(rollout(model, start, times)[-1, 0].numpy())

    return {
        "next": np.stack([predict(b - 1, b) for b in held]),
        "from 0": np.stack([predict(0, b) for b in held]),
    }


def error(
    guess: NDArray[np.float64],
    means: NDArray[np.float64],
    *,
    held: Sequence[int] = HELD_OUT,
    kept: Sequence[int] = KEPT,
) -> float:
    """Return the mean squared error of states at the held-out bins, in units of the genes' ranges over those kept."""
    width = np.maximum(np.ptp(means[list(kept)], axis=0), 0.5)
    return float((((guess - means[list(held)]) / width) ** 2).mean())


def trivial_errors(bins: Any, means: NDArray[np.float64]) -> dict[str, float]:
    """Return the errors of predictors without a model."""
    smooth, held = np.asarray(bins[bins.obs["bootstrap"] == 0].X), np.array(HELD_OUT)
    constant = np.broadcast_to(means[list(KEPT)].mean(0), (len(held), means.shape[1]))
    return {
        "constant": error(constant, means),
        "no change": error(smooth[held - 1], means),
        "no change, from the plain mean of the bin before": error(means[held - 1], means),
        "mean of both neighbours (sees the next bin)": error((smooth[held - 1] + smooth[held + 1]) / 2, means),
        "smoothed training cells around the bin": error(smooth[held], means),
    }
