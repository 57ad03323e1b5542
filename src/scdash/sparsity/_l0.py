"""L0 regularisation of neural ODEs (Louizos et al. 2018; Aliee et al. 2022, Eqs. 4-5)."""

from typing import Any, Literal

import torch
from torch import Tensor

from scdash._core.errors import check_choice
from scdash.sparsity._base import SPARSITIES, Context, Sparsity
from scdash.sparsity._hard_concrete import GATE_RATE, Gates, layers, open_matrix
from scdash.sparsity._path_norm import REDUCTIONS, Reduction
from scdash.sparsity._strength import one_lambda, per_model

STRENGTHS = ((3.0,), (10.0,), (30.0,), (100.0,), (300.0,), (1000.0,))


@SPARSITIES.register("l0")
def l0(
    *,
    lambdas: Any = 0.01,
    reduction: Reduction = "mean",
    granularity: Literal["weight", "input"] = "weight",
    gate_rate: float = GATE_RATE,
) -> Sparsity:
    """Penalise the expected number of weights: lambda * sum P(z != 0), biases not counted.

    `lambdas` is one number or one per model (models,); options as for `scdash.sparsity.L0`.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    strength = one_lambda(lambdas)
    gates = Gates(granularity, gate_rate)

    def penalty(seen: Context) -> Tensor:
        opened = [open_matrix(layer, seen.params).flatten(1) for layer in layers(seen.field)]
        count = torch.stack([o.sum(1) for o in opened]).sum(0)
        total = count if reduction == "sum" else count / sum(o.shape[1] for o in opened)
        return per_model(strength, total) * total

    return gates.method("l0", penalty, (strength,), reduction, STRENGTHS)
