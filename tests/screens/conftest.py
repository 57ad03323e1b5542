"""A small simulated screen, fitted once."""

import numpy as np
import pytest

import scdash
from scdash.simulate._sergio import sergio
from scdash.tl import fit_perturbode


@pytest.fixture(scope="session")
def small():
    """20 genes, 20 single perturbations of 30 cells, log1p, with the true network."""
    adata = sergio(
        genes=20, n_edges=30, n_perturbations=20, n_targets=1, cells_per_perturbation=30, half_response="mid", rng=2
    )
    adata.X = np.log1p(adata.X)
    return adata


@pytest.fixture(scope="session")
def matched(small):
    """An equilibrium fit of it."""
    return fit_perturbode(small, copy=True)


@pytest.fixture(scope="session")
def carried(small):
    """A short transport fit of it."""
    return fit_perturbode(
        small,
        copy=True,
        model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=60, n_modules=8, check_every=20)),
    )
