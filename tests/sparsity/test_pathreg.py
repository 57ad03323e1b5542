"""Gates and path penalties against the released layer's numbers, closed forms and their own definition."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from scdash.fields import Mlp, Params, Phoenix
from scdash.networks import dependencies, feature_sparsity, weight_sparsity
from scdash.sparsity import Context, cnode, l0, pathreg
from scdash.sparsity._hard_concrete import evaluation_gate, probability_open, sample_gate

FIELD = Mlp(4, hidden=(3,))
EXACT = {"atol": 1e-10, "rtol": 0}


@pytest.fixture
def golden(golden_numbers: Callable[[str], dict[str, np.ndarray]]) -> dict[str, Tensor]:
    return {key: torch.as_tensor(value) for key, value in golden_numbers("pathreg").items()}


def _params(golden: dict[str, Tensor], *, per_weight: bool) -> Params:
    """Two equal models; the file stores (inputs, outputs)."""
    params = {"W1": golden["W1"].T, "W2": golden["W2"].T, "b1": golden["b1"], "b2": golden["b2"]}
    for layer in (1, 2):
        gates = golden[f"pw_log_alpha{layer}"].T if per_weight else golden[f"log_alpha{layer}"][None]
        params[f"log_alpha_W{layer}"] = gates
    return {name: p.expand(2, *p.shape) for name, p in params.items()}


def test_gates_of_the_released_layer(golden: dict[str, Tensor]) -> None:
    for layer in (1, 2):
        log_alpha = golden[f"log_alpha{layer}"]
        torch.testing.assert_close(probability_open(log_alpha), golden[f"p_open{layer}"], **EXACT)
        torch.testing.assert_close(evaluation_gate(log_alpha), golden[f"z_test{layer}"], **EXACT)
        torch.testing.assert_close(sample_gate(log_alpha, golden[f"u{layer}"]), golden[f"z_train{layer}"], **EXACT)
        torch.testing.assert_close(
            evaluation_gate(golden[f"pw_log_alpha{layer}"]), golden[f"pw_z_test{layer}"], **EXACT
        )


@pytest.mark.parametrize("per_weight", [False, True])
def test_penalties_of_the_released_layer(golden: dict[str, Tensor], per_weight: bool) -> None:
    params, prefix = _params(golden, per_weight=per_weight), "pw_" if per_weight else ""
    granularity = "weight" if per_weight else "input"
    expected = golden[f"{prefix}l0_penalty"]
    found = l0(lambdas=2.0, reduction="sum", granularity=granularity).penalty(Context(FIELD, params))  # type: ignore[arg-type]
    torch.testing.assert_close(found, 2 * expected.expand(2), **EXACT)
    mean = l0(lambdas=1.0, granularity=granularity).penalty(Context(FIELD, params))  # type: ignore[arg-type]
    torch.testing.assert_close(mean, expected.expand(2) / 24, **EXACT)
    torch.testing.assert_close(
        cnode(lambdas=1.0, reduction="sum").penalty(Context(FIELD, params)), golden["A_norm11"].expand(2), **EXACT
    )
    torch.testing.assert_close(
        cnode(lambdas=1.0).penalty(Context(FIELD, params)), golden["A_mean_notebook"].expand(2), **EXACT
    )
    method = pathreg(lambdas=(torch.tensor([0.5, 1.0]), 3.0), reduction="sum", granularity=granularity)  # type: ignore[arg-type]
    gates = golden[f"{prefix}A_z_norm11"]
    total = torch.stack([0.5 * gates, gates]) + 3 * golden["A_norm11"]
    torch.testing.assert_close(method.penalty(Context(FIELD, params)), total, **EXACT)


def test_gated_network_and_its_sparsity(golden: dict[str, Tensor]) -> None:
    params = _params(golden, per_weight=False)
    method = pathreg(granularity="input")
    gated = method.gate(FIELD, params, None)
    velocity = FIELD.velocity(gated, golden["x"].expand(2, -1, -1))
    torch.testing.assert_close(velocity[1], golden["f_eval_elu"], **EXACT)
    torch.testing.assert_close(dependencies(FIELD, gated)[0], golden["eq13_ztest"], **EXACT)
    assert feature_sparsity(FIELD, gated)[0] == pytest.approx(float(golden["feature_sparsity_ztest"]))
    assert weight_sparsity(FIELD, gated)[0] == pytest.approx(float(golden["weight_sparsity_ztest"]))
    drawn = {k: p.clone() for k, p in gated.items()}
    for layer in (1, 2):
        gate = sample_gate(golden[f"log_alpha{layer}"], golden[f"u{layer}"])
        drawn[f"W{layer}"] = params[f"W{layer}"] * gate
    velocity = FIELD.velocity(drawn, golden["x"].expand(2, -1, -1))
    torch.testing.assert_close(velocity[0], golden["f_train_elu_fixed_u"], **EXACT)


def test_evaluation_gates_are_exactly_zero_up_to_minus_ln_11() -> None:
    edge = -math.log(11)
    gates = evaluation_gate(torch.tensor([edge - 1e-6, edge + 1e-3, -edge - 1e-3, -edge + 1e-6], dtype=torch.float64))
    assert gates[0] == 0 and 0 < gates[1] < 1e-3 and 1 > gates[2] > 1 - 1e-3 and gates[3] == 1


def test_share_of_open_draws_is_the_stated_probability() -> None:
    log_alpha = torch.tensor([-3.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    draws = 20000
    uniform = torch.rand(draws, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = (sample_gate(log_alpha, uniform) != 0).double().mean(0)
    p = probability_open(log_alpha)
    assert ((share - p).abs() < 4 * (p * (1 - p) / draws).sqrt()).all()  # four standard errors


def test_a_draw_depends_on_the_generator_alone_and_evaluation_draws_nothing() -> None:
    field = Phoenix(6, encoder="modules", n_hidden=3)
    method = l0()
    generator = torch.Generator().manual_seed(0)
    params = field.init(2, generator)
    params |= method.extra_parameters(field, 2, generator)
    first, again = (method.gate(field, params, torch.Generator().manual_seed(5))["U_sums"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, method.gate(field, params, torch.Generator().manual_seed(6))["U_sums"])
    assert torch.equal(method.gate(field, params, None)["U_sums"], method.gate(field, params, None)["U_sums"])
    assert set(method.gate(field, params, None)) == set(field.init(1, generator))  # no gates left among the weights


def test_first_layers_start_more_open() -> None:
    method, field = pathreg(), Mlp(30, hidden=(20, 20))
    gates = method.extra_parameters(field, 2, torch.Generator().manual_seed(0))
    assert {name: tuple(g.shape) for name, g in gates.items()}["log_alpha_W1"] == (2, 20, 30)
    for name, drop in (("log_alpha_W1", 0.2), ("log_alpha_W2", 0.5), ("log_alpha_W3", 0.5)):
        assert gates[name].mean() == pytest.approx(math.log((1 - drop) / drop), abs=0.005)
        assert gates[name].std() == pytest.approx(0.01, rel=0.2)
    per_input = pathreg(granularity="input").extra_parameters(field, 2, torch.Generator().manual_seed(0))
    assert per_input["log_alpha_W1"].shape == (2, 1, 30)


def test_finalised_weights_are_the_evaluation_network_with_masks() -> None:
    method, field = pathreg(), Mlp(5, hidden=(4,))
    generator = torch.Generator().manual_seed(0)
    params = field.init(2, generator, torch.float64)
    params |= {k: 4 * torch.randn(g.shape, generator=generator, dtype=torch.float64)
               for k, g in method.extra_parameters(field, 2, generator).items()}  # fmt: skip
    final, masks = method.finalise(field, params, field.start_masks(params))
    x = torch.rand(2, 3, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(field.velocity(final, x), field.velocity(method.gate(field, params, None), x))
    for name in ("W1", "W2"):
        shut = params[f"log_alpha_{name}"] <= -math.log(11)
        assert 0 < shut.sum() < shut.numel()
        assert torch.equal(masks[name], ~shut) and torch.equal(final[name] == 0, shut)


def test_strengths_and_options_are_checked() -> None:
    with pytest.raises(ValueError, match="two, \\(gates, weights\\), found 1"):
        pathreg(lambdas=0.1)
    with pytest.raises(ValueError, match="one strength here"):
        l0(lambdas=[0.1, 0.2])
    with pytest.raises(ValueError, match="non-negative"):
        cnode(lambdas=-1.0)
    with pytest.raises(ValueError, match="Unknown reduction"):
        cnode(reduction="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Did you mean 'weight'"):
        l0(granularity="weights")  # type: ignore[arg-type]


def test_open_gates_change_nothing_and_held_gates_are_those_of_evaluation() -> None:
    field, generator = Mlp(5, hidden=(4,)), torch.Generator().manual_seed(0)
    method = pathreg()
    params = field.init(2, generator)
    opened = params | method.opened(field, 2)
    for name, value in method.gate(field, opened, None).items():
        assert torch.equal(value, params[name])
    drawn = method.gate(field, opened, torch.Generator().manual_seed(1))
    assert not torch.equal(drawn["W1"], params["W1"])
    half = params | {name: torch.zeros_like(gates) for name, gates in method.opened(field, 2).items()}
    settled, again = method.settled(), method.gate(field, half, None)
    for name, value in settled.gate(field, half, torch.Generator().manual_seed(1)).items():
        assert torch.equal(value, again[name])
    assert set(settled.learning_rates(field)) == {"log_alpha_W1", "log_alpha_W2"}
    assert set(settled.learning_rates(field).values()) == {0.0}
    assert cnode().opened(field, 2) == {}
