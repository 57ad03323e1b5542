"""Group lasso on the inputs of one network per target (Bellot et al. 2022)."""

from typing import Any

import torch
from torch import Tensor

from scdash.fields import VectorField
from scdash.sparsity._base import SPARSITIES, Context, Sparsity
from scdash.sparsity._lassonet import STRENGTHS, zeros_as_masks
from scdash.sparsity._strength import one_lambda, per_model


def group_soft_threshold(groups: Tensor, threshold: Tensor | float, axis: int) -> Tensor:
    """Return the minimiser of 1/2 |w - group|^2 + threshold |w|_2 for every group of weights along `axis`."""
    norm = torch.linalg.vector_norm(groups, dim=axis, keepdim=True)
    return groups * (1 - threshold / torch.where(norm > 0, norm, 1)).clamp_min(0)


@SPARSITIES.register("group_lasso")
def group_lasso(*, lambdas: Any = 0.1, hidden: int = 10) -> Sparsity:
    """Shrink each input's first-layer weights of each target's network as one group: lambda sum_ik |W1_i,:,k|_2.

    A proximal step after every optimiser step sets whole groups, that is edges, to exactly zero.

    `lambdas` is one number or one per model (models,); options as for `scdash.sparsity.GroupLasso`.
    """
    strength = one_lambda(lambdas)

    def prox(seen: Context, lr: Tensor | float) -> None:
        with torch.no_grad():
            for path in seen.field.paths():
                layer = path.layers[0]
                weight = seen.params[layer.parameter]
                step = per_model(strength, weight) * torch.as_tensor(lr, dtype=weight.dtype, device=weight.device)
                step = step.expand(len(weight)).reshape(-1, *(1,) * (weight.ndim - 1))
                if layer.group_axis is not None:
                    weight.copy_(group_soft_threshold(weight, step, layer.group_axis))

    def refuse(field: VectorField) -> str | None:
        if any(path.layers[0].group_axis is None for path in field.paths()):
            return "group lasso needs one network per target; use model='mlp' or 'sonode' with per_target=True."
        return "its skip connection would carry inputs past their group." if _has_skip(field) else None

    return Sparsity(
        "group_lasso",
        {"lambdas": (strength,), "hidden": hidden},
        prox=prox,
        finalise=zeros_as_masks,
        refuse=refuse,
        needs={"per_target": True, "hidden": (hidden,)},
        ladder=STRENGTHS,
    )


def _has_skip(field: VectorField) -> bool:
    return any(path.skip is not None for path in field.paths())
