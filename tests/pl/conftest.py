"""An AnnData with exactly the slots a fit writes, small and seeded; figures that no test closed are an error."""

from collections.abc import Iterator
from typing import Any

import anndata as ad
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

N_GENES, N_CELLS, N_HIDDEN, N_BINS = 24, 80, 5, 10
GENES = [f"TF{i}" for i in range(6)] + [f"GENE{i}" for i in range(18)]


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Every test starts and ends without open figures."""
    plt.close("all")
    yield
    plt.close("all")


def make_adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    position = np.sort(rng.uniform(0, 10, N_CELLS))
    curve = np.sin(np.linspace(0, 3, N_GENES) + position[:, None] / 4) + 2
    adata = ad.AnnData(
        sparse.csr_matrix((curve + rng.normal(0, 0.1, curve.shape)).astype(np.float32)),
        obs=pd.DataFrame(
            {
                "dpt_pseudotime": position / 10,
                "dynamics_position": position,
                "stage": pd.Categorical(np.where(position < 5, "early", "late")),
                "batch": pd.Categorical(rng.choice(["a", "b", "c"], N_CELLS)),
            },
            index=[f"cell{i}" for i in range(N_CELLS)],
        ),
        var=pd.DataFrame(index=GENES),
    )
    adata.obsm["X_umap"] = np.column_stack([position, np.sin(position / 3)]) + rng.normal(0, 0.05, (N_CELLS, 2))
    adata.obsm["X_pca"] = np.asarray(adata.X @ rng.normal(size=(N_GENES, 5)))
    adata.uns["stage_colors"] = np.array(["#112233", "#aabbcc"])
    adata.layers["dynamics_velocity"] = (np.cos(np.linspace(0, 3, N_GENES) + position[:, None] / 4) / 4).astype("f4")
    adata.var["dynamics_genes"] = True
    edges = make_edges(rng)
    at = pd.Series(range(N_GENES), index=GENES)
    adata.varp["dynamics_grn"] = sparse.csr_matrix(
        (edges["weight"].astype(np.float32), (at[edges["source"]], at[edges["target"]])), shape=(N_GENES, N_GENES)
    )
    truth = edges.iloc[::2][["source", "target"]].assign(weight=np.sign(edges["weight"].iloc[::2]))
    adata.uns["truth"], adata.uns["prior"] = truth.reset_index(drop=True), truth.iloc[3:].reset_index(drop=True)
    adata.uns["dynamics"] = make_fit(rng, edges)
    return adata


def make_edges(rng: np.random.Generator) -> pd.DataFrame:
    pairs = rng.permutation([(i, j) for i in range(6) for j in range(N_GENES) if i != j])[:45]
    edges = pd.DataFrame({"source": np.array(GENES)[pairs[:, 0]], "target": np.array(GENES)[pairs[:, 1]]})
    edges["weight"] = rng.normal(size=len(edges))
    edges["contribution"] = edges["weight"].abs() / edges.groupby("target")["weight"].transform(lambda w: w.abs().sum())
    edges["in_prior"] = np.arange(len(edges)) % 3 > 0
    edges["selection_frequency"] = rng.random(len(edges))
    edges["score"] = edges["in_prior"] + edges["contribution"]
    return edges.sort_values("score", ascending=False, ignore_index=True)


def make_fit(rng: np.random.Generator, edges: pd.DataFrame) -> dict[str, Any]:
    shapes = {
        "W_sums": (N_HIDDEN, N_GENES), "W_prods": (N_HIDDEN, N_GENES),
        "U_sums": (N_GENES, N_HIDDEN), "U_prods": (N_GENES, N_HIDDEN),
    }  # fmt: skip
    masks = {name: sparse.csr_matrix(rng.random(shape) < 0.2) for name, shape in shapes.items()}
    weights: dict[str, Any] = {name: sparse.csr_matrix(mask * 0.5) for name, mask in masks.items()}
    weights |= {"b_sums": np.zeros(N_HIDDEN), "b_prods": np.zeros(N_HIDDEN), "v": np.ones(N_GENES)}
    epoch = np.arange(30)
    history = pd.concat(
        [
            pd.DataFrame(
                {
                    "epoch": epoch,
                    "train_loss": 0.02 * np.exp(-epoch / 10) * (1 + model / 10) + 1e-3,
                    "validation_loss": 0.02 * np.exp(-epoch / 9) * (1 + model / 10) + 2e-3,
                    "sparsity": 1 - np.where(epoch < 3, 1.0, 0.3 * 0.9 ** (epoch // 10)),
                    "learning_rate": 1e-3,
                    "pruned": np.isin(epoch, [3, 10, 20]),
                    "model": model,
                }
            )
            for model in (0, 1)
        ],
        ignore_index=True,
    )
    time = np.arange(N_BINS) + 0.5
    split = np.array(["train"] * N_BINS, dtype=object)
    split[[3]], split[[6, 7]] = "validation", "test"
    states = np.sin(np.linspace(0, 3, N_GENES) + time[:, None] / 4) + 2
    return {
        "params": {"model": "phoenix", "layer": None, "time_key": "dpt_pseudotime", "cells": True},
        "genes": np.array(GENES),
        "weights": weights,
        "masks": masks,
        "history": history,
        "metrics": {
            "train_mse": 1e-3, "test_mse": 2e-3, "constant_mse": 5.2e-3, "no_change_mse": 0.011,
            "validation_loss_constant": 6e-3, "validation_loss_no_change": 0.012, "validation_loss_matched_start": 4e-3,
        },
        "prior": {"used": 10},
        "edges": edges,
        "series": {
            "time": time, "trajectory": np.array(["all"] * N_BINS), "split": split.astype(str),
            "n_cells": np.linspace(5, 12, N_BINS), "states": states, "fitted": states * 0.98,
            "cell_time": "dpt_pseudotime",
        },
    }  # fmt: skip


@pytest.fixture
def adata() -> ad.AnnData:
    """A fitted AnnData."""
    return make_adata()


@pytest.fixture
def lambda_table() -> pd.DataFrame:
    """What tl.sparsity_path returns, three repeats of each lambda."""
    lam = np.repeat([0.0, 1e-3, 1e-2, 1e-1], 3)
    wobble = np.tile([0.9, 1.0, 1.1], 4)
    return pd.DataFrame(
        {
            "lambda": lam,
            "train_loss": (0.01 + lam) * wobble,
            "validation_loss": (0.012 + lam) * wobble,
            "weight_sparsity": np.repeat([0.0, 0.3, 0.6, 0.9], 3),
            "feature_sparsity": np.repeat([0.0, 0.1, 0.2, 0.5], 3),
        }
    )


@pytest.fixture
def grid_table() -> pd.DataFrame:
    """What tl.cross_validate returns."""
    grid = [(l1, l2) for l1 in (0.0, 0.05, 0.5) for l2 in (0.0, 0.95)]
    table = pd.DataFrame(grid, columns=["l1", "l2"])
    return table.assign(mean=[3e-3, 4e-3, 2e-3, 1.5e-3, 5e-3, 6e-3], se=1e-4, chosen=[False] * 3 + [True] + [False] * 2)


@pytest.fixture
def benchmark_table() -> pd.DataFrame:
    """A tidy table of results beside the paper's."""
    rows = [
        ("DASH", "balanced accuracy", 90.1, 0.5, "ours"),
        ("DASH", "balanced accuracy", 90.7, 0.4, "paper"),
        ("IMP", "balanced accuracy", 70.9, 1.5, "paper"),
        ("prior alone", "balanced accuracy", 97.1, np.nan, "baseline"),
        ("DASH", "test MSE", 2.5e-3, 1e-4, "ours"),
        ("IMP", "test MSE", 3.6e-3, 6e-4, "paper"),
    ]
    return pd.DataFrame(rows, columns=["method", "metric", "value", "spread", "source"])
