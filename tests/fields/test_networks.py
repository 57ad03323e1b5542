"""The plain network fields: their equations, second-order states, and what they refuse."""

import pytest
import torch
from torch.nn.functional import elu

from scdash.fields import FIELDS, Mlp, Sonode
from scdash.solve import integrate


def _params(field):  # type: ignore[no-untyped-def]
    return field.init(2, torch.Generator().manual_seed(0), torch.float64)


def _layered(
    p: dict[str, torch.Tensor], x: torch.Tensor, depth: int, weight: str = "W", bias: str = "b"
) -> torch.Tensor:
    for number in range(1, depth + 1):
        x = p[f"{weight}{number}"] @ x + p[f"{bias}{number}"]
        x = elu(x) if number < depth else x
    return x


@pytest.mark.parametrize("skip", ["none", "inner", "outer"])
def test_mlp_is_its_equation(skip: str) -> None:
    field = Mlp(4, hidden=(6, 5), skip=skip)  # type: ignore[arg-type]
    params, x = _params(field), torch.rand(2, 3, 4, dtype=torch.float64)
    velocity, observed = field.velocity(params, x), field.observe(params, x[None])[0]
    for model in range(2):
        p = {k: v[model] for k, v in params.items()}
        for b in range(3):
            expected = _layered(p, x[model, b], 3) + (p["S"] @ x[model, b] if skip == "inner" else 0)
            torch.testing.assert_close(velocity[model, b], expected)
            seen = x[model, b] + (p["S"] @ x[model, b] if skip == "outer" else 0)
            torch.testing.assert_close(observed[model, b], seen)


@pytest.mark.parametrize("skip", ["none", "inner", "outer"])
def test_sonode_is_its_equation(skip: str) -> None:
    field = Sonode(3, hidden=(6, 5), skip=skip)  # type: ignore[arg-type]
    params, x = _params(field), torch.rand(2, 4, 3, dtype=torch.float64)
    state = field.lift(params, x)
    velocity, observed = field.velocity(params, state), field.observe(params, state)
    assert state.shape == velocity.shape == (2, 4, 6) and observed.shape == (2, 4, 3)
    for model in range(2):
        p = {k: v[model] for k, v in params.items()}
        for b in range(4):
            start = _layered(p, x[model, b], 3, "V", "c")
            torch.testing.assert_close(state[model, b], torch.cat([x[model, b], start]))
            z = state[model, b]
            acceleration = _layered(p, z, 3) + (p["S"] @ z if skip == "inner" else 0)
            torch.testing.assert_close(velocity[model, b], torch.cat([start, acceleration]))
            torch.testing.assert_close(observed[model, b], z[:3] + (p["S"] @ z if skip == "outer" else 0))


def test_sonode_without_a_force_moves_in_straight_lines() -> None:
    field = Sonode(3, hidden=(4,))
    params = _params(field)
    for name in ("W1", "W2", "b1", "b2"):
        params[name] = params[name] * 0
    x = torch.rand(2, 5, 3, dtype=torch.float64)
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    start = field.lift(params, x)
    path = field.observe(params, integrate(field.bind(params), start, times))
    torch.testing.assert_close(path, x + times[:, None, None, None] * start[..., 3:])


@pytest.mark.parametrize("field", [Mlp(4), Mlp(4, hidden=(3,), per_target=True), Sonode(4, skip="outer", hidden=(7,)),
                                   Sonode(4, hidden=(3,), per_target=True)])  # fmt: skip
def test_config_rebuilds_the_field(field: Mlp | Sonode) -> None:
    assert FIELDS[field.name].from_config(field.config()) == field
    params = field.init(2, torch.Generator().manual_seed(0))
    assert all(p.dtype == torch.float32 and p.shape[0] == 2 for p in params.values())
    masks = field.start_masks(params)
    assert all((masks[k] * params[k]).shape == params[k].shape for k in masks)
    (path,) = field.paths()
    assert path.layers[0].importance(params).shape[2] == 4 * (1 if field.name == "mlp" else 2)
    assert path.layers[-1].effect(params).shape[1] == 4


def test_bad_options_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="Did you mean 'inner'"):
        Mlp(4, skip="iner")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hidden=\(10,\)"):
        Sonode(4, hidden=(5, 5), per_target=True)
    with pytest.raises(ValueError, match="must be positive"):
        Mlp(4, hidden=())
