"""What an epoch of training costs and how that grows: `python -m benchmarks.speed`.

One table in one run: (a) the authors' way (one pair at a time, adjoint, dopri5 at 1e-7/1e-9, extrapolated from a few
pairs), (b) torchdiffeq's dopri5 in batches (from one batch), ours dense and at 95 % sparsity, (c) the bound of the dense
matrix products; then calls around the fit, each as a ratio to a reference of the same process and with its peak memory
(`--calls`: these alone; `--default-fits --before SRC`: whole default fits beside those of another checkout, and their
profiles), stacks of lambdas, choosing among them with a budget, and (with --fit) whole fits on all cores
with their peak memory. Epochs are CPU seconds of one thread unless OMP_NUM_THREADS says otherwise. Needs no data; writes
speed*.csv and speed.png beside this script.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks._speed_calls import CALLS, calls
from benchmarks._speed_default_fits import FITS, default_fits
from benchmarks._speed_ways import authors, batched, bound, make, ours
from benchmarks._speed_ways import cpu as cpu_seconds

HERE = Path(__file__).parent
# genes: (units of the paper's models, pairs an epoch); SIM350 has 140 training trajectories of 4 pairs
SIZES = {350: (40, 560), 690: (50, 560), 2000: (100, 180), 11165: (300, 150)}
TRIED = {350: 4, 690: 4, 2000: 4, 11165: 0}  # pairs of the authors' way; at 11,165 genes one takes minutes
STACK, TURNS = 25, 5

FIT = """
import json, sys, time
import numpy as np, scanpy, scdash
scdash.settings.verbosity = 1
n, way = int(sys.argv[1]), sys.argv[2]
adata = scdash.simulate.grn_dynamics(n_genes=n, n_trajectories=28, n_test=3, times=(0, 1, 2, 3, 4, 5), rng=0)
options = dict(prior=adata.uns["prior"], time_key="time", trajectory_key="trajectory", split_key="split")
options |= dict(mask_var=np.ones(n, bool), progress=False)
if way == "modules":
    schedule = scdash.sparsity.GeometricSchedule(0.9, 10, 0.1, 20)
    options |= dict(model=scdash.models.Phoenix(encoder="modules", n_hidden=int(sys.argv[3])), start="random")
    options |= dict(sparsity=scdash.sparsity.DASH(schedule=schedule))
    options |= dict(training=scdash.Training(max_epochs=300, patience=300, steps=2, learning_rate=1e-4))
else:
    degree = np.asarray((adata.varp["truth"] != 0).sum(1)).ravel()
    adata.var["tf"] = np.isin(np.arange(n), np.argsort(-degree, kind="stable")[: int(sys.argv[3])])
    options |= dict(regulators="tf")
wall, cpu = time.perf_counter(), time.process_time()
scdash.tl.fit_dynamics(adata, **options)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 2**20  # ru_maxrss has the parent's share
print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_gb": peak}))
"""


def epochs(sizes: list[int]) -> pd.DataFrame:
    """Return CPU seconds an epoch of every way, one row a size."""
    rows = []
    for n in sizes:
        units, pairs = SIZES[n]
        row: dict[str, float] = {"genes": n, "units": units, "pairs": pairs}
        row["authors (a)"] = authors(n, units, pairs, tried=TRIED[n]) if TRIED[n] else float("nan")
        row["batched dopri5 (b)"] = batched(n, units, pairs)
        ways: dict[str, Callable[[], float]] = {
            "ours, dense": lambda n=n, u=units, p=pairs: ours(n, u, p),  # type: ignore[misc]
            "ours, 5 % left": lambda n=n, u=units, p=pairs: ours(n, u, p, 0.05),  # type: ignore[misc]
            "products (c)": lambda n=n, u=units, p=pairs: bound(n, u, p),  # type: ignore[misc]
        }
        # by turns, as all shift with what else the machine does, and then their medians
        row |= pd.DataFrame([{way: run() for way, run in ways.items()} for _ in range(TURNS)]).median().to_dict()
        row["a / ours"] = row["authors (a)"] / row["ours, dense"]
        row["ours / c"] = row["ours, dense"] / row["products (c)"]
        rows.append(row)
        print(pd.DataFrame(rows).to_string(index=False, float_format=lambda x: f"{x:.3g}"), flush=True)
    return pd.DataFrame(rows)


def stacks() -> pd.DataFrame:
    """Return seconds an epoch of stacked models on SIM350's size, relative to one, beside what products alone take.

    CPU seconds of one thread, and wall seconds where all cores may take part.
    """
    from scdash.sparsity import as_sparsity
    from scdash.training import Problem, TrainConfig, run_epoch, start_state

    rows = []
    for models in (1, 4, 8, STACK):
        row = {"models": models, "cpu_s": 0.0, "wall_s": 0.0}
        for size in [min(8, models - first) for first in range(0, models, 8)]:  # parts, as fits are trained
            field, params, _, examples = make(350, 40, 560)
            held = examples.of_models(slice(None))
            problem = Problem(field, as_sparsity("none"), examples, held, TrainConfig(learning_rate=1e-5))
            state = start_state(
                problem, {name: value.repeat(size, *[1] * (value.ndim - 1)) for name, value in params.items()}
            )
            row["cpu_s"] += cpu_seconds(lambda p=problem, s=state: run_epoch(p, s), 2)  # type: ignore[misc]
            with all_cores():
                row["wall_s"] += cpu_seconds(lambda p=problem, s=state: run_epoch(p, s), 2, clock=time.perf_counter)  # type: ignore[misc]
        rows.append(row)
    table = pd.DataFrame(rows)
    one = table.iloc[0]
    table["relative to one"] = table["cpu_s"] / one["cpu_s"]
    table["wall relative to one"] = table["wall_s"] / one["wall_s"]
    table["products (c) alone, relative to one"] = table["models"] * bound(350, 40, 560) / one["cpu_s"]
    return table


def choice() -> pd.DataFrame:
    """Return the CPU seconds of choosing among 25 lambdas in one fold with a budget, relative to one training to the end.

    A simulated system of SIM350's size and the paper's schedule, 300 epochs; `speed_search` has SIM350 itself, the full
    search, and what a budget misses.
    """
    import scdash
    from benchmarks.speed_search import DEFAULT, search

    scdash.settings.verbosity = 1
    ways: dict[str, dict[str, Any]] = {"one": {"grid": [DEFAULT], "patience": 1.0}, "25, budget 4": {"budget": 4.0}}
    rows = []
    for way, options in ways.items():
        found = search(0, 300, adata=scdash.simulate.grn_dynamics(rng=0), **options)
        rows.append({"settings": way, "cpu_s": found["cpu_s"].sum(), "epochs": found["epochs"].sum()})
    table = pd.DataFrame(rows)
    for name in ("cpu_s", "epochs"):
        table[f"{name} relative to one"] = table[name] / table[name].iloc[0]
    return table


@contextmanager
def all_cores() -> Iterator[None]:
    """Let torch have them."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(n: int, way: str, size: int) -> dict[str, float]:
    """Run a whole fit in a process of its own and return wall and CPU seconds and peak memory."""
    threads = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(n), way, str(size)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | threads,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return {"genes": n, "way": way, "size": size} | json.loads(done.stdout.splitlines()[-1])  # type: ignore[return-value]


def wanted(names: list[str], parts: list[str]) -> list[str]:
    """Return the names that have one of some parts."""
    return [name for name in names if any(part in name for part in parts)]


def replace_rows(table: pd.DataFrame, file: Path, names: list[str]) -> None:
    """Write a table whose first column has names, with the rows of the file about those of `names` that were not measured."""
    column = str(table.columns[0])
    kept = pd.read_csv(file) if file.exists() else table.iloc[:0]
    kept = kept[~kept[column].isin(table[column]) & kept[column].isin(names)]
    every = pd.concat([kept, table]) if len(kept) else table
    every = every.sort_values(column, key=lambda values: values.map(names.index), kind="stable")
    every[table.columns].to_csv(file, index=False, float_format="%.3g")


def draw(table: pd.DataFrame) -> None:
    """Draw how cost grows with the number of genes, per pair."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for way in ("authors (a)", "batched dopri5 (b)", "ours, dense", "ours, 5 % left", "products (c)"):
        axis.plot(table["genes"], 1e3 * table[way] / table["pairs"], "o-", label=way, markersize=4)
    axis.set(xscale="log", yscale="log", xlabel="genes", ylabel="CPU milliseconds a pair and epoch")
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "speed.png", dpi=150)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="whole fits at 2,000 and 11,165 genes too (minutes)")
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--calls", action="store_true", help="only the calls around the fit")
    parser.add_argument("--default-fits", action="store_true", help="only default fits, beside those of --before")
    parser.add_argument("--before", type=Path, help="src folder of another checkout, for --default-fits")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="calls or default fits whose names have one of these parts"
    )
    asked = parser.parse_args()
    if asked.default_fits:
        if asked.before is None:
            parser.error("--default-fits needs --before, the src folder of the checkout to compare with")
        found, profile = default_fits(asked.before, wanted(list(FITS), asked.only))
        replace_rows(found, HERE / "speed_default_fits.csv", list(FITS))
        replace_rows(profile, HERE / "speed_default_profile.csv", list(FITS))
        return
    if asked.calls or asked.sizes == list(SIZES):
        replace_rows(calls(wanted(list(CALLS), asked.only)), HERE / "speed_calls.csv", list(CALLS))
    if asked.calls:
        return
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    table = epochs(asked.sizes)
    if asked.sizes != list(SIZES):
        return
    table.to_csv(HERE / "speed.csv", index=False, float_format="%.4g")
    draw(table)
    stacked = stacks()
    print(stacked.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    stacked.to_csv(HERE / "speed_stacks.csv", index=False, float_format="%.4g")
    chosen = choice()
    print(chosen.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    chosen.to_csv(HERE / "speed_choice.csv", index=False, float_format="%.4g")
    if asked.fit:
        jobs = ((2000, "modules", 100), (2000, "matching", 400), (11165, "modules", 300), (11165, "matching", 1600))
        fits = pd.DataFrame([fit(*job) for job in jobs])
        print(fits.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
        fits.to_csv(HERE / "speed_fits.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
