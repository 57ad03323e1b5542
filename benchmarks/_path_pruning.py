"""Pruning after a penalty on paths: weights whose paths are faint are set to zero."""

import torch
from torch import Tensor

from scdash.fields import Params, VectorField


def prune_paths(
    field: VectorField, params: Params, tolerance: float | Tensor, masks: Params | None = None
) -> tuple[Params, Params]:
    """Remove every weight whose paths from inputs to targets sum to less than `tolerance`.

    The sum over the paths through weight w_oi of layer l is |w_oi| times what reaches input i from the regulators times
    what leaves output o for the targets, the fraction of that weight in || |W_L| ... |W_1| ||_{1,1}. An L1 penalty on paths
    (C-NODE) leaves small values where exact zeros are meant. Paths beside a skip connection stay as they are.

    Parameters
    ----------
    tolerance
        One for all models or one each (models,).
    masks
        Masks to start from; the field's own if None.

    Returns
    -------
    Pruned copies of the weights, and the masks.
    """
    params, found = dict(params), dict(masks or field.start_masks(params))
    with torch.no_grad():
        for path in (path for path in field.paths() if path.skip is None):
            sizes = [layer.effect(params).abs() * layer.collapse(found[layer.parameter]) for layer in path.layers]
            least = torch.as_tensor(tolerance, dtype=sizes[0].dtype, device=sizes[0].device).reshape(-1, 1, 1)
            below = [torch.ones_like(sizes[0][:, 0])]
            for size in sizes[:-1]:
                below.append(torch.einsum("roi,ri->ro", size, below[-1]))
            above = [torch.ones_like(sizes[-1][..., 0])]
            for size in sizes[:0:-1]:
                above.append(torch.einsum("roi,ro->ri", size, above[-1]))
            for layer, size, first, last in zip(path.layers, sizes, below, reversed(above), strict=True):
                kept = last[:, :, None] * size * first[:, None] >= least
                found[layer.parameter] = found[layer.parameter] & layer.expand(kept)
    return {name: p * found[name] if name in found else p for name, p in params.items()}, found
