"""Proximal operators against brute-force minimisers of the objectives they stand for."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scdash.fields import Mlp, Params, Sonode
from scdash.sparsity import Context, group_lasso, group_soft_threshold, hierarchical_prox, lassonet

numbers = st.floats(-3, 3, allow_nan=False).map(lambda x: round(x, 3))


def _vectors(least: int = 1) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=least, max_size=4)


def _tensor(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=150, deadline=None)
@given(skip=_vectors(), weight=_vectors(), lam=st.floats(0, 4), rho=st.floats(0.0, 12))
def test_hierarchical_prox_minimises_its_objective(
    skip: list[float], weight: list[float], lam: float, rho: float
) -> None:
    v0, u0 = _tensor(skip), _tensor(weight)
    v, u = hierarchical_prox(v0, u0, lam, rho)
    assert float(u.abs().max()) <= rho * float(v.norm()) + 1e-9

    def objective(length: float) -> float:
        # given |v| = length the best v points along v0 and the best u is u0 cut to the bound
        cut = np.clip(u0.numpy(), -rho * length, rho * length)
        return 0.5 * (float(v0.norm()) - length) ** 2 + 0.5 * float(((u0.numpy() - cut) ** 2).sum()) + lam * length

    found = 0.5 * float((v - v0).square().sum() + (u - u0).square().sum()) + lam * float(v.norm())
    top = float(v0.norm()) + 12 * float(u0.abs().sum()) + 1
    grid = np.linspace(0, top, 2001)
    start = grid[np.argmin([objective(length) for length in grid])]
    step = grid[1]
    best = minimize_scalar(objective, bounds=(max(start - step, 0), start + step), method="bounded",
                           options={"xatol": 1e-10}).fun  # fmt: skip
    assert found <= min(best, objective(0.0)) + 1e-7


def test_hierarchical_prox_at_its_limits() -> None:
    v0, u0 = _tensor([3.0, -4.0]), _tensor([1.0, -2.0])
    v, u = hierarchical_prox(v0, u0, 1.0, 0.0)  # no network: a group soft threshold of the skip weights
    torch.testing.assert_close(v, v0 * 0.8)
    assert u.abs().max() == 0
    v, u = hierarchical_prox(v0, u0, 1.0, 1e6)  # a free network, and nothing shrinks in it
    torch.testing.assert_close(u, u0)
    v, u = hierarchical_prox(v0, u0 * 0.01, 100.0, 1.0)
    assert v.abs().max() == 0 and u.abs().max() == 0
    v, _ = hierarchical_prox(v0 * 0, u0 * 5, 0.1, 1.0)  # the network calls for a skip weight
    assert v.norm() > 0 and torch.isfinite(v).all()


@settings(max_examples=60, deadline=None)
@given(group=_vectors(2), threshold=st.floats(0, 4))
def test_group_threshold_minimises_its_objective(group: list[float], threshold: float) -> None:
    w0 = _tensor(group)
    w = group_soft_threshold(w0[None], threshold, 1)[0]

    def objective(w: torch.Tensor) -> float:
        return 0.5 * float((w - w0).square().sum()) + threshold * float(w.norm())

    best = min(objective(w0 * scale) for scale in np.linspace(0, 1, 501))
    assert objective(w) <= best + 1e-9
    for direction in itertools.islice(torch.randn(20, len(group), dtype=torch.float64), 20):
        assert objective(w) <= objective(w + 0.01 * direction) + 1e-9


def _start(field: Mlp | Sonode, models: int = 2) -> Params:
    return field.init(models, torch.Generator().manual_seed(0), torch.float64)


@pytest.mark.parametrize("connection", ["inner", "outer"])
@pytest.mark.parametrize("cls", [Mlp, Sonode])
def test_lassonet_step_holds_the_bound_for_every_input_and_model(cls: type, connection: str) -> None:
    method = lassonet(lambdas=torch.tensor([0.5, 2.0]), rho=0.3, connection=connection)  # type: ignore[arg-type]
    field = method.adapt(cls(5, hidden=(6, 4)))
    assert field.skip == connection  # type: ignore[attr-defined]
    params = _start(field)  # type: ignore[arg-type]
    before = {k: p.clone() for k, p in params.items()}
    method.prox(Context(field, params), torch.tensor([0.1, 0.5]))
    inputs = params["S"].shape[2]
    for model, lam in enumerate((0.05, 1.0)):
        for k in range(inputs):
            v, u = hierarchical_prox(before["S"][model, :, k], before["W1"][model, :, k], lam, 0.3)
            torch.testing.assert_close(params["S"][model, :, k], v)
            torch.testing.assert_close(params["W1"][model, :, k], u)
    bound = 0.3 * params["S"].norm(dim=1)
    assert (params["W1"].abs().amax(1) <= bound + 1e-12).all()
    assert (params["S"][1] == 0).all(0).any()  # the stronger model has lost inputs
    final, masks = method.finalise(field, params, field.start_masks(params))
    assert torch.equal(masks["S"], final["S"] != 0)


@pytest.mark.parametrize("cls", [Mlp, Sonode])
def test_group_lasso_step_drops_whole_edges(cls: type) -> None:
    field = group_lasso(hidden=3).adapt(cls(5))
    params = _start(field)  # type: ignore[arg-type]
    before = params["W1"].clone()
    cut = 1.0001 * float(before[1].norm(dim=1).median())  # no edge exactly on the threshold
    method = group_lasso(lambdas=torch.tensor([0.0, 2 * cut]))
    method.prox(Context(field, params), 0.5)
    assert torch.equal(params["W1"][0], before[0])
    norm = before[1].norm(dim=1)
    expected = before[1] * (1 - cut / norm).clamp_min(0)[:, None]
    torch.testing.assert_close(params["W1"][1], expected)
    _, masks = method.finalise(field, params, field.start_masks(params))
    assert torch.equal(masks["W1"][1, :, 0], norm > cut)
    assert 0 < masks["W1"][1].sum() < masks["W1"][1].numel()


def test_targets_networks_of_group_lasso_are_separate_networks() -> None:
    field = Mlp(4, hidden=(3,), per_target=True)
    params = _start(field)
    x = torch.rand(2, 6, 4, dtype=torch.float64)
    velocity = field.velocity(params, x)
    for model, target in itertools.product(range(2), range(4)):
        p = {k: v[model, target] for k, v in params.items()}
        expected = torch.nn.functional.elu(x[model] @ p["W1"].T + p["b1"]) @ p["W2"] + p["b2"]
        torch.testing.assert_close(velocity[model, :, target], expected)
