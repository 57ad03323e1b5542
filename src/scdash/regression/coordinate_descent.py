"""L1-penalised regressions along paths of penalties, one after the other, compiled.

Features join an active set while they violate the optimality conditions. Within it coordinates descend (Friedman et al.
2010), and where that is slow (correlated features) a Newton step goes to the optimum of the current signs, or as far as
the first coefficient that reaches zero (feature-sign search, Lee et al. 2007), so that every step lowers the objective

    1/2 s' (G - V V') s - c' s + ridge/2 |s|^2 + sum_j level_j |s_j|.
"""

from typing import Any

import numpy as np

from scdash._core.compiled import loop

JITTER = 1e-10  # relative ridge that keeps the Newton systems of duplicated features solvable
JOINS = (
    0.5  # fraction of the worst violation from which a feature joins: all at once would bring in what others explain
)
ROUNDS = 200  # of joining, and within the active set
SWEEPS = 8  # over the active set between two Newton steps
LINEAR_STEPS = 4  # local linear approximations of the concave penalty a lambda (Zou and Li 2008)


@loop
def follow(
    gram: Any,
    number: Any,
    cross: Any,
    lambdas: Any,
    penalty: Any,
    allowed: Any,
    low_rank: Any,
    values: Any,
    ridge: float,
    nonnegative: Any,
    concavity: float,
    most: int,
    tol: float,
    out: Any,
) -> None:
    """Set out (lambdas, columns, p) to the solutions of every column; `values` (columns, p) is where they start.

    Column c has the Gram matrix gram[number[c]] less V V' of low_rank[c] (p, k), cross[c], penalty[c], allowed[c] (p,) and
    lambdas[:, c]. Concavity 0 is the lasso. A column with more than `most` coefficients keeps them.
    """
    p = cross.shape[1]
    level, concave, slope = np.empty(p), np.empty(p), np.empty(p)
    for c in range(cross.shape[0]):
        own, own_cross, own_low, own_allowed, s = gram[number[c]], cross[c], low_rank[c], allowed[c], values[c]
        for step in range(lambdas.shape[0]):
            if np.count_nonzero(s) <= most:
                for j in range(p):
                    level[j] = lambdas[step, c] * penalty[c, j]
                if step == 0:
                    drop_poor_start(own, own_cross, own_low, level, s, slope, ridge)
                solve(own, own_cross, own_low, level, own_allowed, s, slope, ridge, nonnegative, tol)
                if concavity > 0:
                    for _ in range(LINEAR_STEPS):
                        for j in range(p):
                            fraction = abs(s[j]) / max(concavity * level[j], 1e-300)
                            concave[j] = level[j] * max(1 - fraction, 0.0)
                        solve(own, own_cross, own_low, concave, own_allowed, s, slope, ridge, nonnegative, tol)
            out[step, c] = s


@loop
def drop_poor_start(gram: Any, cross: Any, low_rank: Any, level: Any, s: Any, slope: Any, ridge: float) -> None:
    """Set the coefficients s (p,) to 0 where they are a worse start than 0; `slope` (p,) is for work.

    A start from other data can lie far away: for a target that hardly changes in a half-sample, coefficients in units
    of its standard deviation were 1e11, from where the descent over correlated features took minutes.
    """
    take_slope(gram, cross, low_rank, s, ridge, slope)
    objective = 0.0
    for j in range(len(s)):
        objective += level[j] * abs(s[j]) - 0.5 * s[j] * (cross[j] + slope[j])
    if not objective <= 0:
        s[:] = 0.0


@loop
def solve(
    gram: Any,
    cross: Any,
    low_rank: Any,
    level: Any,
    allowed: Any,
    s: Any,
    slope: Any,
    ridge: float,
    nonnegative: Any,
    tol: float,
) -> None:
    """Bring the coefficients s (p,) of one column to the optimum of its penalties; `slope` (p,) is for work."""
    p = len(s)
    active = np.empty(p, np.int64)
    for number in range(ROUNDS):
        take_slope(gram, cross, low_rank, s, ridge, slope)
        worst = 0.0
        for j in range(p):
            if s[j] == 0 and allowed[j]:
                worst = max(worst, (slope[j] if nonnegative else abs(slope[j])) - level[j] - tol)
        if worst <= 0 and number > 0:
            return
        size = 0
        for j in range(p):
            joins = s[j] != 0
            if not joins and worst > 0 and allowed[j]:
                joins = (slope[j] if nonnegative else abs(slope[j])) - level[j] - tol >= JOINS * worst
            if joins:
                active[size] = j
                size += 1
        if size == 0:
            return
        within(gram, low_rank, level, active[:size], s, slope, ridge, nonnegative, tol)


@loop
def take_slope(gram: Any, cross: Any, low_rank: Any, s: Any, ridge: float, slope: Any) -> None:
    """Set slope to c - (G - V V' + ridge) s."""
    p, rank = low_rank.shape
    for j in range(p):
        slope[j] = cross[j] - ridge * s[j]
    for i in range(p):
        if s[i] != 0:
            row, value = gram[i], s[i]
            for j in range(p):
                slope[j] -= row[j] * value
    for r in range(rank):
        total = 0.0
        for i in range(p):
            total += low_rank[i, r] * s[i]
        for j in range(p):
            slope[j] += low_rank[j, r] * total


@loop
def within(
    gram: Any,
    low_rank: Any,
    level: Any,
    active: Any,
    s: Any,
    slope: Any,
    ridge: float,
    nonnegative: Any,
    tol: float,
) -> None:
    """Solve for the coefficients of the active features (k,) alone, in place on s."""
    k, rank = len(active), low_rank.shape[1]
    matrix, values, pull, price = np.empty((k, k)), np.empty(k), np.empty(k), np.empty(k)
    for a in range(k):
        i = active[a]
        values[a], pull[a], price[a] = s[i], slope[i], level[i]
        for b in range(k):
            entry = float(gram[i, active[b]])
            for r in range(rank):
                entry -= low_rank[i, r] * low_rank[active[b], r]
            matrix[a, b] = entry
        matrix[a, a] += ridge
    for _ in range(ROUNDS):
        for _ in range(SWEEPS):
            if sweep(matrix, values, pull, price, nonnegative) <= 0.1 * tol:
                break
        if violation(values, pull, price, nonnegative) <= tol:
            break
        newton(matrix, values, pull, price, nonnegative)
    for a in range(k):
        s[active[a]] = values[a]


@loop
def sweep(matrix: Any, values: Any, pull: Any, price: Any, nonnegative: Any) -> float:
    """Let every coordinate descend once; keep pull = c - H s. Return the largest change, in units of the pull."""
    largest = 0.0
    for i in range(len(values)):
        curvature, old = matrix[i, i], values[i]
        new = 0.0
        if curvature > 1e-12:
            centre = pull[i] + curvature * old
            if centre > price[i]:
                new = (centre - price[i]) / curvature
            elif centre < -price[i] and not nonnegative:
                new = (centre + price[i]) / curvature
        change = new - old
        if change != 0:
            values[i] = new
            for j in range(len(values)):
                pull[j] -= matrix[i, j] * change
            largest = max(largest, abs(change) * curvature)
    return largest


@loop
def violation(values: Any, pull: Any, price: Any, nonnegative: Any) -> float:
    """Return the largest violation of the optimality conditions."""
    largest = 0.0
    for i in range(len(values)):
        if values[i] == 0:
            excess = (pull[i] if nonnegative else abs(pull[i])) - price[i]
        else:
            excess = abs(pull[i] - np.sign(values[i]) * price[i])
        largest = max(largest, excess)
    return largest


@loop
def newton(matrix: Any, values: Any, pull: Any, price: Any, nonnegative: Any) -> None:
    """Go to the optimum of the current signs, or towards it until a first coefficient reaches zero."""
    used = np.flatnonzero(values)
    k = len(used)
    if k == 0:
        return
    system, right = np.empty((k, k)), np.empty(k)
    for a in range(k):
        i = used[a]
        right[a] = pull[i] - np.sign(values[i]) * price[i]  # the step solves H d = c - H s - price * sign
        for b in range(k):
            system[a, b] = matrix[i, used[b]]
    descend(system, right)
    fraction, first = 1.0, -1
    for a in range(k):
        i = used[a]
        end = values[i] + right[a]
        if end * values[i] < 0 and (price[i] > 0 or nonnegative) and -values[i] / right[a] < fraction:
            fraction, first = -values[i] / right[a], a
    for a in range(k):
        i = used[a]
        change = -values[i] if a == first else fraction * right[a]
        values[i] = 0.0 if a == first else values[i] + change
        for j in range(len(values)):
            pull[j] -= matrix[i, j] * change


@loop
def descend(system: Any, right: Any) -> None:
    """Solve a symmetric positive system by Cholesky's decomposition, in place on both."""
    k, largest = len(right), 0.0
    for i in range(k):
        largest = max(largest, system[i, i])
    for i in range(k):
        system[i, i] += JITTER * largest
    for j in range(k):
        total = system[j, j]
        for r in range(j):
            total -= system[j, r] * system[j, r]
        root = np.sqrt(max(total, JITTER * largest))
        system[j, j] = root
        for i in range(j + 1, k):
            total = system[i, j]
            for r in range(j):
                total -= system[i, r] * system[j, r]
            system[i, j] = total / root
    for i in range(k):
        for r in range(i):
            right[i] -= system[i, r] * right[r]
        right[i] /= system[i, i]
    for i in range(k - 1, -1, -1):
        for r in range(i + 1, k):
            right[i] -= system[r, i] * right[r]
        right[i] /= system[i, i]
