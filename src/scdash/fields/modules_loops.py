"""PHOENIX with hidden units, solved by rk4 there and back, as loops around matrix products that numba compiles on first use.

The same as `Modules` in `_phoenix_training` within `solve.rk4_path`, in single precision on a CPU, for one model of a stack
at a time. Velocity and solver share a file because numba, which keeps compiled code by the date of a file, would go on
using a solver that holds the code of an older velocity.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.compiled import loop
from scdash.fields.compiled_solve import CompiledSolve
from scdash.fields.phoenix_training import gradients_of

Floats = NDArray[np.float32]
HALF, ONE = np.float32(0.5), np.float32(1)
# of every stage: what it counts, and how far along it, as a share of the step, the next one starts
COUNTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
REACHES = (0.5, 0.5, 1.0, 0.0)


class ModulesWeights(NamedTuple):
    """Leading axis: models. Every product finds its matrix in the order that BLAS is fastest in."""

    w_sums: Floats  # (units, genes)
    w_prods: Floats
    w_sums_t: Floats  # (genes, units)
    w_prods_t: Floats
    b_sums: Floats  # (units,)
    b_prods: Floats
    u: Floats  # (genes, units of both branches)
    u_t: Floats
    rate: Floats  # (genes,)


class ModulesKept(NamedTuple):
    """What evaluations keep, (models, evaluations, batch, genes or units), in the order of `gradients_of`."""

    phi: Floats
    log: Floats
    hidden: Floats  # of both branches
    of_sums: Floats  # of both branches' products with the encoder, there and back
    of_prods: Floats
    net: Floats  # production - x; after the way back the gradient of that
    of_rate: Floats  # (models, evaluations, genes), summed over the batch


@loop
def log_of(u: Any) -> Any:
    """Return the logarithm of a positive normal number of single precision, within 1e-7.

    u = 2^e (1 + m) with 1 + m in [sqrt(1/2), sqrt(2)), and the polynomial of Cephes' logf for log(1 + m). Without a branch
    it is vectorised, and takes a tenth of the library's time.
    """
    bits = np.float32(u).view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = np.int32(bits - (exponent << np.int32(23))).view(np.float32) - ONE
    e, square = np.float32(exponent), m * m
    p = np.float32(7.0376836292e-2)
    p = p * m - np.float32(1.1514610310e-1)
    p = p * m + np.float32(1.1676998740e-1)
    p = p * m - np.float32(1.2420140846e-1)
    p = p * m + np.float32(1.4249322787e-1)
    p = p * m - np.float32(1.6668057665e-1)
    p = p * m + np.float32(2.0000714765e-1)
    p = p * m - np.float32(2.4999993993e-1)
    p = p * m + np.float32(3.3333331174e-1)
    rest = m * square * p - np.float32(2.12194440e-4) * e - HALF * square
    return m + rest + np.float32(0.693359375) * e


@loop
def exp_of(x: Any) -> Any:
    """Return the exponential in single precision, within 2e-7 of it, infinite above 88.3: Cephes' expf without a branch."""
    bounded = min(max(x, np.float32(-87.3)), np.float32(89))
    power = np.floor(bounded * np.float32(1.44269504088896341) + HALF)
    r = bounded - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    scale = np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * r * r + r + ONE) * scale


@loop
def activate(x: Any, phi: Any, log: Any) -> None:
    """Set phi to phi_S(x), and log to phi_P(x) = log(1 + phi_S)."""
    for b in range(x.shape[0]):
        for gene in range(x.shape[1]):
            centred = x[b, gene] - HALF
            value = centred / (abs(centred) + ONE)
            phi[b, gene] = value
            log[b, gene] = log_of(value + ONE)


@loop
def velocity(weights: Any, kept: Any, model: Any, place: Any, x: Any, out: Any) -> Any:
    """Set net = U_S (W_S phi_S + b_S) + U_P exp(W_P phi_P + b_P) - x, and out = relu(v) net (Hossain et al. 2024, Eq. 3)."""
    phi, log = kept.phi[model, place], kept.log[model, place]
    sums, prods = kept.of_sums[model, place], kept.of_prods[model, place]
    hidden, net = kept.hidden[model, place], kept.net[model, place]
    batch, units = sums.shape
    activate(x, phi, log)
    np.dot(phi, weights.w_sums_t[model], sums)
    np.dot(log, weights.w_prods_t[model], prods)
    for b in range(batch):
        for unit in range(units):
            hidden[b, unit] = sums[b, unit] + weights.b_sums[model, unit]
            hidden[b, units + unit] = exp_of(prods[b, unit] + weights.b_prods[model, unit])
    np.dot(hidden, weights.u_t[model], net)
    for b in range(batch):
        for gene in range(x.shape[1]):
            value = net[b, gene] - x[b, gene]
            net[b, gene] = value
            out[b, gene] = weights.rate[model, gene] * value


@loop
def velocity_back(
    weights: Any, kept: Any, model: Any, place: Any, gradient: Any, out: Any, spare: Any, wanted: Any
) -> Any:
    """Set out = phi_S' (W_S' of_sums + W_P' of_prods / (1 + phi_S)) - of_net, where of_net = relu(v) gradient."""
    phi, hidden, net = kept.phi[model, place], kept.hidden[model, place], kept.net[model, place]
    of_sums, of_prods = kept.of_sums[model, place], kept.of_prods[model, place]
    of_rate, (of_hidden, through) = kept.of_rate[model, place], spare
    batch, genes = net.shape
    units = of_sums.shape[1]
    of_rate[:] = 0
    for b in range(batch):
        for gene in range(genes):
            value = gradient[b, gene]
            of_rate[gene] += value * net[b, gene]
            net[b, gene] = weights.rate[model, gene] * value
    np.dot(net, weights.u[model], of_hidden)
    for b in range(batch):
        for unit in range(units):
            of_sums[b, unit] = of_hidden[b, unit]
            of_prods[b, unit] = of_hidden[b, units + unit] * hidden[b, units + unit]  # the derivative of exp is exp
    if wanted:
        np.dot(of_sums, weights.w_sums[model], out)
        np.dot(of_prods, weights.w_prods[model], through)
        for b in range(batch):
            for gene in range(genes):
                value = phi[b, gene]
                slope = ONE - abs(value)
                out[b, gene] = slope * slope * (out[b, gene] + through[b, gene] / (ONE + value)) - net[b, gene]


@loop
def rk4_forward(
    first: int, last: int, durations: Any, steps: int, weights: Any, kept: Any, start: Any, path: Any
) -> None:
    """Set path (intervals, models, batch, genes) of some models to the states at the ends of the intervals from `start`.

    `durations` is (intervals, models, batch). Without room for all evaluations the last one alone is kept.
    """
    intervals, _, batch = durations.shape
    room = kept[0].shape[1]
    x, k, total = np.empty_like(start[0]), np.empty_like(start[0]), np.empty_like(start[0])
    for model in range(first, last):
        place = 0
        for interval in range(intervals):
            state, step = path[interval, model], durations[interval, model] / np.float32(steps)
            state[:] = start[model] if interval == 0 else path[interval - 1, model]
            for _ in range(steps):
                x[:] = state
                total[:] = 0
                for stage in range(4):
                    velocity(weights, kept, model, min(place, room - 1), x, k)
                    place += 1
                    go_on(state, k, step, np.float32(COUNTS[stage]), np.float32(REACHES[stage]), total, x)
                for b in range(batch):
                    for gene in range(state.shape[1]):
                        state[b, gene] += step[b] * total[b, gene]


@loop
def go_on(state: Any, k: Any, step: Any, count: Any, reach: Any, total: Any, x: Any) -> None:
    """Add count * k to the total and set x to the state of the next stage."""
    for b in range(state.shape[0]):
        along = step[b] * reach
        for gene in range(state.shape[1]):
            total[b, gene] += count * k[b, gene]
            x[b, gene] = state[b, gene] + along * k[b, gene]


@loop
def rk4_backward(
    first: int,
    last: int,
    durations: Any,
    steps: int,
    weights: Any,
    kept: Any,
    spare: Any,
    of_path: Any,
    of_start: Any,
    of_x0: Any,
) -> None:
    """Take the gradients of the path of some models back, into of_start (unless not `of_x0`: then anything) and what is kept."""
    intervals = len(durations)
    of_k, through = np.empty_like(of_start[0]), np.empty_like(of_start[0])
    total = np.empty_like(of_start[0])
    for model in range(first, last):
        place, of_x = intervals * steps * 4, of_start[model]
        of_x[:] = 0
        for interval in range(intervals - 1, -1, -1):
            step = durations[interval, model] / np.float32(steps)
            of_x += of_path[interval, model]
            for _ in range(steps):
                through[:] = 0
                total[:] = of_x
                for stage in range(3, -1, -1):
                    place -= 1
                    come_back(of_x, through, step, np.float32(COUNTS[stage]), np.float32(REACHES[stage]), of_k)
                    wanted = of_x0 or place > 0
                    velocity_back(weights, kept, model, place, of_k, through, spare, wanted)
                    if wanted:
                        total += through
                of_x[:] = total


@loop
def come_back(of_x: Any, through: Any, step: Any, count: Any, reach: Any, of_k: Any) -> None:
    """Set of_k to the gradient of a stage: from the new state, and from where the next stage started."""
    for b in range(of_x.shape[0]):
        counted, along = step[b] * count, step[b] * reach
        for gene in range(of_x.shape[1]):
            of_k[b, gene] = counted * of_x[b, gene] + along * through[b, gene]


class CompiledModules(CompiledSolve):
    """`Phoenix(encoder="modules")` with parameters as there."""

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        p = {name: value.detach() for name, value in params.items()}
        u = torch.cat([p["U_sums"], p["U_prods"]], dim=2)  # one wide product is faster than two
        parts = (p["W_sums"], p["W_prods"], p["W_sums"].mT, p["W_prods"].mT, p["b_sums"], p["b_prods"], u, u.mT)
        self.weights = ModulesWeights(*(part.contiguous().numpy() for part in (*parts, p["v"].relu())))

    def keep(self, evaluations: int, batch: int) -> ModulesKept:
        """Return empty arrays for what evaluations keep."""
        models, units, genes = self.weights.w_sums.shape
        widths = (genes, genes, 2 * units, units, units, genes)
        shapes = [*((models, evaluations, batch, width) for width in widths), (models, evaluations, genes)]
        return ModulesKept._make(np.empty(shape, np.float32) for shape in shapes)

    def forward(
        self, first: int, last: int, durations: Floats, steps: int, kept: ModulesKept, start: Floats, path: Floats
    ) -> None:
        """Solve for some models."""
        rk4_forward(first, last, durations, steps, self.weights, kept, start, path)

    def backward(
        self,
        first: int,
        last: int,
        durations: Floats,
        steps: int,
        kept: ModulesKept,
        of_path: Floats,
        of_start: Floats,
        *,
        wanted: bool,
    ) -> dict[str, Tensor]:
        """Return the gradients of the parameters of some models."""
        _, units, genes = self.weights.w_sums.shape
        batch = of_path.shape[2]
        spare = np.empty((batch, 2 * units), np.float32), np.empty((batch, genes), np.float32)  # a thread's own
        rk4_backward(first, last, durations, steps, self.weights, kept, spare, of_path, of_start, wanted)
        parts = [torch.from_numpy(part[first:last]) for part in kept]
        factors = (*(part.flatten(1, 2) for part in parts[:-1]), parts[-1])
        return gradients_of(factors, torch.from_numpy(self.weights.rate[first:last] > 0))
