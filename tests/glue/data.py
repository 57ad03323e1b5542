"""Small data for tests of who is held out, what null models are given, and what is printed and stored."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

import scdash
from scdash._data import TimeSeries

GENES = 12
PRIOR = pd.DataFrame({"source": ["g0", "g1", "g2", "g3"] * 2, "target": [f"g{i}" for i in range(4, 12)]})
COURSE = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


def cells_of(batches: int, *, each: int = 160, seed: int = 0) -> AnnData:
    """Return cells along one path, in some batches; genes are mixtures of smooth curves of time."""
    rng = np.random.default_rng(seed)
    time = np.concatenate([np.sort(rng.random(each)) for _ in range(batches)])
    curves = np.column_stack([np.sin((k + 1) * np.pi * time) for k in range(6)])
    values = 2 + curves @ rng.normal(size=(6, GENES)) + 0.3 * rng.normal(size=(len(time), GENES))
    adata = AnnData(
        np.maximum(values, 0).astype(np.float32),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(len(time))]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(GENES)]),
    )
    adata.obs["time"] = time
    adata.obs["batch"] = np.repeat([f"b{i}" for i in range(batches)], each)
    adata.var["is_tf"] = np.arange(GENES) < 4
    return adata


def screen_of(
    cells: int, *, strength: float, shift: float = 2.0, noise: float = 1.0, genes: int = 16, seed: int = 0
) -> AnnData:
    """Return a screen of a ring of genes: each is perturbed once and passes `strength` of its change on to the next."""
    rng = np.random.default_rng(seed)
    names = [f"g{i}" for i in range(genes)]
    effects = np.zeros((genes, genes))
    for i in range(genes):
        effects[i, (i + 1) % genes] = strength * (1 if i % 2 else -1)
    labels = np.repeat(["control", *names], cells)
    values = rng.normal(6, noise, size=(len(labels), genes))
    for i, name in enumerate(names):
        change = np.zeros(genes)
        for _ in range(4):
            change = np.where(np.arange(genes) == i, shift, change @ effects)
        values[labels == name] += change
    obs = pd.DataFrame({"perturbation": labels}, index=[str(i) for i in range(len(labels))])
    return AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=names))


def time_courses(**options: Any) -> AnnData:
    """Return simulated trajectories of 12 genes with a known network."""
    settings: dict[str, Any] = {"n_genes": 12, "n_trajectories": 16, "n_test": 4, "rng": 0}
    return scdash.simulate.grn_dynamics(**settings | options)


def series_of(states: Any, split: Any, *, names: Any = None) -> TimeSeries:
    """Return states (trajectories, times, genes) at times 0, 1, ... as a series; `split` (trajectories, times)."""
    states = np.asarray(states, dtype=float)
    count, length, genes = states.shape
    return TimeSeries(
        states.reshape(-1, genes),
        np.tile(np.arange(float(length)), count),
        np.repeat(np.arange(count), length),
        tuple(names or [f"t{k}" for k in range(count)]),
        np.asarray(split, dtype=np.int8).ravel(),
        pd.Index([f"g{i}" for i in range(genes)]),
    )
