"""Paths of many sparse regressions at once from Gram matrices, vectorised over targets and problems."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.coordinate_descent import follow

SINGLE = 2_000_000  # entries of `cross` from which single precision does: Gram matrices and results take the memory
COLUMNS_AT_ONCE = 256  # regressions whose (columns, features) work arrays are alive together: they bound the memory


def l1_path(
    gram: Floats,
    cross: Floats,  # c, (p, targets) or (problems, p, targets): second moments of features with targets
    lambdas: Floats,
    *,
    penalty: Floats | None = None,
    allowed: NDArray[np.bool_] | None = None,
    nonnegative: bool = False,  # constrain all coefficients to be >= 0
    mcp: float | None = None,  # concavity gamma of the minimax concave penalty; None for the lasso
    ridge: float = 0.0,  # squared penalty beside the L1 one
    start: Floats | None = None,  # coefficients to start the first lambda from, (p, targets) or (problems, p, targets)
    downdate: Floats | None = None,
    max_active: int | None = None,
    tol: float = 1e-6,  # largest violation of the optimality conditions, in units of `cross`
) -> Floats:
    r"""Solve an L1-penalised regression for every target and problem along a path of penalties.

    For every problem (fold, half-sample, ...) and target t, and every lambda in turn (warm start)::

        minimise over s   1/2 s' G_t s - c_t' s + ridge/2 |s|^2 + lambda sum_j penalty_jt |s_j|

    by coordinate descent and Newton steps on an active set (`_descent`). With `mcp=gamma` each lambda's lasso is followed
    by local linear approximations (Zou and Li 2008) of the minimax concave penalty (Zhang 2010), which leaves large
    coefficients unshrunken.

    `gram`: G, (p, p) or (problems, p, p): second moments of the features, as means over rows, so that lambda is in
    units of correlation for standardised features and targets. `lambdas`: decreasing penalties, (n_lambda,), or
    (n_lambda, targets) or (n_lambda, problems, targets) where every target has its own. `penalty`: factor of lambda
    for every edge, (p, targets) or (problems, p, targets); 0 leaves an edge free. Default 1. `allowed`: edges that may
    be other than zero, (p, targets) or (problems, p, targets). Default all. `downdate`: V, (targets, p, k) or
    (problems, targets, p, k): the Gram matrix of target t is G - V_t V_t'. So a target leaves out some rows of its
    own, such as the perturbations that perturb it (also to be left out of `cross`). `max_active`: a target with more
    coefficients than this keeps them for the rest of its path, which bounds time and memory.

    The result is the coefficients, (n_lambda, p, targets), with a leading axis of problems if `gram` or `cross` have
    one.
    """
    gram, cross, lambdas = np.asarray(gram), np.asarray(cross), np.asarray(lambdas)
    if cross.size > SINGLE:
        gram, cross, tol = gram.astype(np.float32), cross.astype(np.float32), max(tol, 1e-5)
    stacked = gram.ndim == 3 or cross.ndim == 3
    gram = np.ascontiguousarray(gram if gram.ndim == 3 else gram[None])
    cross = cross if cross.ndim == 3 else cross[None]
    problems, (features, targets) = max(len(gram), len(cross)), cross.shape[1:]
    _check(gram, cross, lambdas, problems, mcp)
    levels = np.broadcast_to(
        lambdas.reshape(len(lambdas), *((1,) * (3 - lambdas.ndim)), *lambdas.shape[1:]),
        (len(lambdas), problems, targets),
    )
    # A target's coefficients lie side by side, as they are found; what is returned is a view.
    out = np.zeros((problems, len(lambdas), targets, features), dtype=np.result_type(gram, cross))
    for first in range(0, problems * targets, COLUMNS_AT_ONCE):
        which, at = np.divmod(np.arange(first, min(first + COLUMNS_AT_ONCE, problems * targets)), targets)
        shape = (len(which), features)
        found = np.empty((len(lambdas), *shape))
        follow(
            gram,
            which if len(gram) > 1 else np.zeros_like(which),
            np.ascontiguousarray(cross[which if len(cross) > 1 else 0, :, at], dtype=np.float64),
            np.ascontiguousarray(levels[:, which, at], dtype=np.float64),
            _columns(penalty, which, at, np.ones(shape)),
            _columns(allowed, which, at, np.ones(shape, dtype=bool)),
            _low_rank(downdate, which, at, shape),
            _columns(start, which, at, np.zeros(shape)),
            ridge,
            nonnegative,
            0.0 if mcp is None else float(mcp),
            features if max_active is None else max_active,
            tol,
            found,
        )
        for step, solution in enumerate(found):
            out[which, step, at] = solution
    out = out.swapaxes(2, 3)
    return out if stacked else out[0]


def _columns(values: Any, which: Index, at: Index, default: NDArray[Any]) -> NDArray[Any]:
    """Return what belongs to some targets of some problems, one row each, in the type of the default."""
    if values is None:
        return default
    values = np.asarray(values)
    return np.ascontiguousarray(values[:, at].T if values.ndim == 2 else values[which, :, at], dtype=default.dtype)


def _low_rank(downdate: Floats | None, which: Index, at: Index, shape: tuple[int, int]) -> Floats:
    if downdate is None:
        return np.zeros((*shape, 0))
    own = downdate[at] if downdate.ndim == 3 else downdate[which, at]
    return np.ascontiguousarray(own, dtype=np.float64)


def _check(gram: Floats, cross: Floats, lambdas: Floats, problems: int, mcp: float | None) -> None:
    features = cross.shape[1]
    if gram.shape[1:] != (features, features) or len(gram) not in (1, problems) or len(cross) not in (1, problems):
        raise ValueError(f"gram {gram.shape} and cross {cross.shape} do not fit: need (p, p) beside (p, targets).")
    if lambdas.ndim not in (1, 2, 3) or np.any(np.diff(lambdas, axis=0) > 0) or np.any(lambdas < 0):
        raise ValueError("lambdas must be >= 0 and must not increase along the path.")
    if mcp is not None and mcp <= 1:
        raise ValueError(f"mcp={mcp}: the concavity must exceed 1.")
