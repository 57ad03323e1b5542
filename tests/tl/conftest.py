"""A small time course and small fits of it, shared by the tests of `tl` and `get`."""

import pytest

import scdash

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


@pytest.fixture(scope="session")
def course():
    return scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=24, n_test=4, noise=0.02, prior_moved=0.2, rng=3)


@pytest.fixture(scope="session")
def fitted(course):
    """The default: matching, polished if that helps."""
    adata = course.copy()
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=3), **HOW)
    return adata


@pytest.fixture(scope="session")
def modules(course):
    """The paper's encoder, three models with parts of the prior hidden."""
    adata = course.copy()
    scdash.tl.fit_dynamics(
        adata,
        prior=adata.uns["prior"],
        start="random",
        n_models=3,
        model=scdash.models.Phoenix(encoder="modules", n_hidden=5),
        sparsity=scdash.sparsity.DASH(scale="paper"),
        training=scdash.Training(max_epochs=6),
        **HOW,
    )
    return adata
