"""The stacked Adam is torch's, with a learning rate for every model, and masks change nothing but what they mask."""

import pytest
import torch
from torch import Tensor

import scdash
from scdash.training.adam import StackedAdam

SHAPES = {"W": (3, 4, 5), "b": (3, 4)}


def drawn(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def stepped(masks: dict[str, Tensor] | None, rates: Tensor, *, steps: int = 5) -> dict[str, Tensor]:
    params = drawn(0)
    for name, mask in (masks or {}).items():
        params[name] = params[name] * mask
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in params.items()}
    for number in range(1, steps + 1):  # every step by itself, as after a checkpoint
        StackedAdam(params, moments, masks).step(drawn(number), number, dict.fromkeys(params, rates))
    return params


def test_every_model_is_trained_as_by_torch_at_its_own_rate() -> None:
    rates = torch.tensor([0.1, 0.0, 0.003])
    found = stepped(None, rates)
    for model, rate in enumerate(rates.tolist()):
        alone = {name: p[model].clone().requires_grad_() for name, p in drawn(0).items()}
        adam = torch.optim.Adam(alone.values(), lr=rate)
        for number in range(1, 6):
            for name, gradient in drawn(number).items():
                alone[name].grad = gradient[model]
            adam.step()
        for name, value in alone.items():
            torch.testing.assert_close(found[name][model], value.detach(), rtol=1e-6, atol=1e-7)
    assert all(torch.equal(found[name][1], value[1]) for name, value in drawn(0).items())


def test_a_mask_for_groups_of_weights_keeps_whole_groups_at_zero_and_leaves_the_others() -> None:
    mask = torch.ones(3, 1, 5, dtype=torch.bool)
    mask[1, 0, 2] = False
    rates = torch.full((3,), 0.05)
    free, masked = stepped(None, rates), stepped({"W": mask}, rates)
    assert bool((masked["W"][1, :, 2] == 0).all())
    kept = mask.expand(3, 4, 5)
    assert torch.equal(masked["W"][kept], free["W"][kept]) and torch.equal(masked["b"], free["b"])


@pytest.mark.parametrize("masks", [None, {"W": torch.ones(3, 4, 5, dtype=torch.bool)}])
def test_the_order_of_a_gradient_in_memory_does_not_matter(masks: dict[str, Tensor] | None) -> None:
    found = []
    for gradient in (drawn(1)["W"], drawn(1)["W"].mT.contiguous().mT):
        params = {"W": drawn(0)["W"]}
        moments = {"W": (torch.zeros_like(params["W"]), torch.zeros_like(params["W"]))}
        StackedAdam(params, moments, masks).step({"W": gradient}, 1, {"W": torch.full((3,), 0.1)})
        found.append(torch.stack([params["W"], *moments["W"]]))
    assert torch.equal(*found)


@pytest.mark.parametrize("sparsity", ["group_lasso"])
def test_equal_calls_give_equal_results(sparsity: str) -> None:
    found = []
    for _ in range(3):
        adata = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=8, n_test=2, noise=0.02, rng=3)
        scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="trajectory", split_key="split", progress=False, model="mlp", sparsity=sparsity, training=scdash.Training(max_epochs=4), validation=scdash.Validation(null_models=False))  # fmt: skip
        found.append(scdash.get.model(adata).weights)
    for other in found[1:]:
        assert all(torch.equal(other[name], value) for name, value in found[0].items())
