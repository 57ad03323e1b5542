"""The small data of `tests/glue`: pytest's import mode keeps neighbouring folders out of reach of an ordinary import."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

import scdash
from scdash.training.rollouts import GeneWise, Trajectories

_spec = spec_from_file_location("scdash_tests_glue_data", Path(__file__).parents[1] / "glue" / "data.py")
assert _spec is not None and _spec.loader is not None
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
PRIOR, cells_of, series_of, time_courses = (
    _module.PRIOR,
    _module.cells_of,
    _module.series_of,
    _module.time_courses,
)


def dependencies(adata, step=1e-2):
    """Return which derivatives change when a gene does, by finite differences at several states; source by target."""
    model = scdash.get.model(adata).double()  # weights may be tiny
    rng = np.random.default_rng(0)
    states = np.asarray(adata.uns["dynamics"]["series"]["states"], dtype=np.float64)
    found = np.zeros((adata.n_vars, adata.n_vars), dtype=bool)
    for state in states[rng.choice(len(states), 5)]:
        x = torch.as_tensor(state + rng.normal(0, 0.1, adata.n_vars))[None].double()
        with torch.no_grad():
            before = model(torch.tensor(0.0).double(), x)
            for gene in range(adata.n_vars):
                moved = x.clone()
                moved[0, gene] += step
                change = (model(torch.tensor(0.0).double(), moved) - before)[0].numpy()
                change[gene] = 0  # a gene decays by itself
                found[gene] |= np.abs(change) > 1e-15
    return found


def random_model(genes, seed=0, pairs=()):
    """Return a field with an edge between every two genes, and from some pairs of them."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(genes, genes + len(pairs)))
    np.fill_diagonal(weights, 0)
    return GeneWise.of(weights, rng.random(genes), np.ones(genes), np.array(pairs).reshape(-1, 2))


def random_trajectories(genes):
    """Return three trajectories of six random states."""
    rng = np.random.default_rng(0)
    return Trajectories.of(list(rng.random((3, 6, genes))), [np.arange(6.0)] * 3)
