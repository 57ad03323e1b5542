"""The yeast cell cycle of the PHOENIX paper, judged by ChIP-chip: `python -m benchmarks.yeast [--rows yeast500 yeast3551]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes results/yeast/runs.csv (every run),
summary.csv and yeast.png.

Two replicate courses of 24 states and the paper's motif prior go into `fit_dynamics` with default arguments; every pair that
`get.grn(candidates=True)` does not list has the score 0. Truth is read last. "TF rows" are the pairs whose source ChIP was made
of; over all ordered pairs an area mostly says that transcription factors are named, see the baseline that knows nothing else.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._rows import OURS, PUBLISHED, Row, bars, main, reference

SOURCE = "Hossain et al. 2024, released ROC files"
ROC = {0.95: 0.934, 0.8: 0.910, 0.2: 0.793, 0: 0.537}
AUC, AUC_ROWS, AUPRC, CPU = "AUC, all pairs", "AUC, TF rows", "AUPRC, TF rows", "CPU seconds"
PRIOR, NAMED, PEARSON = "prior alone", "prior, then its other pairs by chance", "|Pearson|"
ORDERED, RANDOM = "prior ordered by |Pearson|", "chance"
COLORS = {OURS: "#0072B2", NAMED: "#E69F00", PRIOR: "#999999", ORDERED: "#56B4E9", PEARSON: "#CCCCCC"}


def yeast(n_genes: int, seed: int) -> Iterator[Row]:
    """Yield the figures of the default fit and of the baselines."""
    import scdash

    adata = scdash.datasets.yeast_cell_cycle(n_genes=n_genes, folder=reference())
    name, prior = f"{n_genes} genes", matrix(adata.uns["prior"], adata.var_names)
    began = time.process_time()
    keys = {"time_key": "minutes", "trajectory_key": "replicate"}
    adata.var["every"] = True  # 3,551 genes are more than are modelled unasked
    scdash.tl.fit_dynamics(adata, adata.uns["prior"], mask_var="every", rng=seed, progress=False, **keys)
    yield Row(name, CPU, OURS, seed, time.process_time() - began)
    metrics = adata.uns["dynamics"]["prior"]
    yield Row(name, "AUC of hidden prior edges: regression", OURS, seed, metrics["evidence_auc"])
    yield Row(name, "AUC of hidden prior edges: co-regulation", OURS, seed, metrics["coregulation_auc"])
    pearson = np.abs(np.corrcoef(np.asarray(adata.X, dtype=np.float64).T))
    noise = np.random.default_rng(seed).random(prior.shape)
    regulates = (prior != 0).any(axis=1, keepdims=True)
    scores = {
        OURS: matrix(scdash.get.grn(adata, candidates=True), adata.var_names, "score"),
        PRIOR: prior,
        NAMED: prior + 0.5 * noise * regulates,
        ORDERED: prior * (1 + pearson),
        PEARSON: pearson,
        RANDOM: noise,
    }
    truth = matrix(adata.uns["truth"].assign(weight=1.0), adata.var_names) != 0
    for predictor, score in scores.items():
        for measure, value in judged(score, truth).items():
            yield Row(name, measure, predictor, seed, value)


def matrix(edges: pd.DataFrame, genes: Any, column: str = "weight") -> Any:
    """Return a column of edges as (source, target)."""
    found = np.zeros((len(genes), len(genes)), dtype=np.float32)
    at = [genes.get_indexer(edges[end].astype(str)) for end in ("source", "target")]
    found[at[0], at[1]] = edges[column]
    return found


def judged(score: Any, truth: Any) -> dict[str, float]:
    """Return areas over all ordered pairs (with a gene and itself, as published) and over rows of factors with ChIP."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = truth.any(axis=1)
    return {
        AUC: float(roc_auc_score(truth.ravel(), score.ravel())),
        AUC_ROWS: float(roc_auc_score(truth[rows].ravel(), score[rows].ravel())),
        AUPRC: float(average_precision_score(truth[rows].ravel(), score[rows].ravel())),
    }


def published() -> Iterator[Row]:
    """Yield what the paper's files say."""
    for weight, area in ROC.items():
        yield Row("3551 genes", AUC, f"PHOENIX, prior weight {weight} ({SOURCE})", PUBLISHED, area)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw the areas, with the published one."""
    shown = f"PHOENIX, prior weight 0.95 ({SOURCE})"
    runs = runs.replace({"predictor": {shown: "PHOENIX, published"}})
    labels = {
        AUC: "area under ROC,\nall ordered pairs",
        AUC_ROWS: "area under ROC,\npairs of 63 (6) TFs",
        AUPRC: "AUPRC, pairs of 63 (6) TFs",
    }
    bars(runs, path, labels, {**COLORS, "PHOENIX, published": "#D55E00"})


if __name__ == "__main__":
    sizes = {"yeast500": lambda seed: yeast(500, seed), "yeast3551": lambda seed: yeast(3551, seed)}
    main("yeast", __doc__, sizes, published(), draw, seeds=2)
