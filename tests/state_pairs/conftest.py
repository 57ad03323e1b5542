"""A small simulated problem, as `tl` reads it."""

import pytest

import scdash


@pytest.fixture(scope="session")
def simulated_problem():
    from scdash.dynamics.inputs import read_inputs

    def read(n_trajectories, n_test):
        adata = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=n_trajectories, n_test=n_test, rng=0)
        nothing = dict.fromkeys(("layer", "mask_var", "batch_key", "coregulation", "regulators"))
        keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
        prior = adata.uns["prior"]
        return read_inputs(adata, **nothing, **keys, observations="auto", prior=prior, n_bins=None, seed=0).problem

    return read
