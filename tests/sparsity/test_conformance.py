"""One contract for every registered field x sparsity method: a newly registered one is tested by existing."""

import itertools
import json
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scdash.fields import FIELDS, Params, SparsePhoenix, VectorField, field_class
from scdash.sparsity import SPARSITIES, Context, GeometricSchedule, Prior, Sparsity, as_sparsity, from_config
from scdash.training import Examples, Problem, TrainConfig, start_state, train
from scdash.training.adam import StackedAdam

GENES, MODELS = 6, 2
# options under which a field is tried; a new field is tried with its defaults
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "phoenix": [
        {"encoder": "genes"},
        {"encoder": "genes", "pairs": ((0, 1), (4, 2))},
        {"encoder": "modules", "n_hidden": 4},
    ],
    "mlp": [{"hidden": (7, 5)}, {"hidden": (5,), "per_target": True}, {"hidden": (5,), "skip": "outer"}],
    "sonode": [{"hidden": (7, 5)}, {"hidden": (5,), "per_target": True}, {"hidden": (5,), "skip": "inner"}],
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dash": [{}, {"scale": "paper", "lambdas": (0.05, torch.tensor([0.01, 0.5]))}],
    "pathreg": [{}, {"granularity": "input", "reduction": "sum"}],
    "lassonet": [{}, {"connection": "outer"}],
}


def _fields() -> list[VectorField]:
    named = [FIELDS[name](GENES, **o) for name in FIELDS for o in VARIANTS.get(name, [{}])]  # type: ignore[call-arg]
    return [*named, SparsePhoenix(GENES, (0, 0, 1, 3, 4, 5), (1, 2, 4, 0, 3, 1))]


def _methods() -> list[Sparsity]:
    return [SPARSITIES[name](**options) for name in SPARSITIES for options in OPTIONS.get(name, [{}])]


def _label(value: VectorField | Sparsity) -> str:
    return "-".join(str(v) for v in value.config().values()) if isinstance(value, VectorField) else value.name


def _pairs() -> list[Any]:
    """Return the pairs that make sense, each field with what the method needs, and leave the refused ones out."""
    found = []
    for field, method in itertools.product(_fields(), _methods()):
        try:
            adapted = method.adapt(field)
        except ValueError:
            continue
        found.append(pytest.param(adapted, method, id=f"{method.name}-{_label(adapted)}"))
    return found


def _start(field: VectorField, method: Sparsity, seed: int = 0) -> tuple[Params, Params, Params]:
    generator = torch.Generator().manual_seed(seed)
    params = field.init(MODELS, generator, torch.float64)
    extra = method.extra_parameters(field, MODELS, generator)
    params |= {name: p.double() for name, p in extra.items()}
    # away from the zeros of a sparse start, where gradients may vanish for good reasons
    params = {name: p + 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in params.items()}
    masks = field.start_masks(params)
    params = {name: p * masks[name] if name in masks else p for name, p in params.items()}
    return params, masks, method.start(field, params, generator)


def _prior(order: Tensor | None = None) -> Prior:
    edges = torch.rand(GENES, GENES, generator=torch.Generator().manual_seed(3)) < 0.4
    edges[4] = False  # a target without prior edges
    return Prior((edges if order is None else edges[order][:, order]).double())


def _states(seed: int = 5) -> Tensor:
    return torch.rand(MODELS, 4, GENES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _objective(field: VectorField, method: Sparsity, params: Params) -> Tensor:
    gated = method.gate(field, params, torch.Generator().manual_seed(1))
    state = field.lift(gated, _states())
    loss = (field.observe(gated, state + field.velocity(gated, state)) - _states(6)).square().mean((1, 2))
    penalty = method.penalty(Context(field, params))
    return loss if penalty is None else loss + penalty


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_penalty_is_finite_per_model_and_differentiable(field: VectorField, method: Sparsity) -> None:
    params, _, _ = _start(field, method)
    leaves = {name: p.requires_grad_() for name, p in params.items()}
    penalty = method.penalty(Context(field, leaves))
    if penalty is not None:
        assert penalty.shape == (MODELS,) and torch.isfinite(penalty).all() and (penalty > 0).all()
        gradients = torch.autograd.grad(penalty.sum(), list(leaves.values()), allow_unused=True)
        assert any(g is not None and bool(g.abs().max() > 0) for g in gradients)
        assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_masks_are_honoured_through_a_training_step(field: VectorField, method: Sparsity) -> None:
    params, masks, memory = _start(field, method)
    masks, memory = method.prune(field, params, masks, memory, 0.5, _prior())
    assert set(masks) == set(field.start_masks(params))
    if method.score is not None:
        assert all(0 < m.sum() < m.numel() for m in masks.values())
    else:  # methods without pruning get masks from elsewhere
        draw = torch.Generator().manual_seed(2)
        masks = {name: m & (torch.rand(m.shape, generator=draw) < 0.5) for name, m in masks.items()}
    leaves = {n: (p * masks[n] if n in masks else p).detach().requires_grad_() for n, p in params.items()}
    gradients = torch.autograd.grad(_objective(field, method, leaves).sum(), list(leaves.values()), allow_unused=True)
    stepped: Params = {}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        assert torch.isfinite(gradient).all()
        if name in masks:
            gradient = gradient * masks[name]
        stepped[name] = leaf.detach() - 0.05 * gradient
    method.prox(Context(field, stepped), torch.full((MODELS,), 0.05))
    for name, mask in masks.items():
        assert (stepped[name] * mask).isfinite().all()
    final, kept = method.finalise(field, {n: p * masks[n] if n in masks else p for n, p in stepped.items()}, masks)
    assert set(final) == set(field.init(1, torch.Generator()))
    for name, mask in masks.items():
        assert not (kept[name] & ~mask).any()
        assert (final[name] == 0)[(~kept[name]).expand_as(final[name])].all()


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_final_weights_are_the_evaluated_model(field: VectorField, method: Sparsity) -> None:
    params, masks, _ = _start(field, method)
    gated = method.gate(field, params, None)
    final, kept = method.finalise(field, params, masks)
    torch.testing.assert_close(
        field.velocity(final, field.lift(final, _states())), field.velocity(gated, field.lift(gated, _states()))
    )
    assert all(kept[name].dtype == torch.bool for name in masks)


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_models_of_a_stack_do_not_touch_each_other(field: VectorField, method: Sparsity) -> None:
    params, masks, memory = _start(field, method)
    changed = {name: torch.cat([p[:1], p[1:] * 1.5 + 0.1]) for name, p in params.items()}
    changed = {name: p * masks[name] if name in masks else p for name, p in changed.items()}
    first, _ = method.prune(field, params, masks, memory, 0.5, _prior())
    second, _ = method.prune(field, changed, masks, memory, 0.5, _prior())
    assert all(torch.equal(first[name][0], second[name][0]) for name in masks)
    torch.testing.assert_close(_objective(field, method, params)[0], _objective(field, method, changed)[0])
    for given in (params, changed):
        method.prox(Context(field, given), 0.1)
    assert all(torch.equal(params[name][0], changed[name][0]) for name in params)


def _matrices() -> list[Any]:
    """Return the pairs whose layers are matrices; lists of edges are compared with one in fields/test_phoenix_sparse.py."""
    return [pair for pair in _pairs() if all(path.entries is None for path in pair.values[0].paths())]


@pytest.mark.parametrize(("field", "method"), _matrices())
def test_relabelling_genes_relabels_masks_and_leaves_the_penalty(field: VectorField, method: Sparsity) -> None:
    params, masks, memory = _start(field, method)
    order = torch.tensor([2, 0, 5, 1, 3, 4])
    moved = field
    if pairs := getattr(field, "pairs", ()):  # these name genes by number
        place = order.argsort().tolist()
        moved = replace(field, pairs=tuple((place[a], place[b]) for a, b in pairs))  # type: ignore[type-var]

    def relabel(tensors: Params) -> Params:
        return {name: _relabel(t, order) for name, t in tensors.items()}

    found, _ = method.prune(field, params, masks, memory, 0.5, _prior())
    again, _ = method.prune(moved, relabel(params), relabel(masks), relabel(memory), 0.5, _prior(order))
    assert all(torch.equal(relabel(found)[name], again[name]) for name in masks)
    penalty, other = method.penalty(Context(field, params)), method.penalty(Context(moved, relabel(params)))
    assert (penalty is None) == (other is None)
    if penalty is not None and other is not None:
        torch.testing.assert_close(penalty, other)
    relabelled = relabel(params)
    method.prox(Context(field, params), 0.1)
    method.prox(Context(moved, relabelled), 0.1)
    for name, expected in relabel(params).items():
        torch.testing.assert_close(relabelled[name], expected)


def _relabel(tensor: Tensor, order: Tensor) -> Tensor:
    """Permute every axis that counts genes (6), or positions and velocities (12); no hidden layer has such a size."""
    for axis in range(1, tensor.ndim):
        if tensor.shape[axis] == GENES:
            tensor = tensor.index_select(axis, order)
        elif tensor.shape[axis] == 2 * GENES:
            tensor = tensor.index_select(axis, torch.cat([order, order + GENES]))
    return tensor


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_settings_survive_json(field: VectorField, method: Sparsity) -> None:
    rebuilt = from_config(json.loads(json.dumps(method.config())))
    assert rebuilt.config() == method.config()
    again = field_class(field.name).from_config(json.loads(json.dumps(field.config())))
    assert again == field
    params, masks, memory = _start(field, method)
    penalty, other = method.penalty(Context(field, params)), rebuilt.penalty(Context(again, params))
    assert (penalty is None and other is None) or torch.equal(penalty, other)  # type: ignore[arg-type]
    first, _ = method.prune(field, params, masks, memory, 0.5, _prior())
    second, _ = rebuilt.prune(again, params, masks, memory, 0.5, _prior())
    assert all(torch.equal(first[name], second[name]) for name in masks)
    assert rebuilt.with_options(**rebuilt.options).config() == method.config()


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_the_training_loop_takes_every_pair(field: VectorField, method: Sparsity) -> None:
    if method.score is not None:
        method = method.with_options(schedule=GeometricSchedule(first=0.4, first_epoch=1, then=0.2, every=2))
    generator = torch.Generator().manual_seed(0)
    states = torch.rand(2, 8, GENES, generator=generator)
    examples = Examples(states[0], torch.tensor([0.0, 1.0]).expand(8, 2), states[1:])
    config = TrainConfig(max_epochs=3, batch_size=8, learning_rate=0.01, steps=1)
    problem = Problem(field, method, examples, examples, config, prior=_prior(), returnable_from=2)
    params = field.init(MODELS, generator)
    result = train(problem, start_state(problem, params), progress=False)
    assert all(torch.isfinite(p).all() for p in result.params.values())
    assert set(result.params) == set(params) and result.best_epoch == [2, 2]
    free = field.start_masks(params)
    for name, mask in result.masks.items():
        assert bool((result.params[name] * ~mask == 0).all())
        if method.score is not None:
            remaining = free[name][0].sum().item()
            remaining -= round(0.4 * remaining)
            assert (mask.flatten(1).sum(1) == remaining - round(0.2 * remaining)).all()
    assert any(bool((result.params[name] != params[name]).any()) for name in params)


@pytest.mark.parametrize(("field", "method"), _pairs())
def test_a_mask_that_keeps_everything_changes_no_step(field: VectorField, method: Sparsity) -> None:
    params, masks, _ = _start(field, method)
    everything = {name: torch.ones_like(mask) for name, mask in masks.items()}
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    gradients = torch.autograd.grad(_objective(field, method, leaves).sum(), list(leaves.values()), allow_unused=True)
    used = {name: g for name, g in zip(leaves, gradients, strict=True) if g is not None}
    rates = {name: torch.full((MODELS,), 0.01, dtype=torch.float64) for name in used}
    found = []
    for given in (None, everything):
        stepped = {name: p.clone() for name, p in params.items()}
        moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in params.items()}
        StackedAdam(stepped, moments, given).step(used, 1, rates)
        found.append(stepped)
    assert all(torch.equal(found[0][name], found[1][name]) for name in params)
    assert all(bool((found[0][name] != params[name]).any()) for name, g in used.items() if bool(g.abs().max() > 0))


def test_every_method_and_every_field_is_tried_and_refusals_give_a_reason() -> None:
    tried = [p.values for p in _pairs()]
    assert {method.name for _, method in tried} == set(SPARSITIES)
    assert {field.name for field, _ in tried} == {*FIELDS, SparsePhoenix.name}
    for field, method in itertools.product(_fields(), _methods()):
        reason = method.refuse(field)
        needs_met = set(method.needs) <= {f.name for f in dataclass_fields(field)}  # type: ignore[arg-type]
        if reason is not None and not needs_met:
            with pytest.raises(
                ValueError, match=f"sparsity='{method.name}' does not fit the vector field '{field.name}'"
            ):
                method.adapt(field)
            assert len(reason.split()) > 5


@pytest.mark.parametrize(
    ("field", "method", "reason"),
    [
        ("phoenix", "lassonet", "skip connection"),
        ("phoenix", "group_lasso", "one network per target"),
    ],
)
def test_combinations_without_meaning_are_refused(field: str, method: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        as_sparsity(method).adapt(FIELDS[field](GENES))  # type: ignore[call-arg]


def test_objects_take_no_further_options() -> None:
    with pytest.raises(TypeError, match="set them there"):
        as_sparsity(as_sparsity("dash"), scale="paper")
    with pytest.raises(ValueError, match="Did you mean 'dash'"):
        as_sparsity("dahs")
