"""What users wait for besides training: each call in a process of its own, beside a reference measured in that process.

The reference is a dense product of the size that is at stake, scikit-learn's ridge, the import of scanpy, or the same fit
without what is measured, so that a loaded machine slows down both.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CELLS, GENES, REGULATORS = 5_000, 1_000, 150


def cpu(function: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def peak_megabytes() -> float:
    """Return the largest memory that this process has had (`ru_maxrss` has the parent's share)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def dense_product(rows: int = CELLS, genes: int = GENES) -> float:
    """Return the CPU seconds of one product (rows, genes) x (genes, genes) in double precision."""
    x, matrix = np.ones((rows, genes)), np.ones((genes, genes))
    return min(cpu(lambda: x @ matrix) for _ in range(3))


def scanpy_import() -> float:
    """Return the CPU seconds of importing scanpy in a fresh process."""
    text = "import time, scanpy; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)


def simulated(genes: int) -> Any:
    """Return a simulated time course."""
    import scdash

    adata = scdash.simulate.grn_dynamics(n_genes=genes, n_trajectories=12, n_test=1, times=(0, 1, 2, 3, 4, 5), rng=0)
    degree = np.asarray((adata.varp["truth"] != 0).sum(1)).ravel()
    adata.var["tf"] = np.isin(np.arange(genes), np.argsort(-degree, kind="stable")[:REGULATORS])
    return adata


def fitted(genes: int) -> Any:
    """Return a fit of such a time course by regression alone."""
    import scdash

    adata = simulated(genes)
    scdash.tl.fit_dynamics(
        adata,
        adata.uns["prior"],
        time_key="time",
        trajectory_key="trajectory",
        split_key="split",
        regulators="tf",
        mask_var=np.ones(genes, bool),
        training=scdash.Training(max_epochs=0),
        progress=False,
    )
    return adata


def cells_of(adata: Any) -> Any:
    """Return cells between the lowest and the highest fitted state of every gene."""
    from anndata import AnnData

    states = np.asarray(adata.uns["dynamics"]["series"]["states"])
    drawn = np.random.default_rng(0).random((CELLS, adata.n_vars), dtype=np.float32)
    values = states.min(0) + drawn * np.ptp(states, axis=0)
    cells = AnnData(values.astype(np.float32), var=pd.DataFrame(index=adata.var_names))
    cells.uns["dynamics"] = adata.uns["dynamics"]
    return cells


def predict() -> dict[str, float]:
    """Predict from every cell, at the times of the fit."""
    import scdash

    adata = fitted(GENES)
    cells, edges = cells_of(adata), adata.varp["dynamics_grn"].nnz
    scdash.tl.predict(adata, cells[:20])
    return {"cpu_s": cpu(lambda: scdash.tl.predict(adata, cells)), "reference_s": dense_product(), "edges": edges}


def shift() -> dict[str, float]:
    """Hold one gene in every cell."""
    import scdash

    adata = fitted(GENES)
    gene = str(scdash.get.grn(adata, only_network=True)["source"].iloc[0])
    cells = cells_of(adata)
    scdash.tl.perturbation_shift(cells[:20].copy(), gene)
    return {"cpu_s": cpu(lambda: scdash.tl.perturbation_shift(cells, gene)), "reference_s": dense_product()}


def influence(genes: int) -> dict[str, float]:
    """Change every gene at ten starts."""
    import scdash

    adata = fitted(genes)
    scdash.tl.gene_influence(adata, n_starts=2, genes=list(adata.var_names[:2]), progress=False)
    used = cpu(lambda: scdash.tl.gene_influence(adata, n_starts=10, progress=False))
    return {"cpu_s": used, "reference_s": dense_product(10 * REGULATORS, genes)}


def stats() -> dict[str, float]:
    """Count motifs of a network and of 100 random ones."""
    import scdash

    adata = fitted(GENES)
    scdash.tl.network_stats(adata, n_random=1)
    return {"cpu_s": cpu(lambda: scdash.tl.network_stats(adata)), "reference_s": scanpy_import()}


def ridge(genes: int) -> dict[str, float]:
    """Fit ridge regressions of all genes, a fifth of which are perturbed; beside one of scikit-learn's."""
    from sklearn.linear_model import Ridge

    from scdash._data.screen import parse_screen
    from scdash.screens.baselines.network_scores import masked_ridge

    rng = np.random.default_rng(0)
    labels = ["control"] * 1000 + [f"g{gene}" for gene in range(genes // 5) for _ in range(50)]
    x = rng.normal(size=(len(labels), 20)) @ rng.normal(size=(20, genes)) + rng.normal(size=(len(labels), genes))
    screen = parse_screen(labels, pd.Index([f"g{gene}" for gene in range(genes)]))
    reference = min(cpu(lambda: Ridge(10.0, solver="cholesky").fit(x[:, 1:], x[:, 0])) for _ in range(3))
    return {"cpu_s": cpu(lambda: masked_ridge(x, screen)), "reference_s": reference}


def null_models() -> dict[str, float]:
    """Fit the myoblasts (150 genes) with null models; the reference is the same fit without."""
    import scdash

    cells, prior = scdash.datasets.hsmm(), scdash.datasets.myogenic_prior()
    values = np.asarray(cells.to_df())
    cells = cells[:, np.sort(np.argsort(-values.var(0))[:150])].copy()

    def fit(*, null: bool) -> None:
        scdash.tl.fit_dynamics(
            cells.copy(),
            prior,
            time_key="pseudotime",
            validation=scdash.Validation(null_models=null),
            progress=False,
        )

    without = cpu(lambda: fit(null=False))
    return {"cpu_s": cpu(lambda: fit(null=True)), "reference_s": without}


def first_call() -> dict[str, float]:
    """Compile everything for a fresh install: a copy of the package without compiled code; then again, with it."""
    import scdash

    text = "import time, scdash.compile as c; c.compile_loops(); print(time.process_time())"

    def seconds(folder: str) -> float:
        place = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | {
            "PYTHONPATH": folder
        }
        done = subprocess.run([sys.executable, "-c", text], env=place, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1])

    with tempfile.TemporaryDirectory() as folder:
        without = shutil.ignore_patterns("*.nbi", "*.nbc")
        shutil.copytree(Path(scdash.__file__).parent, Path(folder) / "scdash", ignore=without)
        found = {"cpu_s": seconds(folder)}
        return found | {"reference_s": seconds(folder)}


CALLS: dict[str, tuple[Callable[[], dict[str, float]], str, float]] = {
    "tl.predict, 5,000 cells x 1,000 genes": (predict, "a dense product of all cells", 9.0),
    "tl.perturbation_shift, the same": (shift, "a dense product of all cells", 2.5),
    "tl.gene_influence, 500 genes": (lambda: influence(500), "a dense product of all states", np.nan),
    "tl.gene_influence, 1,000 genes": (lambda: influence(1000), "a dense product of all states", np.nan),
    "tl.gene_influence, 2,000 genes": (lambda: influence(2000), "a dense product of all states", np.nan),
    "tl.network_stats, 100 random networks": (stats, "import scanpy", 1.0),
    "ridge of a screen, 500 genes": (lambda: ridge(500), "scikit-learn's ridge of one gene", np.nan),
    "ridge of a screen, 1,000 genes": (lambda: ridge(1000), "scikit-learn's ridge of one gene", 3.0),
    "fit of cells with null models": (null_models, "the fit without them", np.nan),
    "small fits of each kind, nothing compiled": (first_call, "the same, everything compiled", np.nan),
}


def calls() -> pd.DataFrame:
    """Measure every call and return one row each."""
    rows = []
    for name, (_, reference, goal) in CALLS.items():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._speed_calls", name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        ratio = found["cpu_s"] / found["reference_s"]
        row = {"call": name, "cpu_s": found["cpu_s"], "goal_s": goal, "reference": reference}
        rows.append(row | {"reference_s": found["reference_s"], "ratio": ratio, "peak_mb": found["peak_mb"]})
        print(
            pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format="{:.3g}".format),
            flush=True,
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    import torch

    import scdash

    torch.set_num_threads(1)
    scdash.settings.verbosity = 0
    found = CALLS[sys.argv[1]][0]()
    print(json.dumps(found | {"peak_mb": peak_megabytes()}))
