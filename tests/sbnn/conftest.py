"""A small simulated MuData and a fit of a short schedule on it; torch loads with the first fixture that needs it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

import scdash
from scdash._data import writable

# a few seconds instead of minutes; rates are raised as epochs are cut
SHORT = {
    "training": scdash.BottleneckTraining(
        hidden=(24, 12), n_clusters=5, pretrain_epochs=4, frozen_epochs=4, unfrozen_epochs=8, tuning_epochs=8,
        autoencoder_epochs=4, pretrain_rate=1e-3, frozen_rate=1e-3, unfrozen_rate=2e-3, tuning_rate=1e-3,
        autoencoder_rate=1e-3,
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """No progress bars; figures closed."""
    before = scdash.settings.verbosity
    scdash.settings.verbosity = 1
    yield
    scdash.settings.verbosity = before
    plt.close("all")


def make(**options: Any) -> Any:
    """Return simulated, normalised modalities."""
    mdata = scdash.simulate.paired(**{"n_cells": 120, "n_genes": 30, "n_features": 5, "n_informative": 4, **options})
    scdash.pp.normalize_paired(mdata)
    return mdata


@pytest.fixture(scope="session")
def _fitted() -> Any:
    mdata = make()
    mdata["rna"].var["listed"] = [i % 2 == 0 for i in range(30)]
    scdash.tl.sbnn(mdata, n_features=4, progress=False, **SHORT)
    scdash.tl.srrr(mdata, n_features=4)
    scdash.tl.cross_validate_sbnn(mdata, n_features=4, folds=3, progress=False, **SHORT)
    scdash.tl.stability(mdata, n_features=4, n_repeats=3, progress=False, **SHORT)
    return mdata


@pytest.fixture
def fitted(_fitted: Any) -> Any:
    """A copy of a MuData with every result in it."""
    return writable(_fitted, copy=True)


@pytest.fixture
def mdata() -> Any:
    """A fresh MuData without results."""
    return make()


@pytest.fixture(scope="session")
def simulated() -> Callable[..., Any]:
    """Maker of simulated MuData."""
    return make


@pytest.fixture(scope="session")
def short() -> dict[str, Any]:
    """The short schedule."""
    return dict(SHORT)


@pytest.fixture(scope="session")
def api() -> SimpleNamespace:
    """The functions under test by short names."""
    from scdash import datasets, get, pl, pp, simulate, tl

    return SimpleNamespace(
        sbnn=tl.sbnn,
        srrr=tl.srrr,
        cross_validate=tl.cross_validate_sbnn,
        stability=tl.stability,
        predict=tl.predict,
        tsne=tl.latent_tsne,
        model=get.model,
        genes=get.selected_genes,
        feature_scores=get.feature_scores,
        gene_selection=get.gene_selection,
        normalize=pp.normalize_paired,
        select=pp.select_by_dropout,
        paired=simulate.paired,
        patchseq=datasets.patchseq_m1,
        pl=SimpleNamespace(
            sbnn=pl.sbnn, training=pl.training, feature_scores=pl.feature_scores, gene_selection=pl.gene_selection
        ),
    )
