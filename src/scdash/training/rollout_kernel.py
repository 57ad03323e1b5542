r"""Compiled roll-outs of the gene-wise PHOENIX on its edges, with the derivative of their squared error.

The field is :math:`dx_i/dt = r_i (p_i(x) - x_i)`, :math:`p(x) = b + W f(x)`, where the features f are
:math:`\varphi(x_j) = u / (1 + |u|), u = x_j - 1/2`, followed by products :math:`\varphi(x_a) \varphi(x_c)`. One step of the
exponential Runge-Kutta method ETD2RK (Cox and Matthews 2002, Eq. 22) over an interval h is, with
:math:`E = e^{-rh}` and :math:`z = rh`,

.. math:: a = E x + (1 - E) p(x), \qquad x' = a + \frac{z - (1 - E)}{z} \bigl(p(a) - p(x)\bigr),

which is exact for constant production and stable for every rate. Arrays hold genes first and roll-outs last, so that
every inner loop runs over neighbours in memory. `tests/training/test_rollout_kernel.py` compares values and gradients with
autograd.
"""

import numpy as np

from scdash._core.compiled import loop

SMALL = 1e-3  # rate times interval below which the weight of the correction is taken from its series


@loop
def _features(x, first, second, f, m):  # type: ignore[no-untyped-def]
    """Set f to the features of the first m columns of x (genes, roll-outs)."""
    n = x.shape[0]
    for i in range(n):
        for b in range(m):
            u = x[i, b] - np.float32(0.5)
            f[i, b] = u / (np.float32(1) + abs(u))
    for q in range(first.shape[0]):
        for b in range(m):
            f[n + q, b] = f[first[q], b] * f[second[q], b]


@loop
def _production(f, start, feature, weight, bias, p, m):  # type: ignore[no-untyped-def]
    """Set p to bias + W f for the first m columns."""
    for i in range(p.shape[0]):
        for b in range(m):
            p[i, b] = bias[i]
        for e in range(start[i], start[i + 1]):
            w, j = weight[e], feature[e]
            for b in range(m):
                p[i, b] += w * f[j, b]


@loop
def _decays(rate, interval, decay, correction, m):  # type: ignore[no-untyped-def]
    """Set E = exp(-r h) and the weight of the correction, (z - (1 - E)) / z, for the first m columns."""
    for i in range(rate.shape[0]):
        last, e, c = np.float32(-1), np.float32(1), np.float32(0)
        for b in range(m):
            if interval[b] != last:
                last = interval[b]
                z = rate[i] * last
                e = np.exp(-z)
                c = (z - (np.float32(1) - e)) / z if z > SMALL else z / np.float32(2) - z * z / np.float32(6)
            decay[i, b], correction[i, b] = e, c


@loop
def _same(interval, step, before, m):  # type: ignore[no-untyped-def]
    """Return whether the intervals of two steps agree for the first m columns."""
    for b in range(m):
        if interval[step, b] != interval[before, b]:
            return False
    return True


@loop
def forward(active, interval, start, feature, weight, bias, rate, first, second, x, p, q):  # type: ignore[no-untyped-def]
    """Fill x (steps + 1, genes, roll-outs) from the starts in it; p and q keep p(x) and p(a) of every step.

    Roll-outs are sorted by their start: `active[k]` counts those that have begun by step k. x[s, :, b] must hold the start
    of roll-out b at its first step s.
    """
    steps, n, width = p.shape
    f = np.empty((n + first.shape[0], width), np.float32)
    a = np.empty((n, width), np.float32)
    decay, correction = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    known = -1
    for k in range(steps):
        m = active[k]
        if m == 0:
            continue
        if known < 0 or active[known] < m or not _same(interval, k, known, m):
            _decays(rate, interval[k], decay, correction, m)
            known = k
        _features(x[k], first, second, f, m)
        _production(f, start, feature, weight, bias, p[k], m)
        for i in range(n):
            for b in range(m):
                a[i, b] = decay[i, b] * x[k, i, b] + (np.float32(1) - decay[i, b]) * p[k, i, b]
        _features(a, first, second, f, m)
        _production(f, start, feature, weight, bias, q[k], m)
        for i in range(n):
            for b in range(m):
                x[k + 1, i, b] = a[i, b] + correction[i, b] * (q[k, i, b] - p[k, i, b])


@loop
def _through_features(f, g, first, second, of_x, m):  # type: ignore[no-untyped-def]
    """Add to of_x the derivative through the features: g (features, roll-outs) is overwritten for the genes."""
    n = of_x.shape[0]
    for q in range(first.shape[0]):
        i, j = first[q], second[q]
        for b in range(m):
            g[i, b] += g[n + q, b] * f[j, b]
            g[j, b] += g[n + q, b] * f[i, b]
    for i in range(n):
        for b in range(m):
            slope = np.float32(1) - abs(f[i, b])
            of_x[i, b] += g[i, b] * slope * slope


@loop
def _through_production(f, start, feature, weight, of_p, of_f, of_weight, of_bias, m):  # type: ignore[no-untyped-def]
    """Set of_f = W^T of_p, and add to the derivatives of weights and bias."""
    for j in range(of_f.shape[0]):
        for b in range(m):
            of_f[j, b] = np.float32(0)
    for i in range(of_p.shape[0]):
        total = np.float32(0)
        for b in range(m):
            total += of_p[i, b]
        of_bias[i] += total
        for e in range(start[i], start[i + 1]):
            w, j, total = weight[e], feature[e], np.float32(0)
            for b in range(m):
                total += of_p[i, b] * f[j, b]
                of_f[j, b] += w * of_p[i, b]
            of_weight[e] += total


@loop
def backward(  # type: ignore[no-untyped-def]
    active, interval, start, feature, weight, bias, rate, first, second, x, p, q, of_x, of_weight, of_bias, of_rate
):
    """Add to the derivatives of weights, bias and rates, given that of every state, of_x, which is changed."""
    steps, n, width = p.shape
    f = np.empty((n + first.shape[0], width), np.float32)
    of_f = np.empty((n + first.shape[0], width), np.float32)
    a, of_a = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    of_p, of_q = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    decay, correction = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    known = -1
    for k in range(steps - 1, -1, -1):
        m = active[k]
        if m == 0:
            continue
        if known < 0 or active[known] < m or not _same(interval, k, known, m):
            _decays(rate, interval[k], decay, correction, m)
            known = k
        for i in range(n):
            r, total = rate[i], np.float32(0)
            for b in range(m):
                e, c, h = decay[i, b], correction[i, b], interval[k, b]
                g, difference = of_x[k + 1, i, b], q[k, i, b] - p[k, i, b]
                a[i, b] = e * x[k, i, b] + (np.float32(1) - e) * p[k, i, b]
                of_a[i, b] = g
                of_q[i, b] = c * g
                z = r * h
                bend = (np.float32(1) - e - z * e) / (z * z) if z > SMALL else np.float32(0.5) - z / np.float32(3)
                total += g * difference * bend * h
            of_rate[i] += total
        _features(a, first, second, f, m)
        _through_production(f, start, feature, weight, of_q, of_f, of_weight, of_bias, m)
        _through_features(f, of_f, first, second, of_a, m)
        for i in range(n):
            total = np.float32(0)
            for b in range(m):
                e = decay[i, b]
                of_p[i, b] = (np.float32(1) - e) * of_a[i, b] - of_q[i, b]
                total -= of_a[i, b] * (x[k, i, b] - p[k, i, b]) * e * interval[k, b]
                of_x[k, i, b] += e * of_a[i, b]
            of_rate[i] += total
        _features(x[k], first, second, f, m)
        _through_production(f, start, feature, weight, of_p, of_f, of_weight, of_bias, m)
        _through_features(f, of_f, first, second, of_x[k], m)


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
