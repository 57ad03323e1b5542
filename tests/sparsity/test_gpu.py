"""A GPU gives the masks, scores and trajectories of the CPU."""

import pytest
import torch

from scdash.fields import FIELDS, Mlp, Params, Phoenix, VectorField
from scdash.solve import integrate
from scdash.sparsity import Context, Prior, as_sparsity

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def _to(tensors: Params, device: str) -> Params:
    return {name: t.to(device) for name, t in tensors.items()}


@pytest.mark.parametrize("field", [Phoenix(30), Phoenix(30, encoder="modules", n_hidden=5), Mlp(30, hidden=(8, 6)),
                                   Phoenix(30, pairs=((0, 1), (2, 3)))])  # fmt: skip
def test_pruning_and_trajectories(field: VectorField) -> None:
    generator = torch.Generator().manual_seed(0)
    params = field.init(2, generator, torch.float64)
    edges = torch.rand(30, 30, generator=generator) < 0.1
    method, found, paths = as_sparsity("dash"), [], []
    memory = method.start(field, params, generator)
    for device in ("cpu", "cuda"):
        here = _to(params, device)
        masks, _ = method.prune(field, here, field.start_masks(here), _to(memory, device), 0.6, Prior(edges.double()))
        found.append(_to(masks, "cpu"))
        start = field.lift(here, torch.full((2, 3, 30), 0.4, dtype=torch.float64, device=device))
        paths.append(integrate(field.bind(here), start, torch.tensor([0.0, 1.0, 3.0])).cpu())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    torch.testing.assert_close(paths[0], paths[1])


@pytest.mark.parametrize("name", ["l0", "pathreg", "cnode", "lassonet", "group_lasso"])
def test_gates_penalties_and_proximal_steps(name: str) -> None:
    method = as_sparsity(name)
    field = method.adapt(FIELDS["mlp"](12))  # type: ignore[call-arg]
    generator = torch.Generator().manual_seed(0)
    params = field.init(2, generator, torch.float64)
    params |= {k: p.double() for k, p in method.extra_parameters(field, 2, generator).items()}
    results = []
    for device in ("cpu", "cuda"):
        here = _to({k: p.clone() for k, p in params.items()}, device)
        penalty = method.penalty(Context(field, here))
        gated = method.gate(field, here, torch.Generator().manual_seed(1))
        method.prox(Context(field, here), torch.tensor([0.01, 0.1], device=device))
        final, masks = method.finalise(field, here, field.start_masks(here))
        results.append([*_to(gated, "cpu").values(), *_to(final, "cpu").values(), *_to(masks, "cpu").values(),
                        torch.zeros(2) if penalty is None else penalty.cpu()])  # fmt: skip
    for cpu, gpu in zip(*results, strict=True):
        torch.testing.assert_close(cpu, gpu)
