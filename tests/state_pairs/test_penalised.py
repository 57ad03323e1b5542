"""Penalties and gates: what is returned has closed gates, strengths are chosen by held-out error, zeros are the model's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import scdash
from scdash.dynamics.options import FitOptions, recipe
from scdash.dynamics.state_pairs.penalised import (
    Level,
    PenalisedRun,
    _choose,
    fit_penalised,
    ladder_of,
    strength_is_chosen,
)
from scdash.dynamics.state_pairs.start import random_start
from scdash.dynamics.state_pairs.strategy import build_sparsity
from scdash.dynamics.state_pairs.train import Trained, training_rows, validation_rows
from scdash.fields import Phoenix, zero_fraction
from scdash.networks import effects
from scdash.sparsity import Context, as_sparsity
from scdash.training import evaluate, examples_from

FIELD = Phoenix(20, encoder="modules", n_hidden=6)
GATED = ("l0", "pathreg")


def _options(method: str, **changes: Any) -> FitOptions:
    training = {"max_epochs": 12, "batch_size": 8, "learning_rate": 1e-2} | changes.pop("training", {})
    return FitOptions(
        sparsity=method, encoder="modules", n_hidden=6, start="random", progress=False, training=training, **changes
    )


def _fit(problem: Any, method: str, **changes: Any) -> tuple[Trained, Any]:
    options = _options(method, **changes)
    plan = recipe(options)
    start = random_start(FIELD, options)
    return fit_penalised(problem, options, plan, FIELD, start, {}, build_sparsity(options, plan))


@pytest.fixture(scope="module")
def problem(simulated_problem: Any) -> Any:
    return simulated_problem(24, 4)


@pytest.fixture(scope="module")
def fits(problem: Any) -> dict[str, tuple[Trained, Any]]:
    return {method: _fit(problem, method) for method in ("l0", "cnode", "pathreg")}


@pytest.mark.parametrize("method", GATED)
def test_the_zeros_of_the_model_are_those_of_the_last_epochs_and_not_of_the_start(
    fits: dict[str, tuple[Trained, Any]], method: str
) -> None:
    trained, table = fits[method]
    zeros = float(zero_fraction(FIELD, trained.params)[0])
    history = trained.history.set_index("epoch")["sparsity"]
    last = history.iloc[-5:]
    rates = float((trained.params["v"] <= 0).float().mean())  # genes that stand still count as zeros too
    assert zeros > history.iloc[0] + rates + 0.1
    assert zeros == pytest.approx(history.loc[trained.best_epoch[0]])
    assert last.to_numpy() == pytest.approx(zeros, abs=rates + 0.02)
    shares = table.set_index("chosen")["sparsity"]
    assert zeros >= float(shares[True]) - 1e-6


@pytest.mark.parametrize("method", GATED)
def test_closed_gates_are_exact_zeros_in_masks_and_network(fits: dict[str, tuple[Trained, Any]], method: str) -> None:
    trained, _ = fits[method]
    assert set(trained.params) == set(FIELD.init(1, torch.Generator().manual_seed(0)))  # no gate is left
    for name in ("W_sums", "W_prods", "U_sums", "U_prods"):
        mask = trained.masks[name].expand_as(trained.params[name])
        assert bool((trained.params[name][~mask] == 0).all()) and bool((~mask).any())
    assert bool(torch.isfinite(effects(FIELD, trained.params)).all())


def test_the_validation_loss_is_that_of_the_returned_model_without_its_penalty(
    problem: Any, fits: dict[str, tuple[Trained, Any]]
) -> None:
    held = examples_from(problem.series, validation_rows(problem.series, 1)).to(torch.device("cpu"), torch.float32)
    for method, (trained, _) in fits.items():
        loss = float(evaluate(FIELD, trained.params, held, recipe(_options(method)).config)[0])
        assert trained.validation_loss[0] == pytest.approx(loss, rel=1e-4)
        assert trained.history.set_index("epoch")["validation_loss"][trained.best_epoch[0]] == pytest.approx(
            loss, rel=1e-4
        )


@pytest.mark.parametrize("method", GATED)
def test_stronger_means_sparser(fits: dict[str, tuple[Trained, Any]], method: str) -> None:
    _, table = fits[method]
    assert len(table) > 2 and table.iloc[:, 0].is_monotonic_increasing
    zeros = table["sparsity"].to_numpy()
    assert (np.diff(zeros) > -0.03).all() and zeros[-1] > zeros[0] + 0.2


@pytest.mark.parametrize(("method", "weak", "strong"), [("l0", 1e-7, 1.0), ("pathreg", (1e-8, 1e-8), (0.1, 1e-4))])
def test_a_given_strength_has_its_effect(problem: Any, method: str, weak: Any, strong: Any) -> None:
    shares = []
    for strength in (weak, strong):
        trained, table = _fit(problem, method, lambdas=strength, training={"max_epochs": 8})
        shares.append(float(zero_fraction(FIELD, trained.params)[0]))
        assert table["chosen"].tolist() == [False, False, False, True]
        last = table.filter(like="lambda").iloc[-1].tolist()
        assert last == pytest.approx(np.ravel(strength).tolist())
    assert shares[1] > shares[0] + 0.3


def test_the_strongest_within_one_standard_error_is_chosen_and_a_given_one_is_not_questioned() -> None:
    best = np.array([0.0, 2.0, 1.0, 1.0])
    errors = [best + 0.1 + np.array([0, 0, 0, 0.1]), best, best + np.array([0.3, -0.2, 0.2, -0.1]), best + 1.0]
    levels = [
        Level(as_sparsity("l0", lambdas=float(n + 1)), None, error, 0.1 * n)  # type: ignore[arg-type]
        for n, error in enumerate(errors)
    ]
    assert _choose(levels, chooses=True)[1] == 2
    assert _choose(levels, chooses=False)[1] == 3
    assert _choose(levels, chooses=True)[0]["chosen"].tolist() == [False, False, True, False]


def test_a_strength_is_left_to_validation_only_where_none_is_given() -> None:
    assert strength_is_chosen(_options("l0"))
    assert not strength_is_chosen(_options("l0", lambdas=0.1))
    assert not strength_is_chosen(_options("l0", sparsity_options={"lambdas": 0.1}))
    assert not strength_is_chosen(replace(_options("l0"), sparsity=as_sparsity("l0")))


def test_strengths_are_in_units_of_the_error_so_that_the_unit_of_the_data_does_not_matter(problem: Any) -> None:
    """The weakest rung of C-NODE is a tenth of the error: lambda times the penalty of the dense model."""
    options = _options("cnode")
    plan = recipe(options)
    start = {name: value + 0.1 for name, value in random_start(FIELD, options).items()}  # W starts almost empty
    method = build_sparsity(options, plan)
    rows = {"train_examples": training_rows, "held_examples": validation_rows}
    examples = {name: examples_from(problem.series, of(problem.series, 1)) for name, of in rows.items()}
    run = PenalisedRun(problem, options, plan, FIELD, examples, [])
    dense = Trained(start, {}, None)  # type: ignore[arg-type]
    rungs = ladder_of(run, method, dense)
    error = float(run.errors(start).mean())
    for rung, (factor,) in zip(rungs, method.ladder, strict=True):
        penalty = rung.penalty(Context(FIELD, start))
        assert penalty is not None and float(penalty[0]) == pytest.approx(factor * error, rel=1e-4)


def test_the_defaults_of_a_users_call_make_a_sparse_network_of_the_stored_model() -> None:
    """I1 for gates: `varp` holds an edge exactly where the stored module's derivative depends on the source."""
    adata = scdash.simulate.grn_dynamics(n_genes=10, n_trajectories=12, n_test=2, rng=1)
    keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
    scdash.tl.fit_dynamics(
        adata, sparsity="pathreg", training=scdash.Training(max_epochs=40, learning_rate=1e-2), **keys
    )
    entry, model = adata.uns["dynamics"], scdash.get.model(adata)
    assert entry["params"]["start"] == "random" and entry["params"]["sparsity"] == "pathreg"
    assert entry["params"]["levels"]["chosen"].sum() == 1
    assert entry["metrics"]["sparsity"] > 0.2
    x = torch.as_tensor(np.asarray(adata.X)[:6], dtype=torch.float32).requires_grad_()
    depends = np.zeros((10, 10), bool)  # (source, target)
    for target in range(10):
        (gradient,) = torch.autograd.grad(model(0.0, x)[:, target].sum(), x)
        depends[:, target] = (gradient != 0).any(0).numpy()
    np.fill_diagonal(depends, val=False)
    assert ((adata.varp["dynamics_grn"].toarray() != 0) == depends).all()


def test_a_method_that_is_not_registered_is_trained_at_its_own_strength(problem: Any) -> None:
    options = _options("cnode")
    mine = replace(as_sparsity("cnode", lambdas=0.5), name="mine")
    run = PenalisedRun(problem, options, recipe(options), FIELD, {}, [])
    assert ladder_of(run, mine, Trained({}, {}, None)) == [mine]  # type: ignore[arg-type]


def test_stages_go_on_from_one_another_and_the_last_holds_the_gates(
    problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[Trained] = []
    starts: list[Any] = []
    train = PenalisedRun.stage

    def noted(run: PenalisedRun, method: Any, params: Any, masks: Any, name: str, **options: Any) -> Trained:
        starts.append(dict(params))
        stages.append(train(run, method, params, masks, name, **options))
        return stages[-1]

    monkeypatch.setattr(PenalisedRun, "stage", noted)
    trained, _ = _fit(problem, "l0", lambdas=1e-2, training={"max_epochs": 8})
    strongest, last = stages[-2:]
    for name in ("W_sums", "W_prods", "U_sums", "U_prods"):
        assert torch.equal(trained.masks[name], strongest.masks[name])
        assert 0 < int(trained.masks[name].sum()) < trained.masks[name].numel()
    assert not torch.equal(trained.params["U_sums"], strongest.params["U_sums"])
    assert trained.epochs == sum(stage.epochs for stage in stages) and last.epochs > 0
    for start, before in zip(starts[2:], stages[1:], strict=False):  # weights and gates are carried from stage to stage
        assert before.state is not None
        assert all(torch.equal(start[name], value) for name, value in before.state.best_params.items())
