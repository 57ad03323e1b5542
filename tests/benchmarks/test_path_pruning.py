"""Removing weights whose paths carry next to nothing."""

import itertools

import pytest
import torch
from benchmarks._path_pruning import prune_paths

from scdash.fields import Mlp, Phoenix
from scdash.networks import dependencies


def test_a_weight_goes_when_the_paths_through_it_sum_to_less_than_the_tolerance() -> None:
    field = Mlp(3, hidden=(2, 2))
    params = field.init(1, torch.Generator().manual_seed(0), torch.float64)
    w = [params[f"W{k}"][0].abs() for k in (1, 2, 3)]
    through = [torch.zeros_like(m) for m in w]
    for i, a, b, o in itertools.product(range(3), range(2), range(2), range(3)):  # all paths, one by one
        path = w[0][a, i] * w[1][b, a] * w[2][o, b]
        through[0][a, i] += path
        through[1][b, a] += path
        through[2][o, b] += path
    tolerance = float(torch.cat([t.flatten() for t in through]).median())
    pruned, masks = prune_paths(field, params, tolerance)
    for k, expected in enumerate(through, start=1):
        assert torch.equal(masks[f"W{k}"][0], expected >= tolerance)
        assert torch.equal(pruned[f"W{k}"] != 0, masks[f"W{k}"])
    assert torch.equal(pruned["b1"], params["b1"])


def test_every_model_has_its_own_tolerance_and_no_dependence_changes_by_more_than_was_cut() -> None:
    field = Mlp(4, hidden=(5,))
    params = {k: v.expand(2, *v.shape[1:]) for k, v in field.init(1, torch.Generator().manual_seed(1)).items()}
    pruned, masks = prune_paths(field, params, torch.tensor([0.0, 0.2]))
    assert masks["W1"][0].all() and not masks["W1"][1].all()
    before, after = dependencies(field, params), dependencies(field, pruned)
    torch.testing.assert_close(after[0], before[0])
    assert (after[1] <= before[1] + 1e-6).all()


def test_groups_go_whole_and_skip_connections_stay() -> None:
    groups = Mlp(4, hidden=(3,), per_target=True)
    params = groups.init(1, torch.Generator().manual_seed(2))
    norm = params["W1"].norm(dim=2)
    _, masks = prune_paths(groups, params, float(norm.median()))
    assert torch.equal(masks["W1"][:, :, 0], norm >= norm.median())
    lasso = Mlp(4, hidden=(3,), skip="inner")
    params = lasso.init(1, torch.Generator().manual_seed(2))
    assert all(bool(mask.all()) for mask in prune_paths(lasso, params, 1e9)[1].values())


@pytest.mark.parametrize("encoder", ["genes", "modules"])
def test_masks_are_cumulative(encoder: str) -> None:
    field = Phoenix(6, encoder=encoder, n_hidden=3)  # type: ignore[arg-type]
    params = field.init(2, torch.Generator().manual_seed(3))
    start = {name: mask & (torch.rand(mask.shape) < 0.5) for name, mask in field.start_masks(params).items()}
    _, masks = prune_paths(field, params, 0.0, start)
    assert all(torch.equal(masks[name], start[name]) for name in masks)
