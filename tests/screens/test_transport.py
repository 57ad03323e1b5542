"""Transport: solvers agree, pruning reaches both matrices, interventions are learnt."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import scdash
from scdash._data.screen import parse_screen
from scdash.fields.perturbode import PerturbODE
from scdash.screens.transport.fit import fit_transport
from scdash.screens.transport.pruning import ScreenSparsity
from scdash.sparsity import GeometricSchedule, Prior, Score, Sparsity, as_sparsity
from scdash.training.flow import Flow
from scdash.training.transport_config import TransportConfig

FAST = {"steps": 80, "check_every": 20, "perturbations": 6, "learning_rate": 0.02}


def cells(kinds=None, n=6, seed=0):
    """A screen of six genes in which g0 acts on g1 and g2 on g3."""
    rng = np.random.default_rng(seed)
    genes = pd.Index([f"g{i}" for i in range(n)])
    labels = ["control"] * 40 + [g for g in genes for _ in range(20)]
    screen = parse_screen(labels, genes, kind="overexpression" if kinds is None else kinds)
    x = 1 + 0.2 * rng.random((len(labels), n)) + 1.5 * screen.targets[screen.cells]
    x[screen.cells == screen.index("g0"), 1] += 1.0
    x[screen.cells == screen.index("g2"), 3] += 1.0
    return x, screen


@pytest.mark.parametrize("solver", ["rk4", "dopri5", "midpoint"])
def test_solvers_reach_the_state_of_the_exponential_integrator(solver):
    field = PerturbODE(5, 3)
    params = field.init(1, torch.Generator().manual_seed(0), torch.float64)
    x = torch.rand(1, 4, 5, dtype=torch.float64)
    mask, shift = torch.ones(1, 4, 5, dtype=torch.float64), torch.zeros(1, 4, 5, dtype=torch.float64)
    mask[0, 1, 2], shift[0, 1, 2] = 0, 1.5
    exact = Flow(3.0, 4000).carry(field, params, x, mask, shift)
    found = Flow(3.0, 200, solver).carry(field, params, x, mask, shift)
    torch.testing.assert_close(found, exact, atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="solver"):
        TransportConfig(solver="dopri")


def test_the_loss_falls_with_a_solver_of_torchdiffeq():
    x, screen = cells()
    config = TransportConfig(**FAST | {"steps": 30, "check_every": 10}, n_modules=4, solver="dopri5", duration=4.0)
    losses = fit_transport(x, screen, config, rng=np.random.default_rng(0)).history["validation_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_training_ends_with_the_cycle_that_brings_nothing_and_keeps_the_best():
    """Held-out cells decide: with a rate too small to move anything the second cycle is the last one."""
    x, screen = cells()
    settings = {"check_every": 20, "perturbations": 6, "n_modules": 4, "cycle": 20}
    still = fit_transport(x, screen, TransportConfig(**settings, learning_rate=1e-12), rng=np.random.default_rng(0))
    assert list(still.history["epoch"]) == [20, 40, 60]  # cycles of 20 and 40 steps
    learns = fit_transport(
        x, screen, TransportConfig(**settings, learning_rate=0.02, steps=140), rng=np.random.default_rng(0)
    )
    ends = learns.history.set_index("epoch")["validation_loss"]
    assert ends.index.max() >= 60 and ends[60] < 0.5 * ends[20]


def test_a_pruning_schedule_sets_the_pace_and_leaves_the_last_fifth_to_settle():
    x, screen = cells()
    schedule = GeometricSchedule(first=0.5, first_epoch=1, then=0.1, every=1)
    config = TransportConfig(**FAST | {"steps": 100, "check_every": 10, "cycle": 20}, n_modules=4)
    fit = fit_transport(x, screen, config, rng=np.random.default_rng(0), sparsity=as_sparsity("imp", schedule=schedule))
    assert fit.history["epoch"].iloc[-1] == 100  # cycles of 20 would have been compared across densities
    assert fit.masks["A"].float().mean() == pytest.approx(0.5 * 0.9**6, abs=0.05)  # rounds 1 to 7 of 10


@pytest.mark.parametrize("modules", [0, 6])
def test_dash_prunes_every_matrix_and_keeps_the_prior(modules):
    x, screen = cells()
    known = np.zeros((6, 6))
    known[1, 0] = known[3, 2] = 1  # (target, regulator)
    schedule = GeometricSchedule(first=0.8, first_epoch=2, then=0.0, every=10)
    method = as_sparsity("dash", lambdas=0.95, schedule=schedule)
    fit = fit_transport(
        x, screen, TransportConfig(**FAST, n_modules=modules), rng=np.random.default_rng(0), sparsity=method, prior=Prior(known)
    )  # fmt: skip
    for name in ("A", "B") if modules else ("A",):
        kept = fit.params[name][0] != 0
        free = kept.numel() if modules else 30
        assert int(kept.sum()) == free - round(0.8 * free)
        assert torch.equal(kept, fit.masks[name][0])
    if not modules:
        assert fit.params["A"][0, 1, 0] != 0 and fit.params["A"][0, 3, 2] != 0


def test_regulators_alone_enter_and_penalties_act():
    x, screen = cells()
    fit = fit_transport(
        x, screen, TransportConfig(**FAST, n_modules=4), rng=np.random.default_rng(0), regulators=np.array([0, 2])
    )
    assert set(np.flatnonzero((fit.params["B"][0] != 0).any(0))) == {0, 2}
    gated = fit_transport(
        x, screen, TransportConfig(**FAST, n_modules=4), rng=np.random.default_rng(0), sparsity=as_sparsity("l0")
    )
    assert set(gated.params) == {"A", "B", "raw_alpha", "raw_beta", "raw_w", "bias"}  # gates are folded in
    with pytest.raises(ValueError, match="lassonet"):
        fit_transport(
            x, screen, TransportConfig(**FAST), rng=np.random.default_rng(0), sparsity=as_sparsity("lassonet")
        )


def test_knockdowns_are_given_or_learnt():
    x, screen = cells(kinds={f"g{i}": "knockdown" if i == 4 else "overexpression" for i in range(6)})
    x[screen.cells == screen.index("g4"), 4] -= 2.0  # 1.1 + 1.5 - 2: down to about .6
    data = fit_transport(x, screen, TransportConfig(**FAST, n_modules=4), rng=np.random.default_rng(0))
    assert float(data.strengths.rho[4]) == pytest.approx(1 - 0.6 / 1.1, abs=0.03)
    given = fit_transport(x, screen, TransportConfig(**FAST, n_modules=4, knockdown=0.8), rng=np.random.default_rng(0))
    assert float(given.strengths.rho[4]) == pytest.approx(0.8, abs=1e-6)
    learnt = fit_transport(
        x, screen, TransportConfig(**FAST, n_modules=4, learn_strength=True), rng=np.random.default_rng(0)
    )
    assert not torch.allclose(learnt.strengths.rho, data.strengths.rho)
    assert not torch.allclose(learnt.strengths.shift, data.strengths.shift)


def test_arguments_of_dash_are_those_of_fit_dynamics():
    prior = __import__("scipy.sparse", fromlist=["csr_matrix"]).csr_matrix(np.array([[0, -1.0], [0, 0]]))
    default = GeometricSchedule(first=0.5)
    method, known = ScreenSparsity().build(prior, default)
    assert method.name == "dash" and method.schedule == default
    np.testing.assert_array_equal(
        known.dense()[0], [[1, 0], [1, 0]]
    )  # |signs|, (target, regulator), empty rows the mean
    assert ScreenSparsity().build(None, default)[0].name == "none"
    assert ScreenSparsity("imp").build(None, default)[0].name == "imp"
    settings = ScreenSparsity("dash", (0.2, 0.9), "paper", "zero", GeometricSchedule(first=0.1), {})
    assert ScreenSparsity.from_config(settings.config()) == settings


def test_a_transport_fit_predicts_combinations_and_cells(carried):
    both = scdash.tl.predict_perturbations(carried, ["G001", "G002", "G001+G002"])
    assert both.layers["target"][2, [1, 2]].all()
    strong = carried.uns["dynamics"]["screen"]["shift"]
    w = np.log1p(np.exp(carried.uns["dynamics"]["weights"]["raw_w"])) + 1e-4
    np.testing.assert_allclose(both.X[2, [1, 2]], (strong / w)[[1, 2]], rtol=0.05)  # perfect: at rest at s / w
    assert np.isfinite(both.X).all()


def test_a_score_follows_every_step_and_sees_a_batch_before_the_first_pruning():
    class Counting(Score):
        noted: ClassVar[list[int]] = []

        def start(self, field, params, generator):
            return {"steps": torch.zeros(1)}

        def after_step(self, seen):
            assert set(seen.gradients) == set(seen.params) and float(seen.gradients["A"][~seen.masks["A"]].sum()) == 0
            return {"steps": seen.memory["steps"] + 1}

        def __call__(self, seen):
            self.noted.append(int(seen.memory["steps"]))
            return {name: seen.params[name].abs().double() for name in seen.masks}, seen.memory

    x, screen = cells()
    schedule = GeometricSchedule(first=0.3, first_epoch=0, then=0.3, every=2)
    method = Sparsity("counting", score=Counting(), schedule=schedule)
    config = TransportConfig(**FAST | {"steps": 100, "check_every": 10}, n_modules=4)
    fit_transport(x, screen, config, rng=np.random.default_rng(0), sparsity=method)
    assert Counting.noted == [1, 21, 41, 61]
