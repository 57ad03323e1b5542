"""A perturbation atlas on disk: `python -m benchmarks.streaming --cells 1000000`.

Writes sparse log values of `--cells` cells x 2,000 genes with 100 perturbations as h5ad, block by block, then runs
`pp.trajectories`, `pp.filter_perturbations` and `tl.fit_perturbode` (by equilibrium matching, and 500 steps of transport; all
2,000 genes) on it, backed and as dask chunks of the file, each in a process of its own, and prints seconds and peak
memory of each as JSON. `--csv` keeps them in streaming.csv beside this script; several numbers of cells show how cost
grows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

FILE = Path(__file__).with_suffix(".csv")
GENES, REGIMES, DENSITY, BLOCK = 2000, 100, 0.05, 20_000
STEPS, WAYS = ("trajectories", "filter", "matching", "transport"), ("backed", "dask")
TRAINING = 500  # steps of transport: a fixed number, since the noise of this atlas has no network to find


def write(path: Path, cells: int) -> None:
    """Write the atlas without ever holding more than a block; perturbation r raises gene r."""
    import anndata as ad
    from anndata.io import sparse_dataset, write_elem

    rng = np.random.default_rng(0)
    perturbation = rng.integers(0, REGIMES + 1, cells)
    names = np.array([f"g{j:04d}" for j in range(GENES)])
    labels = pd.Categorical.from_codes(perturbation, ["control", *names[:REGIMES]])
    obs = pd.DataFrame({"perturbation": labels, "time": rng.random(cells)}, index=[f"c{i}" for i in range(cells)])
    ad.AnnData(obs=obs, var=pd.DataFrame(index=names)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        for first in range(0, cells, BLOCK):
            block = _block(perturbation[first : first + BLOCK], rng)
            if first:
                sparse_dataset(file["X"]).append(block)
            else:
                write_elem(file, "X", block)


def _block(perturbation: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Return noise, with the gene of every perturbed cell raised."""
    noise = sp.random(len(perturbation), GENES, DENSITY, format="csr", dtype=np.float32, rng=rng)
    moved = np.flatnonzero(perturbation)
    raised = (np.full(len(moved), 1.5, np.float32), (moved, perturbation[moved] - 1))
    return sp.csr_matrix(noise + sp.csr_matrix(raised, shape=noise.shape))


def read(path: Path, how: str) -> Any:
    """Return the atlas as AnnData whose X stays on disk."""
    import anndata as ad
    from anndata.experimental import read_elem_lazy

    adata = ad.read_h5ad(path, backed="r")
    if how == "backed":
        return adata
    chunks = read_elem_lazy(adata.file["X"], chunks=(BLOCK, GENES))
    return ad.AnnData(chunks, obs=adata.obs, var=adata.var)


def peak_gb() -> float:
    """Return the peak memory of this program in GiB (getrusage would count that of the process that started it)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def run(path: Path, step: str, how: str) -> dict[str, object]:
    """Run one step on the atlas in this process."""
    import scdash

    scdash.settings.verbosity = 1
    adata = read(path, how)
    wall, cpu = time.perf_counter(), time.process_time()
    if step == "trajectories":
        scdash.pp.trajectories(adata, time_key="time", n_bins=20)
    elif step == "filter":
        scdash.pp.filter_perturbations(adata, copy=True)
    elif step == "matching":
        scdash.tl.fit_perturbode(adata)
    else:
        scdash.tl.fit_perturbode(adata, model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=TRAINING)))
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {"step": step, "X": how, "cells": adata.n_obs, **spent, "peak_gb": peak_gb()}


def measure(folder: Path, cells: int, steps: Sequence[str], ways: Sequence[str], *, csv: bool) -> None:
    """Write an atlas and run every step on it, each in a process of its own."""
    write(folder / "atlas.h5ad", cells)
    for step, how in product(steps, ways):
        command = [sys.executable, "-m", "benchmarks.streaming", "--folder", str(folder), "--one", step, how]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(found), flush=True)
        if csv:
            keep(found)


def keep(row: dict[str, object]) -> None:
    """Replace this row in streaming.csv."""
    table, same = pd.DataFrame([row]), ["step", "X", "cells"]
    if FILE.exists():
        table = pd.concat([pd.read_csv(FILE), table]).drop_duplicates(same, keep="last")
    table.sort_values(same).to_csv(FILE, index=False, float_format="%.4g")


def main() -> None:
    """Measure every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", type=Path, help="where the atlas is written; default: a temporary folder")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("STEP", "WAY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(run(asked.folder / "atlas.h5ad", *asked.one)))
        return
    for cells in asked.cells:
        with tempfile.TemporaryDirectory() as temporary:
            measure(asked.folder or Path(temporary), cells, asked.steps, asked.ways, csv=asked.csv)


if __name__ == "__main__":
    main()
