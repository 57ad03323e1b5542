"""Active-set Newton steps for many L1-penalised least-squares problems at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Index: TypeAlias = NDArray[np.intp]
Bools: TypeAlias = NDArray[np.bool_]

JITTER = 1e-10  # relative ridge that keeps the Newton systems of duplicated features solvable
MAX_STEPS = 200  # Newton steps a lambda; a handful are used
LINEAR_STEPS = 4  # local linear approximations of the concave penalty a lambda


@dataclass
class Columns:
    """Regressions in rows of `cross`; each points at one of the Gram matrices.

    The objective of column c is 1/2 s'(G - VV')s - c's + ridge/2 |s|^2 + lambda sum_j penalty_j |s_j|.
    """

    gram: Floats  # (problems, p, p)
    number: Index  # (columns,), each column's Gram matrix, sorted
    cross: Floats  # (columns, p)
    penalty: Floats  # (columns, p), or (1, 1) for a common factor
    allowed: Bools | None  # (columns, p)
    low_rank: Floats | None = None  # (columns, p, k)
    nonnegative: bool = False
    mcp: float | None = None
    ridge: float = 0.0
    tol: float = 1e-6
    factor: Floats | None = None  # (problems, m, p) F with G = F'F: cheaper where features outnumber rows

    def path(self, lambdas: Floats, start: Floats | None, max_active: int | None) -> Iterator[Floats]:
        """Yield the coefficients (columns, p) of every lambda (n_lambda, columns); the array is reused."""
        values = np.zeros_like(self.cross) if start is None else start.astype(self.cross.dtype)
        rows = np.arange(len(values))
        for lam in lambdas:
            if max_active is not None:
                rows = rows[np.count_nonzero(values[rows], axis=1) <= max_active]
            level = np.broadcast_to(lam[:, None] * self.penalty, values.shape)
            self.solve(rows, values, level)
            if self.mcp is not None:
                for _ in range(LINEAR_STEPS):
                    share = np.abs(values) / np.maximum(self.mcp * level, 1e-300)
                    self.solve(rows, values, level * np.maximum(1 - share, 0))
            yield values

    def gradient(self, rows: Index, values: Floats) -> Floats:
        """Return c - G s (rows, p) of some columns."""
        current = values[rows]
        result = self.cross[rows] - self.ridge * current
        numbers, first = np.unique(self.number[rows], return_index=True)
        if self.factor is not None:
            for number, part in zip(numbers, np.split(np.arange(len(rows)), first[1:]), strict=True):
                used, factor = np.flatnonzero(current[part].any(axis=0)), self.factor[number]
                result[part] -= (current[np.ix_(part, used)] @ factor[:, used].T) @ factor
        elif len(numbers) == len(rows):  # every column has its own Gram matrix
            result -= (self.gram[self.number[rows]] @ current[..., None])[..., 0]
        else:
            for number, part in zip(numbers, np.split(np.arange(len(rows)), first[1:]), strict=True):
                used = np.flatnonzero(current[part].any(axis=0))
                result[part] -= current[np.ix_(part, used)] @ self.gram[number][used]
        if self.low_rank is not None:
            factor = self.low_rank[rows]
            result += np.einsum("cpk,ck->cp", factor, np.einsum("cpk,cp->ck", factor, current))
        return result

    def solve(self, rows: Index, values: Floats, level: Floats) -> None:
        """Bring some columns to the optimum of their penalties `level` (columns, p), in place on `values`."""
        settled = np.zeros(len(rows), dtype=bool)  # at the optimum of the current signs
        careful = np.zeros(len(rows), dtype=bool)  # a bold step has failed: one feature at a time
        for _ in range(MAX_STEPS):
            if not len(rows):
                return
            slope = self.gradient(rows, values)
            size = slope if self.nonnegative else np.abs(slope)
            excess = np.where(values[rows] == 0, size - level[rows] - self.tol, 0)
            if self.allowed is not None:
                excess = np.where(self.allowed[rows], excess, 0)
            most = excess.max(axis=1)
            going = (most > 0) | ~settled
            rows, slope, excess, most = rows[going], slope[going], excess[going], most[going]
            settled, careful = settled[going], careful[going]
            # all at once would bring in features that the strongest ones explain
            joining = (excess > 0) & (excess >= np.where(careful, most, most / 2)[:, None])
            joining &= (settled | ~careful)[:, None]
            signs = np.sign(values[rows]) + np.where(joining, np.sign(slope), 0)
            settled, failed = self._newton(rows, values, level, signs, careful)
            careful |= failed

    def _newton(self, rows: Index, values: Floats, level: Floats, signs: Floats, careful: Bools) -> tuple[Bools, Bools]:
        """Take a step with the given signs in groups of similar support size; return which were full, and which failed."""
        counts = np.count_nonzero(signs, axis=1)
        settled, failed = counts == 0, np.zeros(len(rows), dtype=bool)
        size = 0
        while size < counts.max(initial=0):
            low, size = size, max(4, size + 1 + size // 3)
            group = np.flatnonzero((counts > low) & (counts <= size))
            if len(group):
                settled[group], failed[group] = self._step(rows[group], values, level, signs[group], careful[group])
        return settled, failed

    def _step(self, rows: Index, values: Floats, level: Floats, signs: Floats, careful: Bools) -> tuple[Bools, Bools]:
        at, feature = np.nonzero(signs)
        counts = np.bincount(at, minlength=len(rows))
        place = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        index = np.zeros((len(rows), counts.max()), dtype=np.intp)  # (columns, k), padded with feature 0
        index[at, place] = feature
        real = np.arange(index.shape[1]) < counts[:, None]
        matrix = self.gram[self.number[rows, None, None], index[:, :, None], index[:, None, :]]
        if self.low_rank is not None:
            factor = self.low_rank[rows[:, None], index]
            matrix = matrix - factor @ factor.swapaxes(1, 2)
        matrix = np.where(real[:, :, None] & real[:, None, :], matrix, 0).astype(np.float64)
        diagonal = np.einsum("ckk->ck", matrix)  # a view
        diagonal += np.where(real, self.ridge, 1.0)

        def take(array: Floats) -> Floats:
            return np.where(real, array[rows[:, None], index], 0)

        pull, price, old = take(self.cross), take(level), take(values)
        sign = np.where(real, np.take_along_axis(signs, index, axis=1), 0)
        new, full, failed = restricted_step(matrix, pull, price, old, sign, careful, nonnegative=self.nonnegative)
        values[rows[at], feature] = new[at, place]
        return full, failed


def restricted_step(
    matrix: Floats, pull: Floats, price: Floats, old: Floats, sign: Floats, careful: Bools, *, nonnegative: bool
) -> tuple[Floats, Bools, Bools]:
    """Go to the optimum of given signs where that keeps them; else drop what changes sign if that helps.

    Where it does not help, coordinates descend, and the step has failed. Careful columns go towards the optimum until a
    first coefficient reaches zero: with one new feature at a time the objective falls at every such step.

    Parameters
    ----------
    matrix, pull, price, old, sign
        Gram matrices (columns, k, k), linear terms, penalties, coefficients and assumed signs (columns, k).
    careful
        Columns (columns,) to move carefully.
    nonnegative
        Whether negative coefficients are forbidden.

    Returns
    -------
    New coefficients (columns, k); whether the optimum was reached with the signs assumed; whether the step failed.
    """
    jitter = JITTER * np.einsum("ckk->ck", matrix).max(axis=1)
    system = matrix + jitter[:, None, None] * np.eye(matrix.shape[1])
    best = np.linalg.solve(system, (pull - price * sign)[..., None])[..., 0]
    wrong = (best * sign < 0) & ((price > 0) | nonnegative)
    full = np.asarray(~wrong.any(axis=1))
    failed = np.zeros(len(wrong), dtype=bool)
    new = np.where(wrong, 0, best)
    slow = np.flatnonzero(~full & careful)
    if len(slow):
        share = np.where(wrong[slow], old[slow] / np.where(wrong[slow], old[slow] - best[slow], 1), np.inf)
        first = share.min(axis=1, keepdims=True)
        new[slow] = np.where(share == first, 0, old[slow] + first * (best[slow] - old[slow]))
    doubtful = np.flatnonzero(~full & ~careful)
    if len(doubtful):
        matrix, pull, price, old = matrix[doubtful], pull[doubtful], price[doubtful], old[doubtful]
        worse = objective(matrix, pull, price, new[doubtful]) >= objective(matrix, pull, price, old)
        if worse.any():
            again = coordinate_sweeps(matrix[worse], pull[worse], price[worse], old[worse], nonnegative=nonnegative)
            new[doubtful[worse]] = again
            failed[doubtful[worse]] = True
    return new, full, failed


def objective(matrix: Floats, pull: Floats, price: Floats, values: Floats) -> Floats:
    """Return 1/2 s'Hs - q's + price'|s| of every column."""
    curved = (matrix @ values[..., None])[..., 0]
    result: Floats = (values * (curved / 2 - pull) + price * np.abs(values)).sum(axis=1)
    return result


def coordinate_sweeps(
    matrix: Floats, pull: Floats, price: Floats, start: Floats, *, nonnegative: bool, sweeps: int = 3
) -> Floats:
    """Return `start` after some sweeps of coordinate descent, which never raise the objective."""
    values = start.copy()
    slope = pull - (matrix @ values[..., None])[..., 0]
    diagonal = np.einsum("ckk->ck", matrix)
    for _ in range(sweeps):
        for j in range(values.shape[1]):
            centre = slope[:, j] + diagonal[:, j] * values[:, j]
            shrunk = np.maximum(np.abs(centre) - price[:, j], 0) / np.maximum(diagonal[:, j], 1e-12)
            new = np.where(centre > 0, shrunk, 0 if nonnegative else -shrunk)
            slope -= matrix[:, j] * (new - values[:, j])[:, None]
            values[:, j] = new
    return values
