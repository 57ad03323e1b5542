"""The package's own Runge-Kutta steps beside torchdiffeq, in training with hidden units: `python -m benchmarks.solvers`.

Part one: an epoch of batches (solve, gradient, Adam) of the same field on the same examples, with the same number of steps
where a method has fixed ones. Part two: a whole call of `fit_dynamics` with its default solver and with torchdiffeq's
dopri5. CPU seconds of one thread, ways by turns, medians. Needs no data; writes solvers.csv beside this script.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks._speed_ways import BATCH, STEPS, cpu, make
from scdash.fields import Mlp, Params, VectorField
from scdash.solve import integrate

HERE = Path(__file__).parent
GENES, UNITS, PAIRS = 350, 40, 112
WAYS = ("own rk4", "torchdiffeq rk4", "torchdiffeq dopri5")


def end_of(way: str, field: VectorField, params: Params, start: Tensor, times: Tensor) -> Tensor:
    """Return the states at the ends of the pairs."""
    state = field.lift(params, start)
    if way == "own rk4":
        return field.observe(params, integrate(field.bind(params), state, times, steps=STEPS)[-1])
    from torchdiffeq import odeint

    velocity, length = field.bind(params), times[:, 1:] - times[:, :1]
    method = way.split()[1]
    options = {"options": {"step_size": 1 / STEPS}} if method == "rk4" else {"rtol": 1e-4, "atol": 1e-6}
    unit = torch.tensor([0.0, 1.0])
    return field.observe(params, odeint(lambda _, x: length * velocity(x), state, unit, method=method, **options)[-1])


def epoch(way: str, name: str) -> float:
    """Return CPU seconds of an epoch."""
    phoenix, weights, _, examples = make(GENES, UNITS, PAIRS)
    field: VectorField = phoenix
    if name == "mlp":
        field = Mlp(GENES, hidden=(UNITS, UNITS))
        weights = field.init(1, torch.Generator().manual_seed(0))
    params = {key: value.clone().requires_grad_() for key, value in weights.items()}
    adam = torch.optim.Adam(list(params.values()), lr=1e-5, fused=True)

    def train() -> None:
        for first in range(0, PAIRS, BATCH):
            rows = slice(first, first + BATCH)
            found = end_of(way, field, params, examples.start[None, rows], examples.times[rows])
            loss = (found - examples.targets[:, rows]).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    return cpu(train, 2)


def call(solver: str, options: dict[str, object]) -> float:
    """Return CPU seconds of a fit of so many epochs, without what is done before and after training."""
    import scdash

    scdash.settings.verbosity = 0

    def fit(epochs: int) -> float:
        adata = scdash.simulate.grn_dynamics(n_genes=GENES, n_trajectories=28, n_test=3, times=(0, 2, 3, 7, 9), rng=0)
        keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "mask_var": [True] * GENES}
        began = time.process_time()
        scdash.tl.fit_dynamics(
            adata,
            progress=False,
            sparsity="none",
            training=scdash.Training(max_epochs=epochs, solver=solver),
            **keys,
            **options,
        )
        return time.process_time() - began

    return fit(9) - fit(1)


def main(turns: int) -> None:
    """Measure, write and print."""
    import scdash

    rows = []
    for name in ("modules", "mlp"):
        ways: dict[str, Callable[[], float]] = {way: (lambda w=way, n=name: epoch(w, n)) for way in WAYS}  # type: ignore[misc]
        times = pd.DataFrame([{way: run() for way, run in ways.items()} for _ in range(turns)]).median()
        rows.append({"field": name, "what": f"epoch of {PAIRS} pairs", **times})
        own = scdash.models.Phoenix(encoder="modules") if name == "modules" else "mlp"
        options: dict[str, object] = {"start": "random", "model": own}
        calls = {"own rk4": "rk4", "torchdiffeq dopri5": "dopri5"}
        found = pd.DataFrame([{way: call(s, options) for way, s in calls.items()} for _ in range(turns)]).median()
        rows.append({"field": name, "what": "8 epochs of fit_dynamics", **found})
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    for way in WAYS[1:]:
        table[f"{way} / own"] = table[way] / table[WAYS[0]]
    table.to_csv(HERE / "solvers.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    main(parser.parse_args().turns)
