"""Velocity: a model of half of the pancreas cells, judged by scVelo's velocity of the other half."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.direction import data
from benchmarks.direction.row import OURS, Row

NAME = "pancreas"
WITHOUT = f"{OURS}, without velocity"
STAGES = (("Ductal",), ("Ngn3 low EP", "Ngn3 high EP"), ("Pre-endocrine",), ("Alpha", "Beta", "Delta", "Epsilon"))
FIGURES = ("trajectory_r2", "trajectory_r2_other_half", "edges", "velocity_weight", "velocity_agreement")
# of the model's velocity with that of cells that were left out; genes have units of time of their own, see `agreement`
MEASURES = ("cosine, units of scVelo", "cosine, every gene by its own size", "mean correlation of a gene over cells")


def pancreas(seed: int) -> Iterator[Row]:
    """Yield the agreement with velocities of cells left out, and the order of clusters in the model's own flow."""
    import scdash

    adata = data.pancreas()
    held = np.random.default_rng(seed).random(adata.n_obs) < 0.5
    seen, other = adata[~held].copy(), adata[held].copy()
    states, velocity, known = judged_velocity(other)
    for way, given in ((OURS, {"velocity": ("spliced", "unspliced")}), (WITHOUT, {})):
        began = time.process_time()
        scdash.tl.fit_dynamics(seen, rng=seed, progress=False, validation=scdash.Validation(null_models=False), **given)
        yield Row(NAME, "CPU seconds", way, seed, time.process_time() - began)
        made = velocity_at(seen, states)
        columns = np.flatnonzero(seen.var["dynamics_genes"].to_numpy())
        yield from agreement(way, made[:, known[columns]], velocity[:, columns][:, known[columns]], seed)
        yield Row(NAME, "pairs of stages in order", way, seed, stages_in_order(seen, other))
        for name in FIGURES:
            if name in seen.uns["dynamics"]["metrics"]:
                yield Row(NAME, name, way, seed, float(seen.uns["dynamics"]["metrics"][name]))
    _, learned, also = judged_velocity(seen)
    both = known & also
    mean = np.tile(learned[:, both].mean(axis=0), (len(velocity), 1))
    yield from agreement("mean velocity of the other cells", mean, velocity[:, both], seed)


def velocity_at(adata: Any, states: Any) -> Any:
    """Return the fitted model's dx/dt at states over all genes, (cells, modelled genes)."""
    import torch

    import scdash

    columns = np.flatnonzero(adata.var["dynamics_genes"].to_numpy())
    with torch.no_grad():
        x = torch.as_tensor(states[:, columns], dtype=torch.float32)
        return scdash.get.model(adata)(0.0, x).numpy().astype(np.float64)


def agreement(predictor: str, made: Any, seen: Any, seed: int) -> Iterator[Row]:
    """Yield every measure of agreement of two velocities, (cells, genes)."""
    own, other = (np.maximum(np.sqrt((part**2).mean(axis=0)), 1e-12) for part in (made, seen))
    centred = [part - part.mean(axis=0) for part in (made, seen)]
    size = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    correlation = (centred[0] * centred[1]).sum(axis=0) / np.maximum(size, 1e-12)
    found = (cosine(made, seen), cosine(made / own, seen / other), float(correlation.mean()))
    for measure, value in zip(MEASURES, found, strict=True):
        yield Row(NAME, f"held-out velocity: {measure}", predictor, seed, value)


def cosine(made: Any, seen: Any) -> float:
    """Return the mean over cells of the cosine of two velocities."""
    sizes = np.linalg.norm(made, axis=1) * np.linalg.norm(seen, axis=1)
    return float(np.mean((made * seen).sum(axis=1) / np.maximum(sizes, 1e-300)))


def stages_in_order(adata: Any, other: Any) -> float:
    """Return the fraction of pairs of stages that the model's trajectory comes to in their order; a stage it misses is none.

    The trajectory starts at the first fitted state; a state is of the stage whose mean (of cells left out) is nearest.
    """
    import scdash

    path = scdash.tl.predict(adata, times=np.linspace(0.25, 9.75, 96)).to_df()
    means = []
    for labels in STAGES:
        own = other[other.obs["clusters"].isin(labels).to_numpy(), list(path.columns)]
        means.append(np.asarray(own.X.mean(axis=0)).ravel())
    stage = ((path.to_numpy()[:, None] - np.stack(means)[None]) ** 2).sum(axis=2).argmin(axis=1)
    first = [int(np.argmax(stage == k)) if (stage == k).any() else None for k in range(len(STAGES))]
    pairs = [(first[i], first[j]) for i in range(len(STAGES)) for j in range(i + 1, len(STAGES))]
    return float(np.mean([a is not None and b is not None and a < b for a, b in pairs]))


def judged_velocity(adata: Any) -> tuple[Any, Any, Any]:
    """Return states, velocities dx/dt of x = log(1 + s), and the genes that have one, of cells on their own, by scVelo.

    States are means over the neighbours that scVelo's moments are made of.
    """
    import anndata as ad
    import scanpy as sc
    import scvelo as scv

    scv.settings.verbosity = 0
    cells = ad.AnnData(adata.X.copy(), var=adata.var[[]].copy())
    for name in ("spliced", "unspliced"):
        cells.layers[name] = adata.layers[name].astype(np.float32)
        sc.pp.normalize_total(cells, layer=name, target_sum=1e4)
    sc.pp.pca(cells, n_comps=30)
    sc.pp.neighbors(cells, n_neighbors=30)
    scv.pp.moments(cells, n_pcs=None, n_neighbors=None)
    scv.tl.velocity(cells, mode="deterministic")
    velocity = cells.layers["velocity"] / (1 + cells.layers["Ms"])
    near = cells.obsp["connectivities"].astype(bool).astype(np.float64) + np.eye(cells.n_obs)
    states = np.asarray(near / near.sum(axis=1)) @ cells.X.toarray()
    known = cells.var["velocity_genes"].to_numpy(dtype=bool) & adata.var["highly_variable"].to_numpy(dtype=bool)
    return states, velocity, known
