"""Screens of the benchmark, and how their networks are scored."""

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scdash._data.screen import Screen, parse_screen

DATA = Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILES = {
    "dag": "sergio_dag100/sergio_dag100.h5ad",
    "mid": "sergio_dag100/sergio_dag100_midresponse.h5ad",
    "yeast": "sergio_yeast400/sergio_yeast400.h5ad",
}
Row = dict[str, Any]


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under precision-recall without self edges (all true edges here activate, so a signed score ranks them)."""
    from sklearn.metrics import average_precision_score

    off = ~np.eye(len(truth), dtype=bool)
    return float(average_precision_score(truth[off] != 0, score[off]))


def sign_aware(score: np.ndarray, truth: np.ndarray) -> float:
    """The same ranked by |score|, where an edge of the wrong sign is a false positive."""
    off = ~np.eye(len(truth), dtype=bool)
    s, t = score[off], np.sign(truth[off])
    order = np.argsort(-np.abs(s), kind="stable")
    hit = (np.sign(s[order]) == t[order]) & (t[order] != 0)
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / np.count_nonzero(t))


Source = Callable[[], tuple[np.ndarray, Screen, np.ndarray]]  # log1p expression, the screen, the truth


@cache
def load(name: str) -> tuple[np.ndarray, Screen, np.ndarray]:
    """Return log1p expression, the screen and the truth (regulator, target)."""
    import anndata

    adata = anndata.read_h5ad(DATA / FILES[name])
    screen = parse_screen(adata.obs["perturbation"], adata.var_names)
    return np.log1p(np.asarray(adata.X)), screen, adata.varp["grn"].toarray()


@cache
def simulate(seed: int, half_response: Literal["mean", "mid"]) -> tuple[np.ndarray, Screen, np.ndarray]:
    """Return a freshly simulated screen like dag100."""
    from scdash.simulate._sergio import sergio

    adata = sergio(half_response=half_response, rng=seed)
    return (
        np.log1p(np.asarray(adata.X)),
        parse_screen(adata.obs["perturbation"], adata.var_names),
        adata.varp["truth"].toarray(),
    )


def noisy_prior(truth: np.ndarray, moved: float, seed: int) -> np.ndarray:
    """Return the true edges (regulator, target) with a share of them moved to other targets."""
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(truth)
    move = rng.random(len(source)) < moved
    target = np.where(move, rng.integers(0, len(truth), len(target)), target)
    prior = np.zeros(truth.shape)
    prior[source, target] = 1
    np.fill_diagonal(prior, 0)
    return prior


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, CPU seconds and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = run()
    return found, time.process_time() - cpu, time.perf_counter() - wall
