"""What docs/extending.md shows works from every start, in the folds of a fit, and after h5ad."""

import re
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

import scdash
from scdash import Training
from scdash.sparsity import SPARSITIES, GeometricSchedule, Sparsity

from .conftest import KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
CELLS = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", PAGE, flags=re.M | re.S)
FILES = {match.group(1): cell for cell in CELLS if (match := re.match(r"# (\w+)\.py\n", cell))}
TWO = Training(max_epochs=2)


def defined(name: str) -> dict[str, Any]:
    """Return what one file of the page defines, without the call that follows it."""
    found: dict[str, Any] = {}
    exec(FILES[name].split("\n\n\nscdash.")[0], found)
    return found


@pytest.fixture(scope="module")
def page():
    """The definitions of the page; names that it registers are taken away again."""
    registered, fields = set(SPARSITIES), dict(scdash.fields.DEFINED)
    yield {name: value for file in FILES for name, value in defined(file).items()}
    for name in set(SPARSITIES) - registered:
        del SPARSITIES._entries[name]
    scdash.fields.DEFINED.clear()
    scdash.fields.DEFINED.update(fields)


def movement(page, **schedule) -> Sparsity:
    plan = GeometricSchedule(**{"first": 0.5, "first_epoch": 1, "then": 0.5, "every": 2, "until": 0.7} | schedule)
    return Sparsity("movement", score=page["Movement"](), schedule=plan)


@pytest.mark.parametrize("name", ["gradient_scores", "prior_lasso", "saturating", "few_regulators"])
def test_what_the_page_shows_is_short(name):
    code = FILES[name].split("\n\n\nscdash.")[0].splitlines()
    assert len([line for line in code if line.strip() and not line.startswith(("from", "import", "#"))]) <= 40


def test_the_page_is_right_about_memory():
    assert "keep no memory" not in PAGE and "neither data nor gradients" not in PAGE


@pytest.mark.parametrize(
    ("start", "model"),
    [
        ("random", "phoenix"),
        ("random", "mlp"),
        ("regression", "phoenix"),
        ("regression", "modules"),
        ("auto", "phoenix"),
    ],
)
def test_a_gradient_score_works_from_every_start(page, course, start, model, tmp_path):
    value = scdash.models.Phoenix(encoder="modules", n_hidden=4) if model == "modules" else model
    fit = scdash.tl.fit_dynamics(
        course,
        model=value,
        sparsity=movement(page),
        start=start,
        training=Training(max_epochs=6),
        copy=True,
        progress=False,
        **KEYS,
    )
    assert 0 < scdash.get.history(fit)["sparsity"].iloc[-1] < 1 and fit.varp["dynamics_grn"].nnz > 0
    fit.write_h5ad(tmp_path / "fit.h5ad")
    again = anndata.read_h5ad(tmp_path / "fit.h5ad")
    np.testing.assert_array_equal(scdash.tl.predict(again).X, scdash.tl.predict(fit).X)
    scdash.pl.network(again, show=False)


def test_a_gradient_score_works_in_the_folds_of_a_default_fit(page, cells):
    seen = []

    class Watched(page["Movement"]):
        def __call__(self, context):
            seen.append(float(context.memory["U_sums"].abs().sum()))
            return super().__call__(context)

    method = Sparsity("movement", score=Watched(), schedule=GeometricSchedule(0.3, 0, 0.3, 5, 0.7))
    scdash.tl.fit_dynamics(
        cells,
        sparsity=method,
        batch_key="batch",
        n_jobs=1,
        copy=True,
        progress=False,
        training=Training(max_epochs=4),
        validation=scdash.Validation(null_models=False),
    )
    assert len(seen) >= 8 and min(seen) > 0  # four folds of several rounds; gradients have come before each


def test_movement_is_the_sum_over_steps_of_weights_times_gradients(page):
    score, field = page["Movement"](), page["Saturating"](3)
    params = field.init(1, torch.Generator().manual_seed(0))
    memory = score.start(field, params, torch.Generator())
    given = {name: torch.ones_like(value) for name, value in params.items()}
    context = scdash.sparsity.Context(field, params, field.start_masks(params), None, memory, given)
    for _ in range(2):
        context = scdash.sparsity.Context(field, params, context.masks, None, score.after_step(context), given)
    torch.testing.assert_close(score(context)[0]["W"], -2 * params["W"].double())


def test_a_pruning_before_training_sees_an_epoch_of_gradients(page, course):
    seen = []

    class Watched(page["Movement"]):
        def __call__(self, context):
            seen.append({name: value.clone() for name, value in context.memory.items()})
            return super().__call__(context)

    plan = GeometricSchedule(first=0.8, first_epoch=0, then=0.0)
    snip = Sparsity("snip", score=Watched(snip=True), schedule=plan)
    fit = scdash.tl.fit_dynamics(course, sparsity=snip, start="random", training=TWO, copy=True, progress=False, **KEYS)
    assert len(seen) == 1 and all(float(value.abs().sum()) > 0 for value in seen[0].values())
    assert 0 < fit.varp["dynamics_grn"].nnz < 90


def test_a_run_that_was_paused_keeps_the_memory(page, course, tmp_path):
    arguments = {"sparsity": movement(page, first_epoch=4, every=4), "start": "random", "copy": True, "progress": False}
    at = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 1}
    scdash.tl.fit_dynamics(course, training=Training(max_epochs=9, **at), **arguments, **KEYS)
    whole = scdash.tl.fit_dynamics(course, training=Training(max_epochs=9), **arguments, **KEYS)
    again = scdash.tl.fit_dynamics(course, training=Training(max_epochs=9, **at), **arguments, **KEYS)
    assert (whole.varp["dynamics_grn"] != again.varp["dynamics_grn"]).nnz == 0


@pytest.mark.parametrize("start", ["random", "regression"])
def test_the_prior_lasso_spares_edges_of_the_prior(page, course, start):
    edges = course.uns["prior"].assign(weight=1.0)
    fits = {
        prior_weight: scdash.tl.fit_dynamics(
            course,
            edges,
            model="phoenix" if start == "regression" else page["Saturating"](),
            sparsity=page["prior_lasso"](lambdas=2.0, prior_weight=prior_weight),
            start=start,
            training=Training(max_epochs=40),
            copy=True,
            progress=False,
            **KEYS,
        )
        for prior_weight in (1.0, 50.0)
    }
    strict, trusting = (scdash.get.history(fit)["sparsity"].iloc[-1] for fit in fits.values())
    assert strict > trusting


def test_a_path_over_the_strength_shows_the_prior(page, course):
    arguments = {"sparsity": "prior_lasso", "lambdas": [0.5, 2.0], "training": Training(max_epochs=20)}
    arguments |= {"model": page["Saturating"](), "progress": False}
    alone = scdash.tl.sparsity_path(course.copy(), **arguments, **KEYS)
    told = scdash.tl.sparsity_path(course.copy(), prior=course.uns["prior"], **arguments, **KEYS)
    assert (told["weight_sparsity"] < alone["weight_sparsity"]).all()
