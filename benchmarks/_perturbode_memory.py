"""Memory and time of a large screen, each fit in a process of its own.

`python -m benchmarks._perturbode_memory transport|equilibrium REGIMES CELLS GENES` prints one line of JSON.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks._perturbode_data import Row
from benchmarks._perturbode_jobs import Job

SIZE = (1000, 100, 800)


def large_screen(perturbations: int, cells: int, genes: int, seed: int = 0):
    """Return an AnnData (perturbations + control) * cells x genes, float32 log values with a sparse linear response."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    names = np.array([f"g{i:03d}" for i in range(genes)])
    weights = np.where(rng.random((genes, genes)) < 2 / genes, rng.normal(0, 0.5, (genes, genes)), 0)
    x = rng.gamma(4.0, 0.25, ((perturbations + 1) * cells, genes)).astype(np.float32)
    labels = ["control"] * cells
    for r in range(perturbations):
        pair = rng.choice(genes, 1 if r < genes else 2, replace=False) if r >= genes else np.array([r])
        labels += ["+".join(names[pair])] * cells
        change = np.zeros(genes)
        change[pair] = 2.0
        rows = slice((r + 1) * cells, (r + 2) * cells)
        x[rows] = np.maximum(x[rows] + change + change @ weights, 0)
    obs = pd.DataFrame({"perturbation": pd.Categorical(labels)}, index=[f"c{i}" for i in range(len(labels))])
    return AnnData(x, obs=obs, var=pd.DataFrame(index=names))


def measure(way: str, perturbations: int, cells: int, genes: int) -> Row:
    """Fit in this process; return seconds, seconds an epoch and the peak of memory in GB."""
    import time

    import scdash

    adata = large_screen(perturbations, cells, genes)
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began, wall = time.process_time(), time.perf_counter()
    fit = scdash.models.Transport(steps=200) if way == "transport" else "equilibrium"
    scdash.tl.fit_perturbode(adata, model=scdash.models.PerturbODE(fit=fit))
    return {
        "cpu_s": time.process_time() - began,
        "wall_s": time.perf_counter() - wall,
        "seconds_per_epoch": float(adata.uns["dynamics"]["metrics"].get("seconds_per_epoch", float("nan"))),
        "data_gb": made,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def memory_jobs(ways: tuple[str, ...] = ("transport", "equilibrium"), size: tuple[int, ...] = SIZE) -> Iterator[Job]:
    """Yield one row a way of fitting, measured in a new process."""
    for way in ways:
        key = {"data": " x ".join(map(str, size)), "method": way}
        yield Job("memory", key, lambda way=way: _in_a_process(way, size))


def _in_a_process(way: str, size: tuple[int, ...]) -> Row:
    command = [sys.executable, "-m", "benchmarks._perturbode_memory", way, *map(str, size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(done.stderr.strip().splitlines()[-8:], flush=True)
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:5]))))
