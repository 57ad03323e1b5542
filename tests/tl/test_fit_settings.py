"""Later functions read the data as the fit has read them, or say why they cannot; never X in silence."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._core.fit_settings import FitSettings

from .conftest import HOW

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def fits(course):
    """The same fit of X, and of a layer beside a misleading X."""
    plain = course.copy()
    scdash.tl.fit_dynamics(plain, prior=plain.uns["prior"], **(HOW | {"training": scdash.Training(max_epochs=0)}))
    layered = course.copy()
    layered.layers["lognorm"] = layered.X.copy()
    layered.X = np.rint(layered.X * 1000)
    scdash.tl.fit_dynamics(
        layered, prior=layered.uns["prior"], layer="lognorm", **(HOW | {"training": scdash.Training(max_epochs=0)})
    )
    for adata in (plain, layered):
        adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    return plain, layered


def shift(adata):
    return scdash.tl.perturbation_shift(adata, "g01", duration=1.0, copy=True).layers["dynamics_shift"]


def stability(adata):
    return scdash.tl.stability(adata, n_repeats=2, progress=False)["mean_weight"].to_numpy()


def path(adata):
    return scdash.tl.sparsity_path(
        adata,
        sparsity="cnode",
        lambdas=[0.1],
        progress=False,
        model=scdash.models.MLP((4, 4)),
        training=scdash.Training(max_epochs=2),
    )["validation_loss"].to_numpy()


def folds(adata):
    return scdash.tl.cross_validate(
        adata,
        prior=adata.uns["prior"],
        grid=[0.5],
        n_folds=2,
        progress=False,
        training=scdash.Training(max_epochs=6),
        start="regression",
    )["mean"].to_numpy()


def arrows(adata):
    ax = scdash.pl.velocity(adata, "g01", kind="cells", show=False)
    return ax.collections[0].get_array().data


FUNCTIONS = {
    "predict": lambda a: scdash.tl.predict(a, a.obs_names[:2], times=[0, 1]).X,
    "perturb": lambda a: scdash.tl.perturb(a, "g01", start=a.obs_names[:2], times=[0, 1]).X,
    "perturbation_shift": shift,
    "stability": stability,
    "sparsity_path": path,
    "cross_validate": folds,
    "pl.velocity": arrows,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_layer_of_the_fit_is_read(fits, name):
    plain, layered = (FUNCTIONS[name](adata.copy()) for adata in fits)
    np.testing.assert_allclose(layered, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_that_layer_an_error_says_so(fits, name):
    adata = fits[1].copy()
    del adata.layers["lognorm"]
    with pytest.raises(KeyError, match="made on layers\\['lognorm'\\].*lacks.*layer='X'"):
        FUNCTIONS[name](adata)


def test_x_can_be_asked_for(fits):
    plain, layered = fits
    first = plain.obs_names[:2]
    asked = scdash.tl.predict(layered, first, times=[0, 1], layer="X")
    assert asked[asked.obs["time"] == 0].X.max() > 100
    scdash.tl.predict(layered, plain[first], layer="X", times=[0, 1])
    with pytest.raises(KeyError, match="which start lacks"):
        scdash.tl.predict(layered, plain[first], times=[0, 1])


def test_the_keys_of_the_fit_are_the_default_of_stability_and_are_named(fits, caplog):
    adata = fits[0].copy()
    with caplog.at_level("INFO", logger="scdash"):
        table = scdash.tl.stability(adata, n_repeats=2, progress=False, rng=1)
    assert (
        "as in the fit under uns['dynamics']: time_key='time', trajectory_key='trajectory', split_key='split'"
        in caplog.text
    )
    same = scdash.tl.stability(
        fits[0].copy(),
        n_repeats=2,
        rng=1,
        prior=adata.uns["prior"],
        key="other",
        **(HOW | {"training": scdash.Training(max_epochs=0)}),
    )
    pd.testing.assert_frame_equal(table, same)


def test_stability_repeats_the_genes_and_the_regulators_of_the_fit(course):
    adata = course.copy()
    genes = list(adata.var_names[:10])
    scdash.tl.fit_dynamics(
        adata, mask_var=genes, regulators=genes[:4], **(HOW | {"training": scdash.Training(max_epochs=0)})
    )
    table = scdash.tl.stability(adata, n_repeats=2, progress=False)
    assert set(table["source"]) <= set(genes[:4]) and set(table["target"]) <= set(genes)


def test_settings_survive_a_file(fits, tmp_path):
    import anndata

    fits[1].write_h5ad(tmp_path / "fit.h5ad")
    entry = anndata.read_h5ad(tmp_path / "fit.h5ad").uns["dynamics"]
    settings = FitSettings.of(entry, "dynamics")
    assert (settings.layer, settings.time_key, settings.text("batch_key")) == ("lognorm", "time", None)
    stored = anndata.read_h5ad(tmp_path / "fit.h5ad")
    again, before = (scdash.get.settings(adata, without="prior") for adata in (stored, fits[1]))
    assert again == before and again["training"] == scdash.Training(max_epochs=0)


def test_an_axis_of_time_is_called_what_it_is(fits):
    assert FitSettings.of(fits[0].uns["dynamics"], "dynamics").time_name == "time"
    assert FitSettings("k", {"time_key": "t", "time_unit": "hours"}).time_name == "t (hours)"
    assert "model time" in FitSettings("k", {"time_key": "dpt_pseudotime", "model_time": True}).time_name
