"""PHOENIX against the authors' numbers, the equation written out, closed forms and symmetries."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scdash.fields import FIELDS, Phoenix

NAMES = ("W_sums", "W_prods", "b_sums", "b_prods", "U_sums", "U_prods", "v")


@pytest.fixture
def golden(golden_numbers: Callable[[str], dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(value) for key, value in golden_numbers("phoenix_forward").items()}


def test_forward_equals_the_released_model(golden: dict[str, torch.Tensor]) -> None:
    field = Phoenix(5, encoder="modules", n_hidden=3)
    # two models: the golden one and one at twice its rates, which must be exactly twice as fast
    params = {name: torch.stack([golden[name], golden[name] * (2 if name == "v" else 1)]) for name in NAMES}
    velocity = field.velocity(params, golden["g"].expand(2, -1, -1))
    torch.testing.assert_close(velocity[0], golden["dgdt"], atol=1e-9, rtol=0)
    torch.testing.assert_close(velocity[1], 2 * golden["dgdt"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("pairs", [(), ((0, 1), (3, 2), (4, 4))])
def test_gene_wise_velocity_is_its_equation(pairs: tuple[tuple[int, int], ...]) -> None:
    field = Phoenix(5, pairs=pairs)
    generator = torch.Generator().manual_seed(0)
    params = field.init(2, generator, torch.float64)
    params = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in params.items()}
    x = torch.rand(2, 3, 5, generator=generator, dtype=torch.float64)
    found = field.velocity(params, x)
    for model in range(2):
        p = {name: value[model] for name, value in params.items()}
        for state, velocity in zip(x[model], found[model], strict=True):
            phi = (state - 0.5) / (1 + (state - 0.5).abs())
            products = torch.stack([phi[a] * phi[b] for a, b in pairs]) if pairs else torch.zeros(0)
            expected = p["U_sums"] @ phi + p["bias"] - state
            if pairs:
                expected = expected + p["U_prods"] @ products
            torch.testing.assert_close(velocity, p["v"].relu() * expected)


@pytest.mark.parametrize("field", [Phoenix(7), Phoenix(7, encoder="modules", n_hidden=3), Phoenix(7, pairs=((0, 1),))])
def test_shapes_config_and_double_precision(field: Phoenix) -> None:
    params = field.init(3, torch.Generator().manual_seed(1))
    assert all(p.shape[0] == 3 and p.dtype == torch.float32 for p in params.values())
    assert field.velocity(params, torch.rand(3, 4, 7)).shape == (3, 4, 7)
    assert FIELDS["phoenix"].from_config(field.config()) == field
    again = field.init(3, torch.Generator().manual_seed(1))
    assert all(torch.equal(params[name], again[name]) for name in params)


def test_module_weights_start_as_the_released_code_does() -> None:
    params = Phoenix(60, encoder="modules", n_hidden=40).init(2, torch.Generator().manual_seed(0), torch.float64)
    for branch in ("sums", "prods"):
        assert ((params[f"W_{branch}"] == 0).sum(1) == 38).all()  # 95 % of 40 in every column
        assert params[f"W_{branch}"][params[f"W_{branch}"] != 0].std() == pytest.approx(0.05, rel=0.2)
        columns = params[f"U_{branch}"].mT @ params[f"U_{branch}"]
        torch.testing.assert_close(columns, torch.eye(40, dtype=torch.float64).expand(2, -1, -1))
        assert params[f"b_{branch}"].abs().max() <= 60**-0.5
    assert 0 <= params["v"].min() and params["v"].max() <= 1


def test_gene_wise_networks_have_no_self_edges() -> None:
    field = Phoenix(6)
    params = field.init(2, torch.Generator().manual_seed(0))
    assert params["U_sums"].diagonal(dim1=1, dim2=2).abs().max() == 0
    masks = field.start_masks(params)
    assert set(masks) == {"U_sums"} and masks["U_sums"].shape == (2, 6, 6)
    assert not masks["U_sums"].diagonal(dim1=1, dim2=2).any() and masks["U_sums"].sum() == 2 * 30


def test_states_far_from_the_data_stay_finite() -> None:
    field = Phoenix(4, encoder="modules", n_hidden=2)
    params = field.init(1, torch.Generator().manual_seed(0))
    x = torch.tensor([[[-1e3, 0.0, 1.0, 1e3]]])
    assert torch.isfinite(field.velocity(params, x)).all()


@pytest.mark.parametrize("encoder", ["genes", "modules"])
def test_relabelling_genes_relabels_the_velocity(encoder: str) -> None:
    field = Phoenix(6, encoder=encoder, n_hidden=3)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(2)
    params = field.init(1, generator, torch.float64)
    order = torch.randperm(6, generator=generator)
    gene_axes = {"W_sums": (2,), "W_prods": (2,), "U_prods": (1,), "v": (1,), "bias": (1,)}
    gene_axes["U_sums"] = (1, 2) if encoder == "genes" else (1,)
    relabelled = dict(params)
    for name, axes in gene_axes.items():
        for axis in axes:
            if name in relabelled:
                relabelled[name] = relabelled[name].index_select(axis, order)
    x = torch.rand(1, 5, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(field.velocity(relabelled, x[..., order]), field.velocity(params, x)[..., order])


def test_bad_settings_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="Did you mean 'modules'"):
        Phoenix(5, encoder="module")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="indices from 0 to 4"):
        Phoenix(5, pairs=((0, 5),))
    with pytest.raises(ValueError, match="encoder='genes'"):
        Phoenix(5, encoder="modules", pairs=((0, 1),))
