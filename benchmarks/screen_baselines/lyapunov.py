"""The covariance of a stable linear system with noise, and its gradient."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import schur
from scipy.linalg.lapack import dtrsyl
from torch import Tensor


def stationary_covariance(drift: Tensor, noise: Tensor) -> Tensor:
    """Return Omega with B Omega + Omega B^T + diag(noise) = 0 for each B (systems, n, n) and noise (systems, n)."""
    found: Tensor = _Lyapunov.apply(drift, noise)
    return found


class _Lyapunov(torch.autograd.Function):
    """Solved by the Schur form B = Q T Q^T (Bartels and Stewart 1972), which the gradient uses again.

    For a loss with gradient G by Omega, L with B^T L + L B + G = 0 gives the gradients 2 L Omega by B (L and Omega
    are symmetric) and diag(L) by the noise.
    """

    @staticmethod
    def forward(ctx: Any, drift: Tensor, noise: Tensor) -> Tensor:
        forms = [schur(one, output="real") for one in drift.detach().numpy()]
        solved = [
            _solve(t, q, np.diag(s), transposed=False) for (t, q), s in zip(forms, noise.detach().numpy(), strict=True)
        ]
        ctx.forms = forms
        found = torch.as_tensor(np.stack(solved))
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (found,) = ctx.saved_tensors
        even = (gradient + gradient.mT).numpy() / 2
        adjoint = torch.as_tensor(
            np.stack([_solve(t, q, g, transposed=True) for (t, q), g in zip(ctx.forms, even, strict=True)])
        )
        return 2 * adjoint @ found, adjoint.diagonal(dim1=1, dim2=2)


def _solve(t: np.ndarray, q: np.ndarray, right: np.ndarray, *, transposed: bool) -> np.ndarray:
    """Solve A X + X A^T + right = 0 for A = Q T Q^T, or with A and A^T exchanged."""
    trans = ("T", "N") if transposed else ("N", "T")
    x, scale, info = dtrsyl(t, t, -(q.T @ right @ q), trana=trans[0], tranb=trans[1])
    if info < 0:
        raise np.linalg.LinAlgError(f"dtrsyl returned {info}.")
    found: np.ndarray = q @ (x * scale) @ q.T
    return (found + found.T) / 2
