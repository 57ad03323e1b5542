"""PathReg: gates and weights penalised along whole paths (Aliee et al. 2022, Eqs. 9-12)."""

from typing import Any, Literal

from torch import Tensor

from scdash._core.errors import check_choice
from scdash.sparsity._base import SPARSITIES, Context, Sparsity
from scdash.sparsity._hard_concrete import GATE_RATE, Gates, open_matrix
from scdash.sparsity._path_norm import REDUCTIONS, Reduction, total_path_norm
from scdash.sparsity._strength import as_lambdas, per_model

# The penalty on weights stays where it is: it is as large as the error, and it would shrink what the gates leave.
STRENGTHS = tuple((gates, 1.0) for gates in (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0))


@SPARSITIES.register("pathreg")
def pathreg(
    *,
    lambdas: Any = (0.001, 0.01),
    reduction: Reduction = "mean",
    granularity: Literal["weight", "input"] = "weight",
    gate_rate: float = GATE_RATE,
) -> Sparsity:
    """Penalise lambda0 * || G_L ... G_1 ||_{1,1} + lambda1 * || |W_L| ... |W_1| ||_{1,1} with G = P(z != 0).

    `lambdas` are (of the gates, of the weights), each a number or one per model (models,); the defaults are those of the
    released notebook. Options as for `scdash.sparsity.PathReg`.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    strengths = as_lambdas(lambdas)
    if len(strengths) != 2:
        raise ValueError(f"lambdas of PathReg are two, (gates, weights), found {len(strengths)}.")
    gates = Gates(granularity, gate_rate)

    def penalty(seen: Context) -> Tensor:
        opened = total_path_norm(seen.field, lambda layer: open_matrix(layer, seen.params), reduction)
        weights = total_path_norm(seen.field, lambda layer: layer.effect(seen.params).abs(), reduction)
        return per_model(strengths[0], opened) * opened + per_model(strengths[1], weights) * weights

    return gates.method("pathreg", penalty, strengths, reduction, STRENGTHS)
