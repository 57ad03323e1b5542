"""Small data on which a fit takes a fraction of a second."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash

KEYS = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}


@pytest.fixture(scope="session")
def course():
    """A time course of 10 genes whose prior has signs and names four targets alone."""
    adata = scdash.simulate.grn_dynamics(n_genes=10, n_trajectories=10, n_test=2, noise=0.02, prior_moved=0.2, rng=3)
    prior = adata.uns["prior"].copy()
    few = sorted(set(prior["target"]))[:4]
    adata.uns["prior"] = prior[prior["target"].isin(few)].assign(
        weight=lambda t: np.where(np.arange(len(t)) % 2, -1.0, 2.0)
    )
    return adata


@pytest.fixture(scope="session")
def pairs(course):
    """Pairs of genes that act together."""
    names = course.var_names
    return pd.DataFrame({"source": names[:4], "target": names[4:8], "weight": [1.0, 2.0, 1.0, 3.0]})


@pytest.fixture(scope="session")
def cells():
    """Cells of four batches along one line."""
    rng = np.random.default_rng(1)
    place = rng.random(320)
    values = np.exp(-((place[:, None] - np.linspace(0, 1, 6)) ** 2) / 0.1) * 3 + rng.random((320, 6)) * 0.2
    adata = sc.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(320)], [f"g{i:02d}" for i in range(6)]
    adata.obs["dpt_pseudotime"], adata.obs["batch"] = place, np.resize(list("abcd"), 320)
    return adata


@pytest.fixture(scope="session")
def screen():
    """Eight single perturbations and a double one of ten genes."""
    adata = scdash.simulate.sergio(
        genes=10,
        n_edges=14,
        perturbations=[*(f"G{i:03d}" for i in range(8)), "G001+G002"],
        cells_per_perturbation=25,
        rng=2,
    )
    sc.pp.log1p(adata)
    few = np.flatnonzero(adata.obs["perturbation"] == "G005")[:5]
    return adata[~np.isin(np.arange(adata.n_obs), few)].copy()
