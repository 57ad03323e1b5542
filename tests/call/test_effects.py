"""Every field of every value changes what a fit gives, or writes; `test_every_field_is_here` keeps the list whole."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash import Regression, Training, Validation
from scdash.models import MLP, MODELS, PerturbODE, Phoenix, SecondOrder, Transport
from scdash.sparsity import (
    DASH,
    L0,
    METHODS,
    CNode,
    GeometricSchedule,
    GroupLasso,
    LassoNet,
    MagnitudePruning,
    PathReg,
    PriorPruning,
    TrainPruneFinetune,
)  # fmt: skip

from .conftest import KEYS

EARLY = GeometricSchedule(first=0.5, first_epoch=1, then=0)
OFTEN = GeometricSchedule(first=0.1, first_epoch=20, then=0.9, every=10)
LATER = GeometricSchedule(first=0.7, first_epoch=2, then=0)
FOUR = Training(max_epochs=4)
RANDOM = {"start": "random", "sparsity": "none"}
MODULES = {"model": Phoenix("modules", n_hidden=4), "start": "random", "training": FOUR}
OF_MLP = {"model": MLP((4, 4)), "training": FOUR}


def trained(**settings):
    return RANDOM | {"training": Training(max_epochs=4) if not settings else Training(**{"max_epochs": 4} | settings)}


def pruned(method, **others):
    return {"start": "random", "training": FOUR, "sparsity": method} | others


# value, field -> two calls that differ in it alone
STATES = {
    "Training max_epochs": (trained(), trained(max_epochs=3)),
    "Training learning_rate": (trained(), trained(learning_rate=0.05)),
    "Training batch_size": (trained(), trained(batch_size=3)),
    "Training patience": (trained(learning_rate=2.0, patience=1, max_epochs=9), trained(learning_rate=2.0, max_epochs=9)),
    "Training tolerance": (
        pruned(MagnitudePruning(OFTEN), training=Training(max_epochs=42, learning_rate=0.02, tolerance=v)) for v in (0.0, 1e6)
    ),
    "Training decay": (trained(), trained(decay=0.5)),
    "Training plateau": (
        trained(plateau=False), trained(plateau={"patience": 0, "threshold": 10.0, "factor": 0.1, "minimum": 0.0}),
    ),
    "Training window": (trained(), trained(window=2)),
    "Training tau": (trained(), trained(tau=0.5)),
    "Training solver": (trained(), trained(solver="euler")),
    "Training steps": (trained(), trained(steps=1)),
    "Training adjoint": (trained(), trained(adjoint=True, solver="euler", steps=2)),
    "Regression products": ({"start": Regression(products=p), "training": Training(max_epochs=0)} for p in (False, 6)),
    "Regression half_samples": (
        {"start": Regression(half_samples=n), "training": Training(max_epochs=0)} for n in (0, 6)
    ),
    "Regression lambdas": (
        {"start": Regression(lambdas=l), "training": Training(max_epochs=0)} for l in (None, (0.5, 0.4))
    ),
    "Regression prior_weights": (
        {"start": Regression(prior_weights=w), "training": Training(max_epochs=0)} for w in ((1.0,), (50.0,))
    ),
    "Phoenix encoder": (pruned("none"), MODULES | {"sparsity": "none"}),
    "Phoenix n_hidden": (MODULES | {"sparsity": "none"}, MODULES | {"sparsity": "none", "model": Phoenix("modules", 3)}),
    "MLP hidden": (pruned("none", model=MLP((4, 4))), pruned("none", model=MLP((4,)))),
    "MLP skip": (pruned("none", model=MLP((4,), skip="inner")), pruned("none", model=MLP((4,)))),
    "MLP per_target": (pruned("none", model=MLP((4,))), pruned("none", model=MLP((4,), per_target=True))),
    "SecondOrder hidden": (pruned("none", model=SecondOrder((4,))), pruned("none", model=SecondOrder((3,)))),
    "SecondOrder skip": (
        pruned("none", model=SecondOrder((4,))), pruned("none", model=SecondOrder((4,), skip="inner")),
    ),
    "SecondOrder per_target": (
        pruned("none", model=SecondOrder((4,))), pruned("none", model=SecondOrder((4,), per_target=True)),
    ),
    "DASH lambdas": (pruned(DASH(lambdas=0.0, schedule=EARLY)), pruned(DASH(lambdas=1.0, schedule=EARLY))),
    "DASH scale": (pruned(DASH(lambdas=0.05, scale=s, schedule=EARLY)) for s in ("matched", "paper")),
    "DASH no_prior_targets": (
        MODULES | {"sparsity": DASH(no_prior_targets=way, schedule=EARLY)} for way in ("mean", "zero")
    ),
    "DASH coregulation": (MODULES | {"sparsity": DASH(schedule=EARLY)}, "coregulation"),
    "DASH schedule": (pruned(DASH(schedule=EARLY)), pruned(DASH(schedule=LATER))),
    "MagnitudePruning schedule": (pruned(MagnitudePruning(EARLY)), pruned(MagnitudePruning(LATER))),
    "PriorPruning no_prior_targets": (
        MODULES | {"sparsity": PriorPruning(no_prior_targets=way, schedule=EARLY)} for way in ("mean", "zero")
    ),
    "PriorPruning schedule": (pruned(PriorPruning(schedule=EARLY)), pruned(PriorPruning(schedule=LATER))),
    "TrainPruneFinetune levels": (pruned(TrainPruneFinetune(levels=(v,), repeats=1)) for v in (0.5, 0.8)),
    "TrainPruneFinetune repeats": (pruned(TrainPruneFinetune(levels=(0.5,), repeats=n)) for n in (1, 2)),
    "TrainPruneFinetune tuning_epochs": (
        pruned(TrainPruneFinetune(levels=(0.8,), repeats=1, tuning_epochs=n)) for n in (1, 4)
    ),
    "L0 lambdas": (pruned(L0(lambdas=v)) for v in (0.0, 5.0)),
    "L0 reduction": (pruned(L0(reduction=way)) for way in ("mean", "sum")),
    "L0 granularity": (pruned(L0(granularity=way)) for way in ("weight", "input")),
    "L0 gate_rate": (pruned(L0(gate_rate=v)) for v in (1.0, 50.0)),
    "CNode lambdas": (pruned(CNode(lambdas=v)) for v in (0.0, 5.0)),
    "CNode reduction": (pruned(CNode(reduction=way)) for way in ("mean", "sum")),
    "PathReg lambdas": (pruned(PathReg(lambdas=v)) for v in ((0.0, 0.0), (1.0, 1.0))),
    "PathReg reduction": (pruned(PathReg(reduction=way)) for way in ("mean", "sum")),
    "PathReg granularity": (pruned(PathReg(granularity=way)) for way in ("weight", "input")),
    "PathReg gate_rate": (pruned(PathReg(gate_rate=v)) for v in (1.0, 50.0)),
    "LassoNet lambdas": (OF_MLP | {"sparsity": LassoNet(lambdas=v)} for v in (0.1, 50.0)),
    "LassoNet rho": (OF_MLP | {"sparsity": LassoNet(rho=v)} for v in (0.0, 10.0)),
    "LassoNet connection": (OF_MLP | {"sparsity": LassoNet(connection=way)} for way in ("inner", "outer")),
    "GroupLasso lambdas": (OF_MLP | {"sparsity": GroupLasso(lambdas=v)} for v in (0.0, 50.0)),
    "GroupLasso hidden": (OF_MLP | {"sparsity": GroupLasso(hidden=n)} for n in (3, 5)),
}  # fmt: skip
SHORT = Transport(steps=6, n_modules=3, check_every=3)


def carried(**settings):
    return PerturbODE(fit=Transport(**{"steps": 6, "n_modules": 3, "check_every": 3} | settings))


SCREENS = {
    "PerturbODE fit": (PerturbODE(), PerturbODE(fit=SHORT)),
    "PerturbODE kind": (PerturbODE(), PerturbODE(kind="knockout")),
    "PerturbODE separator": (PerturbODE(), PerturbODE(separator="|", unknown_targets="drop")),
    "PerturbODE sources": (PerturbODE(), PerturbODE(sources="perturbed")),
    "PerturbODE prior_weight": (PerturbODE(), PerturbODE(prior_weight=1.0)),
    "PerturbODE n_folds": (PerturbODE(), PerturbODE(n_folds=2)),
    "PerturbODE n_subsamples": (PerturbODE(), PerturbODE(n_subsamples=2)),
    "PerturbODE hold_out": (PerturbODE(), PerturbODE(hold_out=("G003",))),
    "PerturbODE min_cells": (PerturbODE(), PerturbODE(min_cells=21)),
    "PerturbODE unknown_targets": (PerturbODE(separator="|", unknown_targets="drop"), "an error"),
    "Transport loss": (carried(), carried(loss="w2")),
    "Transport n_modules": (carried(), carried(n_modules=2)),
    "Transport l1": (carried(), carried(l1=1.0)),
    "Transport steps": (carried(), carried(steps=9)),
    "Transport cycle": (carried(), carried(cycle=3)),
    "Transport learning_rate": (carried(), carried(learning_rate=0.1)),
    "Transport perturbations": (carried(), carried(perturbations=2)),
    "Transport cells": (carried(), carried(cells=5)),
    "Transport duration": (carried(), carried(duration=2.0)),
    "Transport ode_steps": (carried(solver="rk4"), carried(solver="rk4", ode_steps=3)),
    "Transport solver": (carried(), carried(solver="rk4")),
    "Transport clip": (carried(), carried(clip=1e-6)),
    "Transport learn_strength": (carried(), carried(learn_strength=True)),
    "Transport knockdown": tuple(
        PerturbODE(kind="knockdown", fit=Transport(steps=6, n_modules=3, check_every=3, knockdown=v)) for v in (None, 0.9)
    ),
    "Transport diffuse": (carried(), carried(diffuse=0.5)),
    "Transport diffuse_duration": (carried(diffuse=0.5), carried(diffuse=0.5, diffuse_duration=3.0)),
    "Transport check_every": (carried(), carried(check_every=2)),
}  # fmt: skip
ELSEWHERE = {
    "PerturbODE kind_key", "PerturbODE guide_key", "PerturbODE symbols", "PerturbODE values",  # tests/screens/test_forms.py
    "Training checkpoint", "Training checkpoint_every", "Training max_memory", "Validation null_models", "Validation hold_out",
}  # fmt: skip


def test_every_field_is_here():
    values = [Training, Validation, Regression, Transport, *MODELS.values(), *METHODS.values()]
    named = {f"{value.__name__} {one.name}" for value in values for one in fields(value)}
    assert named == {*STATES, *SCREENS, *ELSEWHERE}


def content(entry):
    """Return what a fit has found, as plain arrays and tables."""
    found = {f"weights {k}": v.toarray() if sp.issparse(v) else np.asarray(v) for k, v in entry["weights"].items()}
    found["levels"] = pd.DataFrame(entry["params"].get("levels", {})).to_csv()
    found["history"] = pd.DataFrame(entry["history"]).to_csv()
    found["edges"] = pd.DataFrame(entry["edges"]).to_csv()
    return found | {"screen": str(entry.get("screen", "")), "held": str(entry.get("held_out", ""))}


def differ(one, other):
    a, b = content(one), content(other)
    return a.keys() != b.keys() or any(
        a[name].shape != b[name].shape or bool((a[name] != b[name]).any()) if hasattr(a[name], "shape") else a[name] != b[name]
        for name in a
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(course):
    def fit(arguments):
        made = scdash.tl.fit_dynamics(course, course.uns["prior"], copy=True, progress=False, **KEYS | arguments)
        return made.uns["dynamics"]

    return fit


@pytest.mark.parametrize("name", STATES)
def test_a_field_changes_a_fit_of_states(fit, pairs, name):
    first, second = STATES[name]
    if second == "coregulation":
        second = first | {"sparsity": DASH(coregulation=pairs, schedule=EARLY)}
    found = fit(first)
    assert differ(found, fit(second)), f"{name} has no effect"
    if name == "Training max_epochs":
        assert not differ(found, fit(first))


@pytest.mark.parametrize("name", SCREENS)
def test_a_field_changes_a_fit_of_a_screen(screen, name):
    if name == "Transport loss":
        pytest.importorskip("geomloss")
    prior = pd.DataFrame({"source": ["G000", "G001", "G002"], "target": ["G004", "G005", "G006"]})

    def fit(model):
        sparsity = "none" if model.way == "transport" else "dash"
        known = None if model.way == "transport" else prior
        made = scdash.tl.fit_perturbode(screen, known, model=model, sparsity=sparsity, copy=True, progress=False)
        return made.uns["dynamics"]

    first, second = SCREENS[name]
    if second == "an error":
        with pytest.raises(ValueError, match="unknown_targets='drop'"):
            fit(PerturbODE(separator="|"))
        second = PerturbODE()
    found = [fit(model) for model in (first, second)]
    assert differ(*found), f"{name} has no effect"


def test_null_models_are_printed_beside_cells_or_left_out(cells):
    found = {}
    for way in (True, False):
        made = scdash.tl.fit_dynamics(
            cells, observations=scdash.Cells(n_bins=8), batch_key="batch", regulators=["g00", "g01"], training=Training(max_epochs=2),
            validation=Validation(null_models=way), progress=False, copy=True,
        )  # fmt: skip
        found[way] = set(scdash.get.report(made)["predictor"])
    assert "shuffled time" in found[True] - found[False]


def test_a_checkpoint_is_written_as_often_as_asked_and_in_parts(fit, tmp_path):
    def saved(name, **settings):
        training = Training(max_epochs=3, checkpoint=tmp_path / name / "run.npz", **settings)
        (tmp_path / name).mkdir()
        fit(RANDOM | {"training": training, "n_models": 2})
        return {path.name for path in (tmp_path / name).iterdir()}

    assert saved("often", checkpoint_every=1) == {"run.npz"} != saved("never", checkpoint_every=100)
    assert saved("parts", checkpoint_every=1, max_memory=1.0) == {"run.0.npz", "run.1.npz"}
