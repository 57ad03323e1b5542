"""C-NODE: an L1 penalty on paths from inputs to outputs (Aliee et al. 2021)."""

from typing import Any

from torch import Tensor

from scdash._core.errors import check_choice
from scdash.sparsity._base import SPARSITIES, Context, Sparsity
from scdash.sparsity._path_norm import REDUCTIONS, Reduction, refuse_groups_and_skips, total_path_norm
from scdash.sparsity._strength import one_lambda, per_model

STRENGTHS = ((0.1,), (0.3,), (1.0,), (3.0,), (10.0,))


@SPARSITIES.register("cnode")
def cnode(*, lambdas: Any = 0.01, reduction: Reduction = "mean") -> Sparsity:
    """Penalise lambda * || |W_L| ... |W_1| ||_{1,1}; nothing becomes exactly zero.

    `lambdas` is one number or one per model (models,); options as for `scdash.sparsity.CNode`.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    strength = one_lambda(lambdas)

    def penalty(seen: Context) -> Tensor:
        norm = total_path_norm(seen.field, lambda layer: layer.effect(seen.params).abs(), reduction)
        return per_model(strength, norm) * norm

    options = {"lambdas": (strength,), "reduction": reduction}
    return Sparsity("cnode", options, penalty=penalty, refuse=refuse_groups_and_skips, ladder=STRENGTHS)
