"""PHOENIX with hidden units and its derivative as loops around matrix products, compiled by numba on first use.

The same as `Modules` in `_phoenix_training`, in single precision on a CPU, for one model of a stack at a time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from scdash._compiled import OPTIONS, loop
from scdash.fields._loops import Compiled, velocity, velocity_back

Floats = NDArray[np.float32]
HALF, ONE = np.float32(0.5), np.float32(1)


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
    """What evaluations keep, (models, evaluations, batch, genes or units)."""

    phi: Floats
    log: Floats
    hidden: Floats  # of both branches
    net: Floats  # production - x; after the way back the gradient of that
    of_sums: Floats  # of both branches' products with the encoder, there and back
    of_prods: Floats
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


def _velocity(weights: Any, kept: Any, model: Any, place: Any, x: Any, out: Any) -> Any:
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


def _velocity_back(
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


@overload(velocity, jit_options=OPTIONS)  # type: ignore[untyped-decorator]
def _find_velocity(weights: Any, kept: Any, model: Any, place: Any, x: Any, out: Any) -> Any:
    return _velocity if getattr(weights, "instance_class", None) is ModulesWeights else None


@overload(velocity_back, jit_options=OPTIONS)  # type: ignore[untyped-decorator]
def _find_velocity_back(
    weights: Any, kept: Any, model: Any, place: Any, gradient: Any, out: Any, spare: Any, wanted: Any
) -> Any:
    return _velocity_back if getattr(weights, "instance_class", None) is ModulesWeights else None


class CompiledModules(Compiled):
    """`Phoenix(encoder="modules")` with parameters as there."""

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        p = {name: value.detach() for name, value in params.items()}
        u = torch.cat([p["U_sums"], p["U_prods"]], dim=2)  # one wide product is faster than two
        parts = (p["W_sums"], p["W_prods"], p["W_sums"].mT, p["W_prods"].mT, p["b_sums"], p["b_prods"], u, u.mT)
        self.weights = ModulesWeights(*(part.contiguous().numpy() for part in (*parts, p["v"].relu())))

    def keep(self, evaluations: int, batch: int) -> ModulesKept:
        """Return empty arrays for what evaluations keep."""
        models, units, genes = self.weights.w_sums.shape
        widths = (genes, genes, 2 * units, genes, units, units)
        shapes = [*((models, evaluations, batch, width) for width in widths), (models, evaluations, genes)]
        return ModulesKept._make(np.empty(shape, np.float32) for shape in shapes)

    def spare(self, batch: int) -> tuple[Floats, Floats]:
        """Return arrays for the units of both branches, and for the genes."""
        _, units, genes = self.weights.w_sums.shape
        return np.empty((batch, 2 * units), np.float32), np.empty((batch, genes), np.float32)

    def collect(self, kept: ModulesKept, first: int, last: int) -> dict[str, Tensor]:
        """Return the gradients of the parameters."""
        phi, log, hidden, net, of_sums, of_prods = (
            torch.from_numpy(part[first:last]).flatten(1, 2) for part in kept[:-1]
        )
        u_sums, u_prods = torch.bmm(net.mT, hidden).chunk(2, dim=2)
        of_rate = kept.of_rate[first:last].sum(1) * (self.weights.rate[first:last] > 0)
        return {
            "W_sums": torch.bmm(of_sums.mT, phi),
            "W_prods": torch.bmm(of_prods.mT, log),
            "b_sums": of_sums.sum(1),
            "b_prods": of_prods.sum(1),
            "U_sums": u_sums,
            "U_prods": u_prods,
            "v": torch.from_numpy(of_rate),
        }
