"""Velocity is dense: it is written up to a bound, never left over from another fit, and can be added for some rows."""

import logging

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scdash
from scdash._data import as_expression
from scdash.dynamics import store as _store
from scdash.networks.velocity_layer import velocity_of
from scdash.screens import store as screen_store

from .conftest import HOW

PLAIN = {**HOW, "sparsity": "none", "training": scdash.Training(max_epochs=0)}


def test_above_the_bound_there_is_none_and_the_log_says_so(course, fitted, monkeypatch, caplog):
    adata = fitted.copy()
    monkeypatch.setattr(_store, "MOST_VELOCITIES", adata.n_obs * adata.n_vars - 1)
    with caplog.at_level(logging.INFO, logger="scdash"):
        scdash.tl.fit_dynamics(adata, **PLAIN)
    assert f"no velocity layer: {adata.n_obs} rows x {adata.n_vars} genes" in caplog.text
    assert "added layers" not in caplog.text
    assert "dynamics_velocity" not in adata.layers  # that of the fit before would pass for this one's
    with pytest.raises(KeyError, match="rows x genes are too many"):
        scdash.pl.velocity(adata, basis=_points(adata), show=False)
    monkeypatch.setattr(_store, "MOST_VELOCITIES", adata.n_obs * adata.n_vars)
    whole = scdash.tl.fit_dynamics(course, copy=True, **PLAIN)
    # all else is the same, and the layer can be had for some rows in the way that "Large data" shows
    np.testing.assert_array_equal(adata.varp["dynamics_grn"].toarray(), whole.varp["dynamics_grn"].toarray())
    model = scdash.get.model(adata)
    part = adata[3:40, model.genes].to_memory()
    part.layers["dynamics_velocity"] = model(0.0, torch.as_tensor(part.X, dtype=model.minimum.dtype)).detach().numpy()
    expected = whole[3:40, model.genes].layers["dynamics_velocity"]
    np.testing.assert_allclose(part.layers["dynamics_velocity"], expected, rtol=1e-5, atol=1e-6)
    scdash.pl.velocity(part, basis=_points(part), show=False)


def _points(adata):
    adata.obsm["X_two"] = np.asarray(adata.X[:, :2])
    return "two"


def test_a_screen_above_its_bound_has_none_either(monkeypatch):
    screen = scdash.simulate.sergio(
        genes=10, n_edges=12, n_perturbations=8, n_targets=1, cells_per_perturbation=15, rng=2
    )
    screen.X = np.log1p(screen.X)
    fit = {"model": scdash.models.PerturbODE(fit=scdash.models.Transport(steps=5, n_modules=3, check_every=5))}
    scdash.tl.fit_perturbode(screen, **fit)
    assert "dynamics_velocity" in screen.layers
    monkeypatch.setattr(screen_store, "MOST_VELOCITIES", screen.n_obs * screen.n_vars - 1)
    scdash.tl.fit_perturbode(screen, **fit)
    assert "dynamics_velocity" not in screen.layers


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_it_is_the_model_on_every_row_and_empty_for_other_genes(fitted, form):
    model = scdash.get.model(fitted)
    rows = np.random.default_rng(0).uniform(size=(7, len(model.genes))).astype(np.float32)
    columns = 2 * np.arange(len(model.genes))
    found = velocity_of(as_expression(form(rows)), model, columns, 2 * len(model.genes))
    np.testing.assert_array_equal(found[:, columns].toarray(), model(0.0, torch.as_tensor(rows)).detach().numpy())
    assert found.nnz == rows.size and found[:, columns + 1].nnz == 0  # zeros of modelled genes are stored


def few_of_many(n_vars=400, n_obs=60):
    adata = ad.AnnData(sp.random(n_obs, n_vars, density=0.3, format="csr", dtype=np.float32, random_state=0))
    adata.obs["dpt_pseudotime"] = np.linspace(0, 1, n_obs)
    adata.var["chosen"] = np.arange(n_vars) % 20 == 3
    return adata


def test_memory_grows_with_the_modelled_genes(caplog, tmp_path):
    adata = few_of_many()
    how = {
        "mask_var": "chosen",
        "progress": False,
        "training": scdash.Training(max_epochs=0),
        "validation": scdash.Validation(null_models=False),
    }
    with caplog.at_level(logging.INFO, logger="scdash"):
        scdash.tl.fit_dynamics(adata, **how)
    layer = adata.layers["dynamics_velocity"]
    assert sp.issparse(layer) and layer.nnz == 60 * 20 and layer.has_sorted_indices
    assert "dx/dt (sparse, modelled genes only, 0.0 MB)" in caplog.text
    np.testing.assert_array_equal(np.unique(layer.indices), np.flatnonzero(adata.var["chosen"]))
    np.testing.assert_array_equal(adata.var["dynamics_velocity_genes"], adata.var["chosen"])
    model = scdash.get.model(adata)
    x = torch.as_tensor(adata[:, model.genes].X.toarray())
    expected = model(0.0, x).detach().numpy()
    np.testing.assert_allclose(layer[:, adata.var["chosen"].to_numpy()].toarray(), expected, rtol=1e-5, atol=1e-6)
    adata.obsm["X_two"] = np.random.default_rng(0).normal(size=(60, 2))
    scdash.pl.velocity(adata, basis="two", kind="cells", show=False)
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad").layers["dynamics_velocity"]
    assert (again != layer).nnz == 0 and again.nnz == layer.nnz
    scdash.tl.perturbation_shift(adata, str(model.genes[0]))
    assert adata.layers["dynamics_shift"].nnz == 60 * 20
    scdash.pl.perturbation_shift(adata, basis="two", show=False)
    part = adata[:, adata.var["chosen"]].copy()
    np.testing.assert_allclose(part.layers["dynamics_velocity"].toarray(), expected, rtol=1e-5, atol=1e-6)


def test_the_switch_decides(course, monkeypatch):
    adata = course.copy()
    scdash.tl.fit_dynamics(adata, write_velocity=False, **PLAIN)
    assert "dynamics_velocity" not in adata.layers and "dynamics_velocity_genes" not in adata.var
    monkeypatch.setattr(_store, "MOST_VELOCITIES", 1)
    scdash.tl.fit_dynamics(adata, write_velocity=True, **PLAIN)
    assert isinstance(adata.layers["dynamics_velocity"], np.ndarray)  # every gene is modelled
    scdash.tl.fit_dynamics(adata, **PLAIN)
    assert "dynamics_velocity" not in adata.layers and "dynamics_velocity_genes" not in adata.var
    with pytest.raises(ValueError, match="write_velocity must be True, False or None, found 'yes'"):
        scdash.tl.fit_dynamics(adata, write_velocity="yes", **PLAIN)
