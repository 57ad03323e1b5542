r"""Influence by derivatives: what a small change of every gene does to all others, for thousands of genes at once.

One backward pass gives the derivative of ONE number, g = d/dx(0) of sum(u x(t)), by the start values of ALL genes, so
random weights u on the later states measure whole columns of the Jacobian J_{ti,j} = dx_i(t) / dx_j(0):

- random signs: regressing g_j on u_{tj} gives J_{tj,j}, a gene's effect on itself (Hutchinson 1990), to be taken out;
- Cauchy numbers: g_j is Cauchy with scale sum over t, i of |J_{ti,j}| (Indyk 2006), read off by the geometric mean
  over probes, whose bias is known (Li 2008);
- ones: the signed sum.

The cost does not grow with the number of genes changed, as that of `gene_influence` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scdash._errors import NonFiniteError
from scdash._random import RNG, as_generator
from scdash.networks._solver import outgoing
from scdash.networks._module import DynamicsModel
from scdash.solve import integrate

STEP = 0.25  # largest step in units of the fastest rate
TENSORS = 40  # of the size of the states, held per step of one recomputed interval


@dataclass(frozen=True)
class LocalInfluence:
    """Derivatives of all other genes, later, by each gene at the start; both per unit of each gene's range."""

    absolute: NDArray[np.float64]  # (genes,), mean absolute value over starts, times and other genes
    signed: NDArray[np.float64]  # (genes,), mean
    standard_error: NDArray[np.float64]  # (genes,), of `absolute`, from starts and probes
    steps: int


def local_influence(
    model: DynamicsModel,
    starts: NDArray[Any],
    times: NDArray[Any],
    *,
    n_probes: int = 16,
    unit: NDArray[Any] | None = None,
    max_memory: float = 512e6,
    rng: RNG = 0,
    progress: Callable[[int], object] | None = None,
) -> LocalInfluence:
    """Return mean absolute and mean derivatives of later states by the start value of every gene.

    Parameters
    ----------
    model
        A fitted model.
    starts
        Start states (K, genes), in the user's units.
    times
        Increasing times; the first is that of the starts.
    n_probes
        Cauchy probes, and as many sign probes. The relative error is about pi / 2 / sqrt(n_probes K).
    unit
        What counts as 1 in a gene, (genes,), in the user's units; the model's own `range` by default.
    max_memory
        Bytes for the states kept for a backward pass.
    rng
        Seed or Generator of the probes.
    progress
        Called with 1 after every Cauchy probe.
    """
    n, later = starts.shape[1], len(times) - 1
    if n < 2 or n_probes < 2:
        raise ValueError(f"At least two genes and two probes are needed, found {n} and {n_probes}.")
    generator, flow = as_generator(rng), _Flow.of(model, starts, times, unit, max_memory)
    shape = (len(starts), later, n)
    itself = _effect_on_itself(flow, generator, shape, n_probes)
    ones = np.ones(shape, dtype=np.float32)
    signed = flow.derivative(ones).mean(0) - itself.sum(0)
    logs = np.zeros((len(starts), n))
    for _ in range(n_probes):
        weights = generator.standard_cauchy(size=shape).astype(np.float32)
        others = flow.derivative(weights) - (weights * itself).sum(1)
        logs += np.log(np.maximum(np.abs(others), 1e-300)) / n_probes
        if progress is not None:
            progress(1)
    per_start = np.cos(np.pi / (2 * n_probes)) ** n_probes * np.exp(logs) / (later * (n - 1))
    return _summary(per_start, signed / (later * (n - 1)), outgoing(model, starts), flow.steps)


def _effect_on_itself(
    flow: "_Flow", generator: np.random.Generator, shape: tuple[int, int, int], n_probes: int
) -> NDArray[np.float64]:
    """Return J_{tj,j}, averaged over starts, (later times, genes), by least squares over starts and sign probes.

    A plain mean of u_{tj} g_j would leave noise of the size of a gene's effect on itself at OTHER times, far above
    what weak genes do to others; the regression has none of it.
    """
    k, later, n = shape
    normal, right = np.zeros((n, later, later)), np.zeros((n, later))
    for _ in range(max(n_probes, -(-2 * later // k))):
        signs = generator.choice(np.array([-1.0, 1.0], dtype=np.float32), size=shape)
        normal += np.einsum("ktj,ksj->jts", signs, signs, optimize=True)
        right += np.einsum("ktj,kj->jt", signs, flow.derivative(signs), optimize=True)
    return np.asarray((np.linalg.pinv(normal, hermitian=True) @ right[:, :, None])[:, :, 0].T)


def _summary(
    per_start: NDArray[np.float64],
    signed: NDArray[np.float64],
    reaching: NDArray[np.bool_],
    steps: int,
) -> LocalInfluence:
    """Average over starts; genes without outgoing weights, whose derivatives are rounding, are zero."""
    k = len(per_start)
    error = per_start.std(0, ddof=1) / np.sqrt(k) if k > 1 else np.full(per_start.shape[1], np.inf)
    absolute, mean, noise = (np.where(reaching, part, 0.0) for part in (per_start.mean(0), signed, error))
    return LocalInfluence(absolute, mean, noise, steps)


@dataclass(frozen=True)
class _Flow:
    """The solve whose derivatives are taken; states of the field, genes counted in units of `unit`."""

    model: DynamicsModel
    weights: dict[str, Tensor]
    z: Tensor  # (K, genes)
    times: NDArray[np.float64]
    ratio: NDArray[np.float64]  # (genes,), unit of the field / unit asked for
    rows: int
    steps: int

    @classmethod
    def of(
        cls, model: DynamicsModel, starts: NDArray[Any], times: NDArray[Any], unit: Any, max_memory: float
    ) -> "_Flow":
        weights = {name: value.detach() for name, value in model.weights.items()}
        rates, times = model.field.rates(weights), np.asarray(times, float) / model.time_scale
        longest = float(np.diff(times).max())
        steps = max(1, int(np.ceil(longest * (1.0 if rates is None else float(rates.max())) / STEP)))
        own = model.range.double().cpu().numpy()
        x = torch.as_tensor(np.array(starts), dtype=model.minimum.dtype, device=model.minimum.device)
        ratio = np.ones(len(own)) if unit is None else own / np.asarray(unit, dtype=np.float64)
        rows = int(np.clip(max_memory / (4 * TENSORS * steps * len(own)), 1, len(starts)))
        return cls(model, weights, (x - model.minimum) / model.range, times, ratio, rows, steps)

    def derivative(self, u: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return d/dx(0) of sum(u x(t)) for every start, (K, genes); u is (K, later times, genes)."""
        found = []
        for first in range(0, len(self.z), self.rows):
            part = slice(first, first + self.rows)
            found.append(self._backward(self.z[part], u[part] * self.ratio) / self.ratio)
        result = np.concatenate(found)
        bad = ~np.isfinite(result).all(0)
        if bad.any():
            raise NonFiniteError(
                f"The derivative by {self.model.genes[int(np.argmax(bad))]} is not finite ({bad.sum()} genes). Ask for "
                "shorter `times`, or fit a sparser model: dense ones can diverge outside the range of their data."
            )
        return result

    def _backward(self, z: Tensor, u: NDArray[Any]) -> NDArray[np.float64]:
        velocity = self.model.field.bind(self.weights)

        def advance(x: Tensor, first: float, last: float) -> Tensor:
            pair = torch.tensor([first, last], dtype=torch.float64)
            return integrate(velocity, x, pair, solver="rk4", steps=self.steps)[-1]

        weight = torch.as_tensor(u, dtype=z.dtype, device=z.device)
        start = z.clone().requires_grad_()
        total = torch.zeros((), dtype=z.dtype, device=z.device)
        with torch.enable_grad():
            state = self.model.field.lift(self.weights, start[None])
            for k, (first, last) in enumerate(zip(self.times[:-1], self.times[1:], strict=True)):
                # an interval is computed again in the backward pass: memory does not grow with the number of times
                state = checkpoint(advance, state, float(first), float(last), use_reentrant=False)
                total = total + (self.model.field.observe(self.weights, state)[0] * weight[:, k]).sum()
            (gradient,) = torch.autograd.grad(total, start)
        return np.asarray(gradient.double().cpu().numpy())
