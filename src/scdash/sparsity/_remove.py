"""Removing the lowest-scored weights of stacked matrices."""

import torch
from torch import Tensor

from scdash.fields import Params, VectorField


def remove_lowest(score: Tensor, mask: Tensor, count: Tensor, *, tie: Tensor | None = None) -> Tensor:
    """Return `mask` (models, out, in) without the `count` (models,) lowest-scored remaining weights of each model.

    Equal scores are ordered by `tie` (lower goes first), then by place: the result does not depend on the device.
    """
    kept = mask.clone(memory_format=torch.contiguous_format)
    for model, number in enumerate(count.tolist()):
        if number > 0:
            flat, left = kept[model].view(-1), mask[model].reshape(-1).nonzero().squeeze(1)
            ties = None if tie is None else tie[model].reshape(-1)[left].to(score.dtype)
            flat[left[_lowest(score[model].reshape(-1)[left], ties, number)]] = False
    return kept


def _lowest(score: Tensor, tie: Tensor | None, number: int) -> Tensor:
    """Return the places of the `number` lowest scores; only those that equal the last of them are sorted further."""
    if number >= len(score):
        return torch.arange(len(score), device=score.device)
    last = score.kthvalue(number).values
    below, equal = (score < last).nonzero().squeeze(1), (score == last).nonzero().squeeze(1)
    if tie is not None:
        equal = equal[tie[equal].argsort(stable=True)]
    return torch.cat([below, equal[: number - len(below)]])


def number_of_fraction(mask: Tensor, amount: float | Tensor) -> Tensor:
    """Return round(amount * remaining) for every model, (models,)."""
    return (torch.as_tensor(amount, dtype=torch.float64, device=mask.device) * mask.flatten(1).sum(1)).round().long()


def prune_to(field: VectorField, params: Params, sparsity: float | Tensor) -> tuple[Params, Params]:
    """Prune every matrix by magnitude until the fraction `sparsity` of its entries is zero (post-hoc pruning).

    `sparsity`: fraction in [0, 1), one for all models or one each (models,). A matrix that is sparser already stays as it
    is.

    The result is pruned copies of the weights, and the masks.
    """
    level = torch.as_tensor(sparsity, dtype=torch.float64)
    if bool(((level < 0) | (level >= 1)).any()):
        raise ValueError(f"sparsity must lie in [0, 1), found {sparsity}.")
    params, found = dict(params), field.start_masks(params)
    for path in field.paths():
        for layer in path.layers:
            mask = layer.collapse(found[layer.parameter])
            total = mask[0].numel()
            zeros = total - mask.flatten(1).sum(1)
            count = ((level.to(mask.device) * total).round().long() - zeros).clamp_min(0)
            with torch.no_grad():
                mask = remove_lowest(layer.importance(params).double(), mask, count)
                found[layer.parameter] = layer.expand(mask)
    return {name: p * found[name] if name in found else p for name, p in params.items()}, found
