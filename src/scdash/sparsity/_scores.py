"""DASH's pruning scores (Eqs. 1-3 and B.6): pure functions of stacked, non-negative matrices in double precision.

Shapes: models x out x in. `lam` is (models, 1, 1) or a number; `prior` holds P (target, regulator) and C.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from scdash.sparsity._prior import Prior

# how weights and prior are put on one scale: (importance, prior part, mask) -> (importance, prior part)
Scale: TypeAlias = Callable[[Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor | None]]
TINY, SMALL = 1e-300, 1e-30  # below what any sum and any entry of a factor is
RANK = 1e-12  # of the largest eigenvalue
FACTOR_STEPS = 20  # multiplicative updates of a factorisation that starts at the weights


def paper_scale(importance: Tensor, prior: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return importance over its sum, and the prior part as it is: the paper's scores.

    The sum runs over masked weights too, where |W| is 0 but exp(W_P) is 1, as in the released code.
    """
    return importance / _total(importance), prior


def matched_scale(importance: Tensor, prior: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return both parts divided by their sums over the REMAINING weights, so that lambda = 1/2 means half and half."""
    weights = importance * mask
    return weights / _total(weights), None if prior is None else prior / _total(prior * mask)


SCALES: dict[str, Scale] = {"paper": paper_scale, "matched": matched_scale}


def mix(importance: Tensor, prior: Tensor | None, lam: Tensor | float, mask: Tensor, scale: Scale) -> Tensor:
    """Return (1 - lam) importance~ + lam prior~; without a prior part magnitude alone decides."""
    weights, part = scale(importance, prior, mask)
    return weights if part is None else (1 - lam) * weights + lam * part


def coregulation_part(previous: Tensor, prior: Prior) -> Tensor:
    """Return |pinv(S^T) C| = |(S S^T)^-1 S C| for the previous first-layer score S (DASH Eq. 2)."""
    return gram_solve(previous, prior.coregulation_times(previous.mT).mT).abs()


def last_part(below: Tensor, prior: Prior) -> Tensor:
    """Return |P pinv(S)| = |P S^T (S S^T)^-1| for the product S of the layers below (DASH Eq. 3)."""
    return gram_solve(below, prior.times(below.mT).mT).mT.abs()


def first_part(above: Tensor, prior: Prior) -> Tensor:
    """Return |pinv(T) P| = |(T^T T)^-1 T^T P| for the product T of the layers above (DASH B.6, step 3)."""
    return gram_solve(above.mT, prior.transposed_times(above).mT).abs()


def middle_part(above: Tensor, below: Tensor, prior: Prior) -> Tensor:
    """Return |pinv(T) P pinv(S)| for the products of the layers above and below (DASH B.6, step 2)."""
    through = prior.times(below.mT)  # P S^T
    left = gram_solve(above.mT, above.mT @ through)
    return gram_solve(below, left.mT).mT.abs()


def factor_parts(last: Tensor, first: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """Return non-negative factors of P, last (targets x units) and first (units x regulators), near those given.

    For as many units as genes the pseudo-inverses of DASH's formulas are those of nearly singular matrices: P pinv(S) S is
    P, but |P pinv(S)| S is not, since what should cancel is summed (on 100 genes and units, scores ordered prior edges and
    others with an AUC of 0.67, and 32 % of the prior edges were left where random pruning leaves 18 %). Factors without
    signs have nothing to cancel. They are found by multiplicative updates for |P - last first|^2 (Lee and Seung 2001) from
    the importances, so that of the many factorisations that of the trained weights' own units is taken. Entries that are 0
    stay 0. Every unit has the same sum in both.
    """
    last, first = (m / m.mean((-2, -1), keepdim=True).clamp_min(TINY) for m in (last, first))
    for _ in range(FACTOR_STEPS):
        first = first * (prior.transposed_times(last).mT / (last.mT @ last @ first).clamp_min(SMALL))
        last = last * (prior.times(first.mT) / (last @ (first @ first.mT)).clamp_min(SMALL))
    out, into = last.sum(-2, keepdim=True), first.sum(-1, keepdim=True)
    fraction = (into.mT / out.clamp_min(SMALL)).sqrt()
    return last * fraction, first / fraction.mT.clamp_min(SMALL)


def fill_unknown(part: Tensor, importance: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    """Return the last layer's prior part with the typical row, by rank of importance, for targets the prior lacks.

    Such a target's largest remaining weight gets the mean over known targets of their largest entry, and so on: it keeps
    as many inputs as others, and its own weights say which. One and the same row for all of them would keep or drop
    whole units at once: the seed then decided whether 0 or 380 of 822 genes lost all inputs (benchmarks.hsmm).

    `part`, `importance`, `mask` are (models, targets, units), `known` (models or 1, targets).
    """
    found = part.clone()
    for model in range(len(part)):
        has = known[min(model, len(known) - 1)]
        if bool(has.all()) or not bool(has.any()):
            continue
        typical = (part[model, has] * mask[model, has]).sort(-1, descending=True).values.mean(0)
        own = importance[model, ~has] * mask[model, ~has]
        found[model, ~has] = typical[own.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)]
    return found


def chain(matrices: Sequence[Tensor]) -> Tensor:
    """Return the product M_L ... M_1 of layers listed from the input side."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = matrix @ product
    return product


def gram_solve(rows: Tensor, right: Tensor) -> Tensor:
    """Return (S S^T)^-1 X for S (models, m, n) and X (models, m, k), by the pseudo-inverse if S lacks rank.

    Scores lack rank when a hidden layer is wider than the genes or another layer, or a unit has lost all weights.
    Directions with singular values below 1e-6 of the largest are left out: an inverse, or Cholesky with a small
    ridge, would blow up rounding errors there. The m x m eigenvalue problem exists on GPUs, a rank-revealing least
    squares does not.
    """
    values, vectors = torch.linalg.eigh(rows @ rows.mT)
    kept = values > RANK * values[..., -1:]
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0)
    return torch.matmul(vectors, inverse[..., None] * (vectors.mT @ right))


def _total(matrix: Tensor) -> Tensor:
    return matrix.sum((-2, -1), keepdim=True).clamp_min(TINY)
