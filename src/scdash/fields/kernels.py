"""Loops that no library has: compiled on first use by numba, which scanpy brings along. All arrays are C-contiguous."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

from scdash._core.compiled import loop


def _times(start: Any, index: Any, values: Any, x: Any, out: Any) -> None:
    """Set out = M x for CSR M: a row of x is a vector of states, so the inner loop is one vector operation."""
    width = x.shape[1]
    for row in range(len(start) - 1):
        for b in range(width):
            out[row, b] = 0
        for place in range(start[row], start[row + 1]):
            weight, column = values[place], index[place]
            for b in range(width):
                out[row, b] += weight * x[column, b]


def _sampled(start: Any, index: Any, left: Any, right: Any, out: Any) -> None:
    """Set out to the entries of left right^T at the places of M: the gradient of its values."""
    width = left.shape[1]
    for row in range(len(start) - 1):
        for place in range(start[row], start[row + 1]):
            column, total = index[place], left.dtype.type(0)
            for b in range(width):
                total += left[row, b] * right[column, b]
            out[place] = total


def _hill(x: Any, genes: Any, out: Any) -> None:
    """Set out to phi_S of some genes (rows of x)."""
    width, half, one = x.shape[1], x.dtype.type(0.5), x.dtype.type(1)
    for row in range(len(genes)):
        gene = genes[row]
        for b in range(width):
            centred = x[gene, b] - half
            out[row, b] = centred / (abs(centred) + one)


def _add_hill_gradient(phi: Any, sums: Any, genes: Any, out: Any) -> None:
    """Add the derivative by x: phi_S' = (1 - |phi_S|)^2."""
    width, one = phi.shape[1], phi.dtype.type(1)
    for row in range(len(genes)):
        gene = genes[row]
        for b in range(width):
            slope = one - abs(phi[row, b])
            out[gene, b] += slope * slope * sums[row, b]


def _add_hills_gradient(phi: Any, sums: Any, prods: Any, genes: Any, out: Any) -> None:
    """Add those of both activations, phi_S and phi_P = log(1 + phi_S), phi_P' = phi_S' / (1 + phi_S)."""
    width, one = phi.shape[1], phi.dtype.type(1)
    for row in range(len(genes)):
        gene = genes[row]
        for b in range(width):
            value = phi[row, b]
            slope = one - abs(value)
            out[gene, b] += slope * slope * (sums[row, b] + prods[row, b] / (one + value))


def _multiply(phi: Any, first: Any, second: Any, out: Any) -> None:
    """Set out to the products of pairs of rows."""
    width = phi.shape[1]
    for row in range(len(first)):
        a, c = first[row], second[row]
        for b in range(width):
            out[row, b] = phi[a, b] * phi[c, b]


def _add_multiply_gradient(phi: Any, first: Any, second: Any, gradient: Any, out: Any) -> None:
    """Add the gradient of the products of pairs to that of their rows."""
    width = phi.shape[1]
    for row in range(len(first)):
        a, c = first[row], second[row]
        for b in range(width):
            out[a, b] += gradient[row, b] * phi[c, b]
        for b in range(width):
            out[c, b] += gradient[row, b] * phi[a, b]


def _relax(
    start: Any, index: Any, values: Any, features: Any, x: Any, bias: Any, rate: Any, net: Any, velocity: Any
) -> None:
    """Set net = M features + bias - x for CSR M, and velocity = rate * net."""
    width = x.shape[1]
    for row in range(len(start) - 1):
        for b in range(width):
            net[row, b] = bias[row] - x[row, b]
        for place in range(start[row], start[row + 1]):
            weight, column = values[place], index[place]
            for b in range(width):
                net[row, b] += weight * features[column, b]
        for b in range(width):
            velocity[row, b] = rate[row] * net[row, b]


def _runge_kutta(
    start: Any,
    index: Any,
    values: Any,
    genes: Any,
    first: Any,
    second: Any,
    bias: Any,
    rate: Any,
    fixed: Any,
    step: Any,
    steps: Any,
    x: Any,
    features: Any,
    stage: Any,
    total: Any,
) -> None:
    """Advance x by `steps` Runge-Kutta steps of rate * (M features + bias - x), row by row in one pass an evaluation.

    Entries of `fixed` stay where they are (no rows: none). `features`, `stage` and `total` are room to work in.
    """
    width, holding = x.shape[1], len(fixed) > 0
    half_value, one, two, six = x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(2), x.dtype.type(6)
    for evaluation in range(4 * steps):
        part = evaluation % 4
        source = x if part == 0 else stage
        for row in range(len(genes)):
            for b in range(width):
                centred = source[genes[row], b] - half_value
                features[row, b] = centred / (abs(centred) + one)
        for row in range(len(first)):
            for b in range(width):
                features[len(genes) + row, b] = features[first[row], b] * features[second[row], b]
        ahead = step if part == 2 else half_value * step
        counted = one if part == 0 else two
        for row in range(len(start) - 1):
            net = stage[row]  # its state has been read where the row begins, and is written where it ends
            for b in range(width):
                net[b] = bias[row] - source[row, b]
            for place in range(start[row], start[row + 1]):
                weight, column = values[place], index[place]
                for b in range(width):
                    net[b] += weight * features[column, b]
            for b in range(width):
                net[b] *= rate[row]
            if holding:
                for b in range(width):
                    if fixed[row, b]:
                        net[b] = 0
            if part == 3:
                for b in range(width):
                    x[row, b] += step / six * (total[row, b] + net[b])
            else:
                for b in range(width):
                    slope = net[b]
                    total[row, b] = counted * slope if part == 0 else total[row, b] + counted * slope
                    net[b] = x[row, b] + ahead * slope


def _relax_back(gradient: Any, rate: Any, net: Any, scaled: Any, of_x: Any, of_rate: Any) -> None:
    """Set scaled = rate * gradient, of_x to its negative, and of_rate to the sums of gradient * net over the batch."""
    width = gradient.shape[1]
    for row in range(len(rate)):
        total = gradient.dtype.type(0)
        for b in range(width):
            value = rate[row] * gradient[row, b]
            scaled[row, b] = value
            of_x[row, b] = -value
            total += gradient[row, b] * net[row, b]
        of_rate[row, 0] = total


def _hill_all(x: Any, out: Any) -> None:
    """Set out to phi_S of all values; arrays are flat."""
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    for place in range(len(x)):
        centred = x[place] - half
        out[place] = centred / (abs(centred) + one)


def _hills_back(phi: Any, sums: Any, prods: Any, taken: Any, out: Any) -> None:
    """Set out to phi_S' sums + phi_P' prods - taken; arrays are flat."""
    one = phi.dtype.type(1)
    for place in range(len(phi)):
        value = phi[place]
        slope = one - abs(value)
        out[place] = slope * slope * (sums[place] + prods[place] / (one + value)) - taken[place]


def _rate_back(gradient: Any, rate: Any, net: Any, scaled: Any, of_rate: Any) -> None:
    """Set scaled = rate * gradient, and of_rate to the sums over examples of gradient * net; (models, batch, genes)."""
    models, batch, genes = gradient.shape
    for model in range(models):
        for gene in range(genes):
            of_rate[model, 0, gene] = 0
        for b in range(batch):
            for gene in range(genes):
                value = gradient[model, b, gene]
                scaled[model, b, gene] = rate[model, 0, gene] * value
                of_rate[model, 0, gene] += value * net[model, b, gene]


LOOPS: dict[str, Callable[..., Any]] = {
    "times": _times,
    "sampled": _sampled,
    "hill": _hill,
    "add_hill_gradient": _add_hill_gradient,
    "add_hills_gradient": _add_hills_gradient,
    "multiply": _multiply,
    "add_multiply_gradient": _add_multiply_gradient,
    "relax": _relax,
    "runge_kutta": _runge_kutta,
    "relax_back": _relax_back,
    "hill_all": _hill_all,
    "hills_back": _hills_back,
    "rate_back": _rate_back,
}


@cache
def kernels() -> SimpleNamespace:
    """Return the compiled loops, by the names of `LOOPS`."""
    return SimpleNamespace(**{name: loop(function) for name, function in LOOPS.items()})
