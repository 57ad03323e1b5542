"""Penalties on paths from inputs to outputs, shared by C-NODE and PathReg."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from scdash.fields import Layer, VectorField

Reduction = Literal["sum", "mean"]
REDUCTIONS = ("sum", "mean")


def path_norm(matrices: Sequence[Tensor], reduction: Reduction) -> Tensor:
    """Return || M_L ... M_1 ||_{1,1} of non-negative layers listed from the input side, (models,).

    "mean" divides by inputs times outputs, so that strengths carry over between sizes. The product is never formed:
    the sum of its entries is a chain of matrix-vector products.
    """
    models, outputs, _ = matrices[-1].shape
    total = torch.ones(models, outputs, dtype=matrices[0].dtype, device=matrices[0].device)
    for matrix in reversed(matrices):
        total = torch.einsum("ro,roi->ri", total, matrix)
    norm = total.sum(1)
    return norm if reduction == "sum" else norm / (outputs * total.shape[1])


def total_path_norm(field: VectorField, matrix: Callable[[Layer], Tensor], reduction: Reduction) -> Tensor:
    """Return the sum of `path_norm` over a field's paths, (models,)."""
    norms = [path_norm([matrix(layer) for layer in path.layers], reduction) for path in field.paths()]
    return torch.stack(norms).sum(0)


def refuse_groups_and_skips(field: VectorField) -> str | None:
    """Return why penalties and gates on single weights make no sense on a field, or None."""
    if any(layer.group_axis is not None for path in field.paths() for layer in path.layers):
        return (
            "its weights come in one network per target, whose inputs are dropped as groups; use 'group_lasso', 'dash' "
            "or 'imp', or a field with per_target=False."
        )
    return refuse_skips(field)


def refuse_skips(field: VectorField) -> str | None:
    """Return why a method that knows paths of layers alone makes no sense on a field, or None."""
    if any(path.skip is not None for path in field.paths()):
        return (
            "its skip connection goes past the layers, so nothing would become sparse; use 'lassonet' or skip='none'."
        )
    return None
