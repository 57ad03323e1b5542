"""A perturbation atlas on disk: `python -m benchmarks.streaming --cells 1000000`.

Writes sparse log values of `--cells` cells x 2,000 genes with 100 regimes as h5ad, block by block, then runs
`pp.trajectories`, `pp.filter_perturbations` and `tl.fit_perturbode` on it backed, each in a process of its own, and
prints seconds and peak memory of each as JSON. `--csv` writes streaming.csv beside this script.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = Path(__file__).parent
GENES, REGIMES, DENSITY, BLOCK = 2000, 100, 0.05, 20_000
STEPS = ("trajectories", "filter", "perturbode")


def write(path: Path, cells: int) -> None:
    """Write the atlas without ever holding more than a block; regime r raises gene r."""
    import anndata as ad
    from anndata.io import write_elem

    rng = np.random.default_rng(0)
    regime = rng.integers(0, REGIMES + 1, cells)
    names = np.array([f"g{j:04d}" for j in range(GENES)])
    labels = pd.Categorical.from_codes(regime, ["control", *names[:REGIMES]])
    obs = pd.DataFrame({"perturbation": labels, "time": rng.random(cells)}, index=[f"c{i}" for i in range(cells)])
    ad.AnnData(obs=obs, var=pd.DataFrame(index=names)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        write_elem(
            file,
            "X",
            sp.csr_matrix((0, GENES), dtype=np.float32),
            dataset_kwargs={"maxshape": (None,), "chunks": (1 << 20,)},
        )
        group, total = file["X"], 0
        group.attrs["shape"] = (cells, GENES)
        starts = [np.zeros(1, np.int64)]
        for first in range(0, cells, BLOCK):
            part = regime[first : first + BLOCK]
            block = sp.random(len(part), GENES, DENSITY, format="csr", dtype=np.float32, rng=rng)
            moved = np.flatnonzero(part)
            block = block + sp.csr_matrix(
                (np.full(len(moved), 1.5, np.float32), (moved, part[moved] - 1)), shape=block.shape
            )
            for name, values in (("data", block.data), ("indices", block.indices.astype(np.int32))):
                group[name].resize((total + block.nnz,))
                group[name][total:] = values
            starts.append(total + block.indptr[1:].astype(np.int64))
            total += block.nnz
        del group["indptr"]
        group.create_dataset("indptr", data=np.concatenate(starts))


def run(path: Path, step: str) -> dict[str, object]:
    """Run one step on the backed atlas in this process."""
    import anndata as ad

    import scdash

    scdash.settings.verbosity = 1
    adata = ad.read_h5ad(path, backed="r")
    wall, cpu = time.perf_counter(), time.process_time()
    if step == "trajectories":
        scdash.pp.trajectories(adata, time_key="time", n_bins=20)
    elif step == "filter":
        scdash.pp.filter_perturbations(adata, copy=True)
    else:
        mask = np.arange(adata.n_vars) < 2 * REGIMES
        scdash.tl.fit_perturbode(adata, mask_var=mask)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {"step": step, "cells": adata.n_obs, **spent, "peak_gb": peak}


def main() -> None:
    """Measure every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--csv", action="store_true")
    asked = parser.parse_args()
    if asked.step is not None:
        print(json.dumps(run(asked.folder / "atlas.h5ad", asked.step)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        write(folder / "atlas.h5ad", asked.cells)
        rows = []
        for step in STEPS:
            command = [sys.executable, "-m", "benchmarks.streaming", "--folder", str(folder), "--step", step]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(rows[-1]), flush=True)
    if asked.csv:
        pd.DataFrame(rows).to_csv(HERE / "streaming.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
