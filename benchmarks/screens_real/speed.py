"""Time and memory of fits of large screens with a known network, each in a process of its own.

`python -m benchmarks.screens_real.speed [SIZE ...]` prints a row for each size of `SIZES`: CPU seconds of the fit without the
imports, peak memory of the process, memory before the fit, and the precision of its first 1,000 edges beside differential
expression's.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

TOP = 1000  # edges whose precision is reported
TARGETS = 8  # of each perturbed gene
KEPT = 0.8  # part of the true edges that a prior has


@dataclass(frozen=True)
class Size:
    """A screen: genes, perturbations, cells of each and of the control, counts a gene, and whether a prior is given."""

    genes: int
    perturbations: int
    cells: int
    control: int
    umi: float
    prior: bool = False


SIZES = {
    "250": Size(250, 50, 60, 60, 2.0, prior=True),
    "500": Size(500, 100, 60, 60, 2.0, prior=True),
    "1000": Size(1000, 100, 100, 100, 1.0, prior=True),
    "3000": Size(3000, 200, 95, 1000, 0.5),
}


def planted(size: Size, seed: int = 0) -> anndata.AnnData:
    """Return log-normalised counts of knockouts; `varp["truth"]`, a row regulates a column."""
    import scanpy as sc

    rng = np.random.default_rng(seed)
    names = np.array([f"g{i:04d}" for i in range(size.genes)])
    weights = np.zeros((size.genes, size.genes))
    perturbed = rng.choice(size.genes, size.perturbations, replace=False)
    for gene in perturbed:
        targets = rng.choice(np.delete(np.arange(size.genes), gene), TARGETS, replace=False)
        weights[gene, targets] = rng.choice([-1, 1], TARGETS) * rng.uniform(0.3, 1.0, TARGETS)
    base = rng.gamma(1.0, 1.0, size.genes) + 0.05
    base *= size.umi / base.mean()

    def cells(mean: np.ndarray, n: int) -> sparse.csr_matrix:
        depth = rng.lognormal(0, 0.3, (n, 1))
        return sparse.csr_matrix(rng.poisson(mean[None] * depth).astype(np.float32))

    blocks, labels = [cells(base, size.control)], ["control"] * size.control
    for gene in perturbed:
        change = -2.0 * weights[gene]
        change[gene] = -2.0
        blocks.append(cells(base * np.exp(change), size.cells))
        labels += [names[gene]] * size.cells
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(len(labels))])
    adata = anndata.AnnData(sparse.vstack(blocks).tocsr(), obs=obs, var=pd.DataFrame(index=names))
    adata.varp["truth"] = sparse.csr_matrix((weights != 0).astype(float))
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def measure(name: str) -> dict[str, float]:
    """Fit one size in this process; return seconds, memory and precision."""
    import scdash
    from scdash.screens.baselines.network_scores import differential_expression
    from scdash.screens.inputs import ScreenRequest, read_screen
    from scdash.screens.statistics import assign_folds, perturbation_statistics

    size = SIZES[name]
    knockout = scdash.models.PerturbODE(kind="knockout")
    scdash.tl.fit_perturbode(
        planted(Size(20, 10, 20, 20, 5.0)), model=knockout, progress=False
    )  # imports, compiled loops
    adata = planted(size)
    truth = adata.varp["truth"].toarray() != 0
    prior = None
    if size.prior:
        edges = np.argwhere(truth)
        edges = edges[np.random.default_rng(0).random(len(edges)) < KEPT]
        prior = pd.DataFrame({"source": adata.var_names[edges[:, 0]], "target": adata.var_names[edges[:, 1]]})
    data, began = _peak(), time.process_time()
    scdash.tl.fit_perturbode(adata, prior, model=knockout, progress=False)
    seconds, peak = time.process_time() - began, _peak()
    table = scdash.get.grn(adata).head(TOP)
    found = truth[adata.var_names.get_indexer(table["source"]), adata.var_names.get_indexer(table["target"])]
    inputs = read_screen(adata, ScreenRequest(model=knockout))
    fold = assign_folds(inputs.screen, 5, np.random.default_rng(0))
    none = np.array([], dtype=np.int64)
    score = differential_expression(
        perturbation_statistics(inputs.cells, inputs.screen, fold, slope=None, sources=none)
    )
    strongest = np.argsort(-score, axis=None)[:TOP]
    return {
        "cpu_s": seconds,
        "peak_gb": peak,
        "before_gb": data,
        "precision": float(found.mean()),
        "precision_of_differential_expression": float(truth.ravel()[strongest].mean()),
    }


def in_a_process(name: str) -> dict[str, float]:
    """Return what `measure` finds in a new process."""
    command = [sys.executable, "-m", "benchmarks.screens_real.speed", "--here", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        rows = {name: in_a_process(name) for name in sys.argv[1:] or SIZES}
        print(pd.DataFrame(rows).T.round(3).to_string())
