"""LassoNet for neural ODEs (Lemhadri et al. 2021; Aliee et al. 2022, Eqs. 6-8)."""

from typing import Any, Literal

import torch
from torch import Tensor

from scdash._core.errors import check_choice
from scdash.fields import Params, VectorField
from scdash.sparsity._base import SPARSITIES, Context, Sparsity
from scdash.sparsity._strength import one_lambda, per_model

STRENGTHS = ((0.1,), (1.0,), (10.0,), (100.0,), (1000.0,))  # of the default of `lambdas`


def hierarchical_prox(skip: Tensor, weight: Tensor, lam: Tensor | float, rho: float) -> tuple[Tensor, Tensor]:
    """Return the minimiser of 1/2 |v - skip|^2 + 1/2 |u - weight|^2 + lam |v|_2 subject to |u|_inf <= rho |v|_2.

    The exact solution by sorting (Lemhadri et al. 2021, Algorithm 2), for every leading index at once.

    `skip`, `weight`: (..., d) skip weights of an input and (..., m) its first-layer weights. `lam`: strength times
    learning rate; broadcasts against the leading axes.
    """
    size = weight.abs()
    largest = size.sort(dim=-1, descending=True).values
    none = torch.zeros_like(largest[..., :1])
    sums = torch.cat([none, largest.cumsum(-1)], dim=-1)  # of the s largest, s = 0 .. m
    number = torch.arange(sums.shape[-1], dtype=weight.dtype, device=weight.device)
    norm = torch.linalg.vector_norm(skip, dim=-1, keepdim=True)
    threshold = torch.as_tensor(lam, dtype=weight.dtype, device=weight.device)[..., None]
    # norm of the new v if the s largest weights are cut to the bound
    lengths = (norm - threshold + rho * sums).relu() / (1 + number * rho**2)
    cut = (torch.cat([largest, none], dim=-1) > rho * lengths).sum(-1, keepdim=True)
    length = lengths.gather(-1, cut)
    # without skip weights all directions are as good: take the one that treats all targets alike
    flat = torch.full_like(skip, skip.shape[-1] ** -0.5)
    direction = torch.where(norm > 0, skip / torch.where(norm > 0, norm, 1), flat)
    return direction * length, weight.sign() * torch.minimum(size, rho * length)


@SPARSITIES.register("lassonet")
def lassonet(*, lambdas: Any = 1.0, rho: float = 10.0, connection: Literal["inner", "outer"] = "inner") -> Sparsity:
    """Let an input act through the network only as far as through a linear skip connection, under lambda sum_k |S_k|_2.

    After every step the hierarchical proximal operator shrinks each input's skip weights S_k and cuts its first-layer
    weights to |W1_k|_inf <= rho |S_k|_2.

    `lambdas` is one number or one per model (models,); options as for `scdash.sparsity.LassoNet`.
    """
    check_choice("connection", connection, ("inner", "outer"))
    if not rho >= 0:
        raise ValueError(f"rho must not be negative, found {rho!r}.")
    strength = one_lambda(lambdas)

    def prox(seen: Context, lr: Tensor | float) -> None:
        with torch.no_grad():
            for path in seen.field.paths():
                if path.skip is None:
                    continue
                skip, first = seen.params[path.skip.parameter], seen.params[path.layers[0].parameter]
                # (models, inputs, ...), one prox problem an input
                step = per_model(strength, skip) * torch.as_tensor(lr, dtype=skip.dtype, device=skip.device)
                step = step.expand(len(skip))[:, None]
                new_skip, new_first = hierarchical_prox(skip.mT, first.mT, step, rho)
                skip.copy_(new_skip.mT)
                first.copy_(new_first.mT)

    def refuse(field: VectorField) -> str | None:
        if getattr(field, "skip", None) != connection or any(path.skip is None for path in field.paths()):
            return f"LassoNet needs a skip connection; use model='mlp' or 'sonode' with skip={connection!r}."
        if any(layer.group_axis is not None for path in field.paths() for layer in path.layers):
            return "LassoNet bounds the first layer of one network for all targets; use per_target=False."
        return None

    options = {"lambdas": (strength,), "rho": rho, "connection": connection}
    return Sparsity(
        "lassonet",
        options,
        prox=prox,
        finalise=zeros_as_masks,
        refuse=refuse,
        needs={"skip": connection},
        ladder=STRENGTHS,
    )


def zeros_as_masks(field: VectorField, params: Params, masks: Params) -> tuple[Params, Params]:
    """Return the weights, and masks without the weights that a proximal step has set to exactly zero."""
    found = dict(masks)
    for path in field.paths():
        for layer in (*path.layers, *(() if path.skip is None else (path.skip,))):
            weight = params[layer.parameter]
            nonzero = weight != 0
            if layer.group_axis is not None:
                nonzero = nonzero.any(layer.group_axis, keepdim=True)
            found[layer.parameter] = masks[layer.parameter] & nonzero
    return {name: p * found[name] if name in found else p for name, p in params.items()}, found
