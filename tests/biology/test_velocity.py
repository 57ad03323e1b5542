"""`layers["dynamics_velocity"]` as it is, in CellRank and scVelo (extra `velocity`; skipped where absent)."""

import numpy as np
import pytest
import torch
from scipy.sparse import issparse

from scdash._core.keys import DynamicsKeys
from scdash.networks import module_from_entry, rollout
from scdash.networks.velocity_layer import over_all_genes, set_velocity

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def flowing(fitted):
    """Cells along trajectories of the model itself, so that its velocity must point to later cells."""
    model = module_from_entry(fitted.uns["dynamics"])
    rng = np.random.default_rng(0)
    start = torch.as_tensor(0.1 * rng.random((12, 24)) + 2.5 * (np.arange(24) < 12), dtype=torch.float32)
    times = torch.linspace(0, 3, 20)
    states = rollout(model, start, times).numpy()
    import anndata as ad
    import scanpy as sc

    x = np.zeros((240, fitted.n_vars), np.float32)
    x[:, :24] = states.reshape(-1, 24) + 0.01 * rng.normal(size=(240, 24))
    velocity = over_all_genes(model(0.0, torch.as_tensor(x[:, :24])).detach().numpy(), np.arange(24), fitted.n_vars)
    adata = ad.AnnData(x, var=fitted.var.copy(), uns=dict(fitted.uns))
    set_velocity(adata, DynamicsKeys(), velocity, np.arange(24))  # sparse: six genes have no model
    assert issparse(adata.layers["dynamics_velocity"])
    adata.obs["time"] = np.repeat(times.numpy(), 12)
    sc.pp.pca(adata, n_comps=10)
    sc.pp.neighbors(adata, n_neighbors=15)
    return adata


def mean_step(transitions, time):
    """Mean time that cells in the middle of their path gain in one step."""
    middle = (time > 0.2 * time.max()) & (time < 0.8 * time.max())
    return float(np.mean((np.asarray(transitions @ time).ravel() - time)[middle]))


def test_cellrank_takes_the_layer(flowing):
    kernels = pytest.importorskip("cellrank.kernels")
    try:
        np.testing.assert_array_equal(x=1, y=1)  # as CellRank 2.0 calls it, which NumPy 2.3 ended
    except TypeError:
        pytest.skip(f"this CellRank does not run on NumPy {np.__version__}: install scdash[velocity]")
    kernel = kernels.VelocityKernel(flowing, attr="layers", xkey="X", vkey="dynamics_velocity")
    kernel.compute_transition_matrix(show_progress_bar=False)
    time = flowing.obs["time"].to_numpy()
    forward = mean_step(kernel.transition_matrix, time)
    flowing.layers["dynamics_velocity"] = -flowing.layers["dynamics_velocity"]
    reversed_kernel = kernels.VelocityKernel(flowing, attr="layers", xkey="X", vkey="dynamics_velocity")
    reversed_kernel.compute_transition_matrix(show_progress_bar=False)
    backward = mean_step(reversed_kernel.transition_matrix, time)
    assert forward > 0.05 > -0.05 > backward  # a third of the time between two rows of cells; from the layer alone


def test_scvelo_takes_the_layer(flowing):
    scvelo = pytest.importorskip("scvelo")
    flowing.layers["expression"] = flowing.X
    scvelo.tl.velocity_graph(flowing, vkey="dynamics_velocity", xkey="expression", n_jobs=1, show_progress_bar=False)
    time = flowing.obs["time"].to_numpy()
    transitions = scvelo.utils.get_transition_matrix(flowing, vkey="dynamics_velocity")
    assert mean_step(transitions, time) > 0.05
