"""DCDI, DCDFG and Bicycle on a small case of the kind that each of their papers uses."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from benchmarks._perturbode_data import average_precision, sign_aware
from benchmarks.screen_baselines.acyclicity import SpectralRadius, is_acyclic, largest_acyclic_threshold
from benchmarks.screen_baselines.augmented_lagrangian import Lagrangian
from benchmarks.screen_baselines.bicycle import BicycleSettings, _System, bicycle
from benchmarks.screen_baselines.bicycle import _error as error_of_bicycle
from benchmarks.screen_baselines.dcdfg import DCDFGSettings, _FactorGraph, dcdfg
from benchmarks.screen_baselines.dcdi import DCDISettings, dcdi
from benchmarks.screen_baselines.held_out import choose
from benchmarks.screen_baselines.inputs import Cells, checked
from benchmarks.screen_baselines.lyapunov import stationary_covariance
from scipy.linalg import solve_continuous_lyapunov

Screen = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # cells, perturbation of each, targets, true effects
METHODS: tuple[Callable[..., np.ndarray], ...] = (dcdi, dcdfg, bicycle)


def single_gene_perturbations(d: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the perturbation of every cell and the targets: control, then every gene in turn."""
    return np.repeat(np.arange(d + 1), cells), np.vstack([np.zeros(d, bool), np.eye(d, dtype=bool)])


def nonlinear_dag(seed: int, d: int = 6, cells: int = 150) -> Screen:
    """Return a random acyclic graph with nonlinear mechanisms and perfect interventions, as in the paper of DCDI."""
    rng = np.random.default_rng(seed)
    order, truth = rng.permutation(d), np.zeros((d, d))
    for early in range(d):
        for late in range(early + 1, d):
            if rng.random() < 0.35:
                truth[order[early], order[late]] = rng.choice([-1, 1]) * rng.uniform(0.7, 1.5)
    number, targets = single_gene_perturbations(d, cells)
    x = np.zeros((len(number), d))
    for gene in order:
        mean = np.where(targets[number, gene], 2, 1.5 * np.tanh(x @ truth[:, gene]))
        x[:, gene] = mean + 0.6 * rng.normal(size=len(number))
    return x, number, targets, truth


def factor_graph(seed: int, d: int = 12, cells: int = 60) -> Screen:
    """Return three layers of genes joined by one linear factor each, as in the paper of DCDFG."""
    rng = np.random.default_rng(seed)
    layers, truth = np.array_split(rng.permutation(d), 3), np.zeros((d, d))
    for up, down in zip(layers, layers[1:], strict=False):
        enters = rng.uniform(0.25, 0.5, len(up)) * rng.choice([-1, 1], len(up))
        truth[np.ix_(up, down)] = np.outer(enters, rng.uniform(0.7, 1.3, len(down)) * rng.choice([-1, 1], len(down)))
    number, targets = single_gene_perturbations(d, cells)
    x = np.zeros((len(number), d))
    for layer in layers:
        mean = np.where(targets[number][:, layer], 2, x @ truth[:, layer])
        x[:, layer] = mean + 0.5 * rng.normal(size=mean.shape)
    return x, number, targets, truth


def cyclic_system(seed: int, d: int = 8, cells: int = 200) -> Screen:
    """Return steady states of a linear system with a cycle of four genes, as in the paper of Bicycle."""
    rng = np.random.default_rng(seed)
    truth, ring = np.zeros((d, d)), rng.permutation(d)[:4]
    truth[ring, np.roll(ring, -1)] = rng.choice([-1, 1], 4) * rng.uniform(0.5, 0.8, 4)
    while np.count_nonzero(truth) < 10:
        source, target = rng.choice(d, 2, replace=False)
        truth[source, target] = rng.choice([-1, 1]) * rng.uniform(0.5, 0.8)
    truth *= min(1, 0.8 / np.linalg.eigvals(truth).real.max())
    number, targets = single_gene_perturbations(d, cells)
    x = []
    for aimed in targets:
        drift = truth.T * ~aimed[:, None] - np.eye(d)
        covariance = solve_continuous_lyapunov(drift, -0.8 * np.eye(d))
        x.append(rng.multivariate_normal(-np.linalg.solve(drift, np.where(aimed, 3.0, 1.0)), covariance, size=cells))
    return np.vstack(x), number, targets, truth


def correlation(x: np.ndarray, truth: np.ndarray) -> float:
    return average_precision(np.abs(np.corrcoef(x.T)), truth)


def test_dcdi_finds_a_nonlinear_acyclic_graph() -> None:
    x, number, targets, truth = nonlinear_dag(0)
    found = dcdi(x, number, targets, DCDISettings(lagrangian=Lagrangian(rounds=8, steps=100)))
    assert average_precision(found, truth) > 0.95 > 0.7 > correlation(x, truth)
    assert is_acyclic(found > 0.5)
    assert ((found > 0.5) == (truth != 0)).mean() > 0.95


def test_dcdfg_finds_a_factor_graph() -> None:
    x, number, targets, truth = factor_graph(1)
    found = dcdfg(x, number, targets, DCDFGSettings(factors=3, lagrangian=Lagrangian(rounds=8, steps=200)))
    assert average_precision(found, truth) > 0.9 > 0.4 > correlation(x, truth)
    assert not np.diag(found).any()
    assert np.linalg.matrix_rank((found > 0.5).astype(float)) <= 3


def test_bicycle_finds_a_cycle_and_its_signs() -> None:
    x, number, targets, truth = cyclic_system(0)
    found = bicycle(x, number, targets, BicycleSettings(steps=300))
    assert not is_acyclic(truth != 0)
    assert sign_aware(found, truth) > 0.95 > 0.7 > correlation(x, truth)
    assert np.abs(found - truth)[truth != 0].max() < 0.4


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_arrays_that_do_not_fit_are_refused(method: Callable[..., np.ndarray]) -> None:
    x, number, targets, _ = nonlinear_dag(0, d=3, cells=4)
    with pytest.raises(ValueError, match="found shapes"):
        method(x, number[1:], targets)
    with pytest.raises(ValueError, match="rows of targets"):
        method(x, number + 1, targets)
    with pytest.raises(ValueError, match="not finite"):
        method(np.where(np.arange(3) == 1, np.nan, x), number, targets)


def test_dcdi_leaves_a_targets_mechanism_out_of_its_cells() -> None:
    """What a gene does where it is targeted tells nothing of its regulators, here that gene 0 moves with gene 1."""
    rng = np.random.default_rng(0)
    number, targets = np.repeat([0, 1], 300), np.array([[False, False], [True, False]])
    x = rng.normal(size=(600, 2))
    x[number == 1, 0] += 3 * x[number == 1, 1]
    brief = DCDISettings(lagrangian=Lagrangian(rounds=2, steps=200))
    seen, unseen = dcdi(x, number, np.zeros((2, 2), bool), brief), dcdi(x, number, targets, brief)
    assert seen[1, 0] > 0.7 > 0.3 > unseen[1, 0]


def test_graphs_of_dcdfg_are_drawn_with_their_probabilities() -> None:
    """A gene enters a factor, leaves it or does neither, as often as the softmax of its logits says; gradients are relaxed."""
    generator = torch.Generator().manual_seed(0)
    model = _FactorGraph.start(4, 2, 3, generator)
    with torch.no_grad():
        model.logits.normal_(generator=generator)
    drawn = model.masks(40_000, generator)
    for mask, probability in zip(drawn, model.probabilities(), strict=True):
        values, expected = mask.detach().round(), probability.detach().T
        assert (values - mask.detach()).abs().max() < 1e-6
        assert (values.mean(1) - expected).abs().max() < 0.012
    enters, leaves = (mask.detach().round() for mask in drawn)
    assert not (enters * leaves).any()
    (slope,) = torch.autograd.grad(drawn[0][1].mean(0)[2], model.logits)  # of gene 2 into factor 1
    assert slope[2, 1, 0] > 0.05 and (slope[2, 1, 1:] < -0.01).all()
    slope[2, 1] = 0
    assert not slope.any()


def test_a_target_of_bicycle_has_no_regulators_where_it_is_perturbed() -> None:
    system = _System.start(*checked(*nonlinear_dag(0, d=3, cells=4)[:3]))
    with torch.no_grad():
        system.weights.fill_(0.25)
    drift = system.drift(np.array([0, 2])).detach().numpy()
    whole = 0.25 * (1 - np.eye(3)) - np.eye(3)
    assert (drift[0] == whole).all()
    assert (drift[1] == np.where(np.arange(3)[:, None] == 1, -np.eye(3), whole)).all()


def test_covariance_solves_the_lyapunov_equation_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    drift = 0.4 * torch.randn(2, 4, 4, generator=generator, dtype=torch.float64) - 2 * torch.eye(4)
    noise = torch.rand(2, 4, generator=generator, dtype=torch.float64) + 0.5
    found = stationary_covariance(drift, noise)
    rest = drift @ found + found @ drift.mT + torch.diag_embed(noise)
    assert float(rest.abs().max()) < 1e-12
    assert torch.autograd.gradcheck(stationary_covariance, (drift.requires_grad_(), noise.requires_grad_()))


def test_spectral_radius_and_its_gradient() -> None:
    matrix = torch.rand(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    radius = SpectralRadius(6, iterations=200)(matrix)
    assert float(radius.detach()) == pytest.approx(float(torch.linalg.eigvals(matrix.detach()).abs().max()))
    radius.backward()
    step = torch.zeros(6, 6, dtype=torch.float64)
    step[1, 4] = 1e-6
    above, below = (torch.linalg.eigvals(matrix.detach() + s * step).abs().max() for s in (1, -1))
    assert matrix.grad is not None
    assert float(matrix.grad[1, 4]) == pytest.approx(float(above - below) / 2e-6, rel=1e-4)


def test_the_threshold_is_the_lowest_without_a_cycle() -> None:
    score = np.array([[0, 0.9, 0.0], [0.2, 0, 0.8], [0.5, 0.1, 0]])
    least = largest_acyclic_threshold(score)
    assert least == 0.5
    assert is_acyclic(score > least) and not is_acyclic(score > 0.2)


def test_the_graph_is_learned_before_a_constraint_of_a_wide_screen_counts() -> None:
    """The constraint of 100 genes starts near 100 and the likelihood gains 0.1 by all edges: it must not empty the graph."""
    edge = torch.tensor(0.5, requires_grad=True)
    other = torch.tensor(0.5, requires_grad=True)

    def objective() -> torch.Tensor:
        return 0.1 * ((edge**2 - 1) ** 2 + (other**2 - 0.01) ** 2)  # the edge belongs at 1, and 0 is a saddle

    Lagrangian(warm_up=600).minimise([edge, other], objective, lambda: 100 * edge.abs() * other.abs())
    assert float(edge.detach().abs()) > 0.9
    assert float(other.detach().abs()) < 0.02  # the weaker of the two gives way


def test_held_out_perturbations_choose_the_settings() -> None:
    cells = Cells.of(*nonlinear_dag(0, d=5, cells=10)[:3])
    assert cells.perturbed.tolist() == [1, 2, 3, 4, 5]
    seen: list[list[int]] = []

    def error(settings: int, left_out: np.ndarray) -> float:
        seen.append(left_out.tolist())
        return abs(settings - 2)

    assert choose([1, 2, 3], cells.perturbed, error, seed=0) == 2
    assert seen == 3 * [seen[0]] and len(seen[0]) == 1 and seen[0][0] in cells.perturbed
    trained, left_out = cells.split(np.array(seen[0]))
    assert set(left_out.perturbation.tolist()) == set(seen[0])
    assert set(trained.perturbation.tolist()) == set(range(6)) - set(seen[0])  # control cells are always trained on


def test_bicycle_does_not_learn_from_the_perturbations_left_out_for_its_penalty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrays = checked(*cyclic_system(0, d=5, cells=30)[:3])
    left_out, drawn = np.array([2, 4]), set[int]()
    loss = _System.loss

    def seen(system: _System, perturbations: np.ndarray) -> torch.Tensor:
        if torch.is_grad_enabled():
            drawn.update(perturbations.tolist())
        return loss(system, perturbations)

    monkeypatch.setattr(_System, "loss", seen)
    settings = BicycleSettings(penalty=0.01, steps=40)
    found = error_of_bicycle(settings, left_out, arrays=arrays, seed=0)
    assert drawn == {0, 1, 3, 5}
    x, number, targets = arrays
    moved = x + 2 * np.isin(number, left_out)[:, None] * ~targets[number]
    assert error_of_bicycle(settings, left_out, arrays=(moved, number, targets), seed=0) > found + 0.5
    penalties = [replace(settings, penalty=p) for p in (10.0, 0.01)]
    assert choose(penalties, np.arange(1, 6), partial(error_of_bicycle, arrays=arrays, seed=0), seed=0).penalty == 0.01


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_without_settings_held_out_perturbations_choose_among_the_published_and_lighter_penalties(
    method: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[float] = []

    def first(candidates: list[Any], *_: object, **__: object) -> Any:
        offered.extend(settings.penalty for settings in candidates)
        if method is bicycle:
            return candidates[0]
        return replace(candidates[0], lagrangian=Lagrangian(warm_up=1, rounds=1, steps=1))

    monkeypatch.setattr(sys.modules[method.__module__], "choose", first)
    x, number, targets, truth = nonlinear_dag(0, d=3, cells=4)
    assert method(x, number, targets).shape == truth.shape
    assert offered[0] == 0.1 and min(offered) < 0.01
