"""A time course to fit, the same for all suites."""

import pytest

import scdash


@pytest.fixture(scope="package")
def _course():
    return scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=16, n_test=3, noise=0.02, rng=3)


@pytest.fixture
def course(_course):
    return _course.copy()


@pytest.fixture(scope="package")
def fitted(_course):
    return scdash.tl.fit_dynamics(_course, prior=_course.uns["prior"], copy=True, time_key="time", trajectory_key="trajectory", split_key="split", progress=False, training=scdash.Training(max_epochs=0))  # fmt: skip
