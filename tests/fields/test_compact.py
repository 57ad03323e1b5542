"""The field on the weights left by pruning computes what the whole field does, gradients included."""

import pytest
import torch

from scdash.fields import Compact, Params, Phoenix, VectorField
from scdash.fields import compact as _compact
from scdash.fields import evaluator as _evaluator
from scdash.fields import support as _support
from scdash.solve import rk4_path
from scdash.sparsity import prune_to


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compact, "LARGE", 0)
    monkeypatch.setattr(_compact, "WIDE", 0)
    monkeypatch.setattr(_compact, "DENSE", 1.0)


@pytest.fixture(params=["mkl", "own"])
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "own":
        monkeypatch.setattr(_support.torch.backends.mkl, "is_available", lambda: False)


FIELDS = {
    "modules": Phoenix(9, encoder="modules", n_hidden=5),
    "genes": Phoenix(9),
    "genes with pairs": Phoenix(9, pairs=((0, 1), (3, 2), (4, 4), (8, 0), (7, 6))),
}


def pruned(models: int = 2, kind: str = "modules") -> tuple[VectorField, dict, dict]:
    field = FIELDS[kind]
    generator = torch.Generator().manual_seed(3)
    params = field.init(models, generator, torch.float64)
    params = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in params.items()}
    # models differ in how much is left
    params, masks = prune_to(field, params, torch.linspace(0.5, 0.8, models))
    # a unit that reaches no gene, a gene that nothing reads, a gene without inputs
    for name, cut in (
        ("U_sums", (..., slice(None), 0)),
        ("W_sums", (..., 4)),
        ("W_prods", (..., 4)),
        ("U_prods", (..., 2, slice(None))),
    ):
        if name in masks:
            masks[name][cut] = False
    return field, {name: p * masks[name] if name in masks else p for name, p in params.items()}, masks


def same_gradients(compact: Compact, found: Params, expected: Params, masks: Params) -> None:
    """Gradients of gathered weights are those of the whole field's weights that are left."""
    spread = {name: gradient.new_zeros(gradient.shape) for name, gradient in expected.items()}
    compact.scatter(found, spread)
    for name, gradient in expected.items():
        torch.testing.assert_close(spread[name], gradient * masks[name] if name in masks else gradient)


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("models", [1, 2])
def test_velocity_and_gradients_are_those_of_the_whole_field(models: int, kind: str, product: None) -> None:
    field, params, masks = pruned(models, kind)
    compact = field.compact(masks)
    x = torch.rand(models, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for one, weights in ((field, params), (compact.field, compact.gather(params))):
        leaves = {name: p.detach().clone().requires_grad_() for name, p in weights.items()}
        start = x.clone().requires_grad_()
        velocity = one.velocity(leaves, one.lift(leaves, start))
        again = one.velocity(leaves, one.lift(leaves, start + 0.1 * velocity))  # through two evaluations
        gradients = torch.autograd.grad((again**2).sum(), [start, *leaves.values()])
        found.append((again, gradients[0], dict(zip(leaves, gradients[1:], strict=True))))
    (whole, by_x, by_weights), (small, small_x, small_weights) = found
    torch.testing.assert_close(small, whole)
    torch.testing.assert_close(small_x, by_x)
    same_gradients(compact, small_weights, by_weights, masks)


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("width", [4, 10, 256])  # gradients of weights from one, two and all evaluations at a time
def test_a_solve_is_that_of_the_whole_field(width: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_evaluator, "WIDTH", width)
    field, params, masks = pruned(2, kind)
    compact = field.compact(masks)
    x = torch.rand(2, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = torch.rand(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).cumsum(2)
    found = []
    for one, weights in ((field, params), (compact.field, compact.gather(params))):
        leaves = {name: p.detach().clone().requires_grad_() for name, p in weights.items()}
        path = rk4_path(one.evaluator(leaves), leaves, one.lift(leaves, x), times, 2)
        weight = torch.linspace(-1, 1, path.numel(), dtype=torch.float64).reshape(path.shape)
        gradients = torch.autograd.grad((path * weight).sum(), list(leaves.values()))
        found.append((path, dict(zip(leaves, gradients, strict=True))))
    (whole, expected), (small, gradients) = found
    torch.testing.assert_close(small, whole)
    same_gradients(compact, gradients, expected, masks)


@pytest.mark.parametrize("kind", FIELDS)
def test_gathered_weights_go_back_where_they_were(kind: str) -> None:
    field, params, masks = pruned(2, kind)
    compact = field.compact(masks)
    empty = {name: torch.zeros_like(p) for name, p in params.items()}
    compact.scatter(compact.gather(params), empty)
    assert all(torch.equal(empty[name], params[name]) for name in params)


def test_genes_that_no_unit_reads_and_units_that_reach_no_gene_are_not_computed() -> None:
    field, _, masks = pruned(1)
    (layout,) = field.compact(masks).field.layouts
    assert 4 not in layout.genes
    assert 0 not in layout.encoders[0].support.forward.index


@pytest.mark.parametrize("kind", FIELDS)
def test_small_or_dense_networks_stay_dense(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field, _, masks = pruned(1, kind)
    monkeypatch.setattr(_compact, "DENSE", 0.1)
    assert field.compact(masks) is None
    monkeypatch.setattr(_compact, "DENSE", 1.0)
    monkeypatch.setattr(_compact, "LARGE" if kind == "modules" else "WIDE", 1000)
    assert field.compact(masks) is None
    assert Phoenix(4).compact({}) is None


@pytest.mark.parametrize("kind", FIELDS)
def test_not_a_number_is_passed_on(kind: str, product: None) -> None:
    field, params, masks = pruned(1, kind)
    compact = field.compact(masks)
    x = torch.full((1, 2, 9), torch.nan, dtype=torch.float64)
    assert bool(torch.isnan(compact.field.velocity(compact.gather(params), x)).all())
