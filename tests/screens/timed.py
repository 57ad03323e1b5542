"""Screens sampled at several times, made from known responses."""

import anndata
import numpy as np
import pandas as pd


def timed_screen(
    *,
    perturbed=10,
    genes=24,
    times=(2.0, 3.0, 4.0, 5.0),
    rate=0.5,
    onset=1.0,
    cells=40,
    noise=0.3,
    shift=0.5,
    seed=0,
):
    """Return cells of knockouts of the first genes and of the control; `varm["response"]` holds the responses.

    Each knockout moves its targets by a response that has come to 1 - exp(-rate (t - onset)); an infinite rate gives the same
    response at all times. Genes move by `shift` (SD) from time to time in all cells alike. Knocked-out genes are at 0 at once.
    """
    rng = np.random.default_rng(seed)
    names = [f"G{i:02d}" for i in range(genes)]
    weights = np.zeros((perturbed, genes))
    for source in range(perturbed):
        others = rng.choice(np.arange(perturbed, genes), 5, replace=False)
        weights[source, others] = rng.choice([-1, 1], 5) * rng.uniform(0.5, 1.2, 5)
    level = np.full(genes, 3.0)
    moved = rng.normal(0, shift, (len(times), genes))
    moved[0] = 0
    moved[:, :perturbed] = 0
    blocks, labels, days = [], [], []
    for number, time in enumerate(times):
        part = 1.0 if np.isinf(rate) else 1 - np.exp(-rate * max(time - onset, 0.0))
        for p in range(-1, perturbed):
            state = level + moved[number] + (part * weights[p] if p >= 0 else 0)
            block = state + rng.normal(0, noise, (cells, genes))
            if p >= 0:
                block[:, p] = 0
            blocks.append(np.maximum(block, 0))
            labels += ["control" if p < 0 else names[p]] * cells
            days += [time] * cells
    obs = pd.DataFrame({"perturbation": labels, "day": days}, index=[f"c{i}" for i in range(len(labels))])
    adata = anndata.AnnData(np.concatenate(blocks), obs=obs, var=pd.DataFrame(index=names))
    adata.varm["response"] = weights.T
    return adata
