"""A fit is repeated by its settings, bit for bit, also from a file."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash import Regression, Training, Validation
from scdash.dynamics.call import fit_of_call
from scdash.models import MLP, PerturbODE, Phoenix, SecondOrder, Transport
from scdash.sparsity import DASH, GeometricSchedule, MagnitudePruning, PathReg

from .conftest import KEYS

KINDS = {f"G{i:03d}": "shift" if i else "knockout" for i in range(8)}
QUICK = GeometricSchedule(first=0.5, first_epoch=1, then=0.1, every=1)
FITS = {
    "defaults": {},
    "no epoch": {"training": Training(max_epochs=0), "start": Regression(half_samples=4, products=False)},
    "modules": {"model": Phoenix("modules", n_hidden=4), "start": "random", "training": Training(max_epochs=3),
                "sparsity": DASH(lambdas=(0.2, 0.8), scale="paper", no_prior_targets="zero", schedule=QUICK)},
    "mlp": {"model": MLP((5,)), "sparsity": PathReg(gate_rate=5.0), "training": Training(max_epochs=2, plateau=False)},
    "second order": {"model": SecondOrder((4,)), "sparsity": "none", "training": Training(max_epochs=2, solver="euler")},
    "prior loss": {"start": "random", "sparsity": MagnitudePruning(schedule=QUICK), "rng": 7, "n_models": 2,
                   "training": Training(max_epochs=3, tau=0.9, learning_rate=5e-3)},
    "some genes": {"training": Training(max_epochs=0), "mask_var": ["g0", "g2", "g3", "g5", "g7"],
                   "regulators": ["g0", "g3"], "layer": "other", "observations": "states", "allow_scaled": True},
}  # fmt: skip


def same(one, other, key="dynamics"):
    assert (one.varp[f"{key}_grn"] != other.varp[f"{key}_grn"]).nnz == 0
    first, second = one.uns[key], other.uns[key]
    for name, value in first["weights"].items():
        a, b = (w.toarray() if sp.issparse(w) else np.asarray(w) for w in (value, second["weights"][name]))
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(first["edges"], second["edges"], check_dtype=False, check_categorical=False)
    assert first["params"]["arguments"] == second["params"]["arguments"]


def reread(adata, folder):
    adata.write_h5ad(folder / "fit.h5ad")
    return anndata.read_h5ad(folder / "fit.h5ad")


@pytest.mark.parametrize("name", FITS)
def test_a_fit_of_states_is_repeated(course, pairs, name, tmp_path):
    adata, arguments = course.copy(), FITS[name]
    adata.layers["other"] = adata.X * 2
    if name == "modules":
        arguments = arguments | {"sparsity": DASH(**arguments["sparsity"].given(), coregulation=pairs)}
    scdash.tl.fit_dynamics(adata, adata.uns["prior"], progress=False, **KEYS, **arguments)
    stored = reread(adata, tmp_path)
    settings = scdash.get.settings(stored)
    for argument in ("model", "start", "training", "sparsity"):
        if argument in arguments and not (name == "modules" and argument == "sparsity"):
            assert settings[argument] == arguments[argument]
    again = course.copy()
    again.layers["other"] = again.X * 2
    same(adata, scdash.tl.fit_dynamics(again, progress=False, copy=True, **settings))


@pytest.mark.parametrize("arguments", [{"batch_key": "batch"}, {"validation": Validation(null_models=False)}])
def test_a_fit_of_cells_is_repeated(cells, arguments, tmp_path):
    adata = cells.copy()
    short = Training(max_epochs=3, batch_size=8)
    scdash.tl.fit_dynamics(
        adata,
        training=short,
        observations=scdash.Cells(n_bins=8),
        regulators=["g00", "g01"],
        progress=False,
        **arguments,
    )
    settings = scdash.get.settings(reread(adata, tmp_path))
    same(adata, scdash.tl.fit_dynamics(cells, progress=False, copy=True, **settings))


@pytest.mark.parametrize(
    "model", ["perturbode", PerturbODE(kind=KINDS, n_folds=3, hold_out=("G003",)),
              PerturbODE(fit=Transport(steps=10, n_modules=3, check_every=5), min_cells=5)]
)  # fmt: skip
def test_a_fit_of_a_screen_is_repeated(screen, model, tmp_path):
    adata = screen.copy()
    prior = pd.DataFrame({"source": ["G000", "G001"], "target": ["G004", "G005"], "weight": [-1.0, 1.0]})
    scdash.tl.fit_dynamics(adata, prior, model=model, rng=3, regulators=[f"G{i:03d}" for i in range(6)], progress=False)
    settings = scdash.get.settings(reread(adata, tmp_path))
    assert settings["model"] == (PerturbODE() if model == "perturbode" else model)
    same(adata, scdash.tl.fit_dynamics(screen, progress=False, copy=True, **settings))


def test_arguments_can_be_left_out_and_replaced(course):
    adata = course.copy()
    scdash.tl.fit_dynamics(adata, rng=5, training=Training(max_epochs=0), progress=False, **KEYS)
    settings = scdash.get.settings(adata, without=("rng", "training"))
    assert not {"rng", "training", "key_added", "copy", "progress", "prior"} & set(settings)
    assert settings | {"mask_var": None} == KEYS | {"mask_var": None}
    scdash.tl.fit_dynamics(adata, **settings, training=Training(max_epochs=1), key_added="other", progress=False)
    assert scdash.get.settings(adata, key="other")["training"] == Training(max_epochs=1)


def test_a_checkpoint_is_not_continued_by_a_repeated_fit(course, tmp_path):
    adata = course.copy()
    training = Training(max_epochs=2, checkpoint=tmp_path / "run.npz", checkpoint_every=1)
    scdash.tl.fit_dynamics(adata, start="random", sparsity="none", training=training, progress=False, **KEYS)
    assert (tmp_path / "run.npz").exists()
    assert scdash.get.settings(adata)["training"] == Training(max_epochs=2)


def test_the_functions_around_a_fit_take_its_settings(course):
    adata = course.copy()
    training = Training(max_epochs=4)
    scdash.tl.fit_dynamics(
        adata, adata.uns["prior"], model=Phoenix("modules", n_hidden=3), sparsity=DASH(schedule=QUICK), start="random",
        n_models=2, training=training, progress=False, **KEYS,
    )  # fmt: skip
    settings = scdash.get.settings(adata)
    table = scdash.tl.cross_validate(adata, grid=[0.2, 0.8], n_folds=2, progress=False, **settings)
    said = scdash.tl.cross_validate(
        course, prior=course.uns["prior"], model=Phoenix("modules", n_hidden=3), sparsity=DASH(schedule=QUICK),
        start="random", training=training, grid=[0.2, 0.8], n_folds=2, progress=False, **KEYS,
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, said)
    path = scdash.tl.sparsity_path(adata, lambdas=[0.1], progress=False, **settings | {"sparsity": "l0"})
    assert path["epochs"].tolist() == [4, 4]  # two models, as the fit has
    frequency = scdash.tl.stability(adata, n_repeats=2, progress=False)
    repeated = scdash.tl.stability(
        adata, n_repeats=2, progress=False, key="none", **scdash.get.settings(adata, without=("rng", "n_models"))
    )
    pd.testing.assert_frame_equal(frequency, repeated)


def test_bins_of_cells_are_those_that_were_asked_for(cells):
    fit = scdash.tl.fit_dynamics(
        cells, training=Training(max_epochs=0), observations=scdash.Cells(n_bins=8), batch_key="batch", copy=True
    )
    assert np.unique(fit.uns["dynamics"]["series"]["trajectory"], return_counts=True)[1].max() == 8


def test_refits_make_no_null_models(cells, monkeypatch):
    adata, seen = cells.copy(), []
    scdash.tl.fit_dynamics(
        adata, training=Training(max_epochs=0), observations=scdash.Cells(n_bins=8), batch_key="batch", validation=Validation(null_models="full"),
        regulators=["g00", "g01"], n_models=2, write_velocity=True, progress=False,
    )  # fmt: skip

    def fit(data, call, asked, seed):
        seen.append(call)
        return fit_of_call(data, call, asked, seed)

    monkeypatch.setattr("scdash.dynamics.stability.fit_of_call", fit)
    scdash.tl.stability(adata, n_repeats=2, progress=False)
    assert [call.validation for call in seen] == [Validation(null_models=False)] * 2
    assert [(call.n_models, call.write_velocity) for call in seen] == [(1, None)] * 2


def test_a_baseline_of_a_screen_is_named(screen):
    adata = scdash.tl.screen_baseline(screen, "correlation", copy=True)
    with pytest.raises(ValueError, match="baseline 'correlation'"):
        scdash.get.settings(adata, key="correlation")


def test_a_fit_without_stored_arguments_is_named(course):
    adata = course.copy()
    scdash.tl.fit_dynamics(adata, training=Training(max_epochs=0), progress=False, **KEYS)
    del adata.uns["dynamics"]["params"]["arguments"]
    with pytest.raises(KeyError, match="holds no 'arguments'"):
        scdash.get.settings(adata)
