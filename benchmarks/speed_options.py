"""What else might make training faster, measured: `python -m benchmarks.speed_options`.

One batch of SIM350's size (28 pairs, 350 genes, 40 hidden units) is solved and differentiated in every way: the
derivative written out and the solve compiled as a whole (ours), operation by operation with compiled loops for the
elementwise ones, and with torch's operations alone; autograd through the velocity, the same
compiled by torch.compile (velocity alone, whole interval), bfloat16 and float64 products, and fewer or more steps.
Prints CPU milliseconds of one thread, relative to ours, the seconds of the first call, and how far the gradient is
from that of a solve in float64 with 16 steps. Writes speed_options.csv beside this script.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks._speed_ways import BATCH, STEPS, cpu, make
from scdash.fields import Params, Phoenix
from scdash.fields import fused as _fused
from scdash.fields import phoenix_training as _phoenix_training
from scdash.solve import integrate, rk4_interval, rk4_path

HERE = Path(__file__).parent
Way = Callable[[Params, Tensor, Tensor], Tensor]  # weights, start (1, pairs, genes), times -> end states


@contextmanager
def one_by_one(*, loops: bool) -> Iterator[None]:
    """Solve as large models are solved, with compiled loops for elementwise parts, or as on a GPU, without."""
    before = _fused.COMPILED, _phoenix_training.CACHED
    _phoenix_training.CACHED = 0
    if not loops:
        _fused.COMPILED = ()
    try:
        yield
    finally:
        _fused.COMPILED, _phoenix_training.CACHED = before


def written_out(field: Phoenix, steps: int) -> Way:
    """Return the way of training: `rk4_path`."""
    return lambda params, x, times: rk4_path(field.evaluator(params), params, x, times, steps)[-1]


def autograd(field: Phoenix) -> Way:
    """Return rk4 differentiated by autograd, operation by operation."""
    return lambda params, x, times: integrate(field.bind(params), x, times, steps=STEPS)[-1]


def compiled_velocity(field: Phoenix) -> Way:
    """Return rk4 with the velocity compiled."""
    velocity = torch.compile(lambda params, x: field.bind(params)(x), dynamic=False)
    return lambda params, x, times: integrate(lambda state: velocity(params, state), x, times, steps=STEPS)[-1]


def compiled_interval(field: Phoenix) -> Way:
    """Return the whole interval compiled, all its evaluations in one graph."""

    def solve(params: Params, x: Tensor, times: Tensor) -> Tensor:
        return rk4_interval(field.bind(params), x, times[..., 1:] - times[..., :1], STEPS)

    return torch.compile(solve, dynamic=False)  # type: ignore[no-any-return]


def bfloat16(field: Phoenix) -> Way:
    """Return autograd's way with products in bfloat16."""

    def solve(params: Params, x: Tensor, times: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return integrate(field.bind(params), x, times, steps=STEPS)[-1]

    return solve


def gradients(way: Way, params: Params, x: Tensor, times: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the squared error by all weights."""
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    loss = (way(leaves, x, times).to(targets.dtype) - targets).square().mean()
    return torch.autograd.grad(loss, list(leaves.values()))


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    field, params, _, examples = make(350, 40, BATCH)
    data = examples.start[None], examples.times[None], examples.targets[0][None]
    double = {name: value.double() for name, value in params.items()}
    double_data = tuple(part.double() for part in data)
    exact = gradients(written_out(field, 16), double, *double_data)
    ways: dict[str, tuple[Way, bool]] = {
        "ours: derivative written out, solve compiled": (written_out(field, STEPS), False),
        "derivative written out, one by one, compiled loops": (written_out(field, STEPS), False),
        "derivative written out, one by one, torch's operations": (written_out(field, STEPS), False),
        "autograd": (autograd(field), False),
        "autograd, torch.compile of the velocity": (compiled_velocity(field), False),
        "autograd, torch.compile of the interval": (compiled_interval(field), False),
        "autograd, bfloat16 products": (bfloat16(field), False),
        "ours in float64": (written_out(field, STEPS), True),
        "ours, 1 step": (written_out(field, 1), False),
        "ours, 2 steps": (written_out(field, 2), False),
        "ours, 8 steps": (written_out(field, 8), False),
    }
    rows = []
    for name, (way, in_double) in ways.items():
        given = (double, *double_data) if in_double else (params, *data)
        with one_by_one(loops="loops" in name) if "one by one" in name else nullcontext():
            began = time.perf_counter()
            found = gradients(way, *given)
            first = time.perf_counter() - began
            spent = min(cpu(lambda w=way, g=given: gradients(w, *g), 20) for _ in range(5))  # type: ignore[misc]
        error = sum(float((a.double() - b).square().sum()) for a, b in zip(found, exact, strict=True))
        size = sum(float(b.square().sum()) for b in exact)
        rows.append({"way": name, "cpu_ms": 1e3 * spent, "first_s": first, "gradient_error": (error / size) ** 0.5})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.insert(2, "relative", table["cpu_ms"] / table["cpu_ms"].iloc[0])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    table.to_csv(HERE / "speed_options.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
