r"""Compiled roll-outs of the gene-wise PHOENIX on its edges, with the derivative of their squared error.

The field is :math:`dx_i/dt = r_i (p_i(x) - x_i)`, :math:`p(x) = b + W f(x)`, where the features f are
:math:`\varphi(x_j) = u / (1 + |u|), u = x_j - 1/2`, followed by products :math:`\varphi(x_a) \varphi(x_c)`. One step of the
exponential Runge-Kutta method ETD2RK (Cox and Matthews 2002, Eq. 22) over an interval h is, with
:math:`E = e^{-rh}` and :math:`z = rh`,

.. math:: a = E x + (1 - E) p(x), \qquad x' = a + \frac{z - (1 - E)}{z} \bigl(p(a) - p(x)\bigr),

which is exact for constant production and stable for every rate. Arrays hold genes first and roll-outs last, so that
every inner loop runs over neighbours in memory. Sums over edges take most of the time: they are kept in registers for
many roll-outs at once (`edge_sums`), and features are computed for genes that regulate alone.
`tests/training/test_rollout_kernel.py` compares values and gradients with autograd.
"""

import numpy as np

from scdash._core.compiled import loop
from scdash.training.edge_sums import NARROW, sum_edges

SMALL = 1e-3  # rate times interval below which the weight of the correction is taken from its series
NOTED = 256  # columns of derivatives and features that are noted before their products become derivatives of weights


@loop
def _acting(feature, first, second, n):  # type: ignore[no-untyped-def]
    """Return the genes (of n) that are features of an edge, or part of one."""
    seen = np.zeros(n + first.shape[0], np.bool_)
    for e in range(feature.shape[0]):
        seen[feature[e]] = True
    for q in range(first.shape[0]):
        seen[first[q]] = seen[second[q]] = True
    return np.flatnonzero(seen[:n])


@loop
def _features(x, acting, first, second, f, m):  # type: ignore[no-untyped-def]
    """Set f to the features of the first m columns of x (genes, roll-outs): those of genes that act, and of products."""
    n = x.shape[0]
    for i in acting:
        for b in range(m):
            u = x[i, b] - np.float32(0.5)
            f[i, b] = u / (np.float32(1) + abs(u))
    for q in range(first.shape[0]):
        for b in range(m):
            f[n + q, b] = f[first[q], b] * f[second[q], b]


@loop
def _decays(rate, interval, decay, correction, m):  # type: ignore[no-untyped-def]
    """Set E = exp(-r h) and the weight of the correction, (z - (1 - E)) / z, for the first m columns."""
    number, known, code = 0, np.empty(m, np.float32), np.empty(m, np.int64)  # intervals, and the place of each column's
    for b in range(m):
        oldest, at = max(number - NARROW, 0), number - 1
        while at >= oldest and known[at] != interval[b]:
            at -= 1
        if at < oldest:
            at = number
            known[number] = interval[b]
            number += 1
        code[b] = at
    e, c = np.empty(number, np.float32), np.empty(number, np.float32)
    for i in range(rate.shape[0]):
        for k in range(number):
            z = rate[i] * known[k]
            e[k] = np.exp(-z)
            c[k] = (z - (np.float32(1) - e[k])) / z if z > SMALL else z / np.float32(2) - z * z / np.float32(6)
        if number == 1:
            decay[i, :m] = e[0]
            correction[i, :m] = c[0]
        else:
            for b in range(m):
                decay[i, b], correction[i, b] = e[code[b]], c[code[b]]


@loop
def _same(interval, step, before, m):  # type: ignore[no-untyped-def]
    """Return whether the intervals of two steps agree for the first m columns."""
    for b in range(m):
        if interval[step, b] != interval[before, b]:
            return False
    return True


@loop
def forward(active, interval, start, feature, weight, bias, rate, first, second, x, p, q):  # type: ignore[no-untyped-def]
    """Fill x (steps + 1, genes, columns) from the starts in it; p and q keep p(x) and p(a) of every step, or of the last.

    Roll-outs are sorted by their start: `active[k]` counts those that have begun by step k. x[s, :, b] must hold the start
    of roll-out b at its first step s. There are `room_for(roll-outs)` columns, or more. p and q (steps or 1, genes, columns)
    have one step where nobody asks for the derivative.
    """
    kept, n, width = p.shape
    if width % NARROW:
        raise ValueError("Arrays of roll-outs have a multiple of 32 columns.")
    f = np.zeros((n + first.shape[0], width), np.float32)
    a = np.empty((n, width), np.float32)
    decay, correction = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    acting, known = _acting(feature, first, second, n), -1
    for k in range(interval.shape[0]):
        m = active[k]
        if m == 0:
            continue
        if known < 0 or active[known] < m or not _same(interval, k, known, m):
            _decays(rate, interval[k], decay, correction, m)
            known = k
        now, then, p_now, q_now = x[k], x[k + 1], p[k % kept], q[k % kept]
        _features(now, acting, first, second, f, m)
        for i in range(n):
            sum_edges(f, start[i], start[i + 1], feature, weight, bias[i], p_now, i, m)
            for b in range(m):
                a[i, b] = decay[i, b] * now[i, b] + (np.float32(1) - decay[i, b]) * p_now[i, b]
        _features(a, acting, first, second, f, m)
        for i in range(n):
            sum_edges(f, start[i], start[i + 1], feature, weight, bias[i], q_now, i, m)
            for b in range(m):
                then[i, b] = a[i, b] + correction[i, b] * (q_now[i, b] - p_now[i, b])


@loop
def _by_feature(start, feature, weight, features):  # type: ignore[no-untyped-def]
    """Return the edges sorted by feature: where those of each begin (features + 1,), and their targets and weights."""
    begin = np.zeros(features + 1, np.int64)
    for e in range(feature.shape[0]):
        begin[feature[e] + 1] += 1
    for j in range(features):
        begin[j + 1] += begin[j]
    place = begin[:-1].copy()
    target, sorted_weight = np.empty(feature.shape[0], np.int64), np.empty(feature.shape[0], np.float32)
    for i in range(start.shape[0] - 1):
        for e in range(start[i], start[i + 1]):
            at = place[feature[e]]
            target[at], sorted_weight[at] = i, weight[e]
            place[feature[e]] += 1
    return begin, target, sorted_weight


@loop
def _through_features(f, g, acting, first, second, of_x, m):  # type: ignore[no-untyped-def]
    """Add to of_x the derivative through the features: g (features, roll-outs) is overwritten for the genes."""
    n = of_x.shape[0]
    for q in range(first.shape[0]):
        i, j = first[q], second[q]
        for b in range(m):
            g[i, b] += g[n + q, b] * f[j, b]
            g[j, b] += g[n + q, b] * f[i, b]
    for i in acting:
        for b in range(m):
            slope = np.float32(1) - abs(f[i, b])
            of_x[i, b] += g[i, b] * slope * slope


@loop
def _note(values, rows, noted, at, m):  # type: ignore[no-untyped-def]
    """Copy the first m columns of some rows to the columns of `noted` from `at` on."""
    for i in rows:
        place = noted[i, at : at + m]
        for b in range(m):
            place[b] = values[i, b]


@loop
def _add_products(of_p, f, start, feature, of_weight, of_bias, m):  # type: ignore[no-untyped-def]
    """Add the products of the first m columns that were noted to the derivatives of weights, and their sums to the bias."""
    for i in range(of_p.shape[0]):
        total = np.float32(0)
        for b in range(m):
            total += of_p[i, b]
        of_bias[i] += total
        e, end = start[i], start[i + 1]
        while e + 4 <= end:  # four at once, as each reads the same of_p
            j0, j1, j2, j3 = feature[e], feature[e + 1], feature[e + 2], feature[e + 3]
            t0, t1, t2, t3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for b in range(m):
                g = of_p[i, b]
                t0 += g * f[j0, b]
                t1 += g * f[j1, b]
                t2 += g * f[j2, b]
                t3 += g * f[j3, b]
            of_weight[e] += t0
            of_weight[e + 1] += t1
            of_weight[e + 2] += t2
            of_weight[e + 3] += t3
            e += 4
        while e < end:
            j, total = feature[e], np.float32(0)
            for b in range(m):
                total += of_p[i, b] * f[j, b]
            of_weight[e] += total
            e += 1


@loop
def backward(  # type: ignore[no-untyped-def]
    active, interval, start, feature, weight, bias, rate, first, second, x, p, q, of_x, of_weight, of_bias, of_rate
):
    """Add to the derivatives of weights, bias and rates, given that of every state, of_x, which is changed.

    Derivatives of p(x) and p(a) are noted beside the features that they belong to: sums of their products over many
    columns cost less than sums over the few of every step.
    """
    steps, n, width = p.shape
    if width % NARROW:
        raise ValueError("Arrays of roll-outs have a multiple of 32 columns.")
    features, room = n + first.shape[0], max(NOTED, 2 * width)
    f, of_f = np.zeros((features, width), np.float32), np.zeros((features, width), np.float32)
    noted_f, noted_p = np.empty((features, room), np.float32), np.empty((n, room), np.float32)
    a, of_p, of_q = np.empty((n, width), np.float32), np.zeros((n, width), np.float32), np.zeros((n, width), np.float32)
    decay, correction = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    acting, every = _acting(feature, first, second, n), np.arange(n)
    used = np.concatenate((acting, np.arange(n, features)))
    begin, target, sorted_weight = _by_feature(start, feature, weight, features)
    known, at, nothing = -1, 0, np.float32(0)
    for k in range(steps - 1, -1, -1):
        m = active[k]
        if m == 0:
            continue
        if at + 2 * m > room:
            _add_products(noted_p, noted_f, start, feature, of_weight, of_bias, at)
            at = 0
        if known < 0 or active[known] < m or not _same(interval, k, known, m):
            _decays(rate, interval[k], decay, correction, m)
            known = k
        now, p_now, q_now, h, of_now, of_then = x[k], p[k], q[k], interval[k], of_x[k], of_x[k + 1]
        for i in range(n):
            r, total = rate[i], np.float32(0)
            for b in range(m):
                e, g, difference = decay[i, b], of_then[i, b], q_now[i, b] - p_now[i, b]
                a[i, b] = e * now[i, b] + (np.float32(1) - e) * p_now[i, b]
                of_q[i, b] = correction[i, b] * g
                z = r * h[b]
                bend = (np.float32(1) - e - z * e) / (z * z) if z > SMALL else np.float32(0.5) - z / np.float32(3)
                total += g * difference * bend * h[b]
            of_rate[i] += total
        _features(a, acting, first, second, f, m)
        for j in used:
            sum_edges(of_q, begin[j], begin[j + 1], target, sorted_weight, nothing, of_f, j, m)
        _note(f, used, noted_f, at, m)
        _note(of_q, every, noted_p, at, m)
        _through_features(f, of_f, acting, first, second, of_then, m)  # now the derivative of a
        for i in range(n):
            total = np.float32(0)
            for b in range(m):
                e, g = decay[i, b], of_then[i, b]
                of_p[i, b] = (np.float32(1) - e) * g - of_q[i, b]
                total -= g * (now[i, b] - p_now[i, b]) * e * h[b]
                of_now[i, b] += e * g
            of_rate[i] += total
        _features(now, acting, first, second, f, m)
        for j in used:
            sum_edges(of_p, begin[j], begin[j + 1], target, sorted_weight, nothing, of_f, j, m)
        _note(f, used, noted_f, at + m, m)
        _note(of_p, every, noted_p, at + m, m)
        _through_features(f, of_f, acting, first, second, of_now, m)
        at += 2 * m
    _add_products(noted_p, noted_f, start, feature, of_weight, of_bias, at)


@loop
def compare(x, states, steps, trajectory, first, length, weights, of_x):  # type: ignore[no-untyped-def]
    """Return the weighted sum of squared differences to the observed states after the starts, and set its half derivative.

    `states` is (times, genes, trajectories), `steps` (times,) the number of steps before each, `first` and `length` are
    (roll-outs,), and `weights` (genes,) those of the squares. of_x (steps + 1, genes, roll-outs) becomes
    weights * (x - states) at observed times, 0 where nothing counts.
    """
    times, n, _ = states.shape
    width = len(first)
    counts, observed = np.zeros(width, np.float32), np.empty(width, np.float32)
    loss, begun = 0.0, 0
    for t in range(times):
        while begun < width and first[begun] < t:  # roll-outs are sorted by their start
            begun += 1
        for b in range(begun):
            counts[b] = np.float32(t < length[b])
        predicted, derivative = x[steps[t]], of_x[steps[t]]
        for i in range(n):
            w, total = weights[i], np.float32(0)
            for b in range(begun):
                observed[b] = states[t, i, trajectory[b]]
            for b in range(begun):
                d = counts[b] * (predicted[i, b] - observed[b])
                total += d * d
                derivative[i, b] = w * d
            for b in range(begun, width):
                derivative[i, b] = np.float32(0)
            loss += np.float64(w) * total
    return loss
