"""What users wait for besides training: each call in a process of its own, beside a reference measured in that process.

The reference is a dense product of the size that is at stake, scikit-learn's ridge, the import of scanpy, or the same
without what is measured, so that a loaded machine slows down both.
"""

import cProfile
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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


def ridge_of_one_gene(x: np.ndarray) -> float:
    """Return the CPU seconds of scikit-learn's ridge of the first gene on all others."""
    from sklearn.linear_model import Ridge

    return min(cpu(lambda: Ridge(10.0, solver="cholesky").fit(x[:, 1:], x[:, 0])) for _ in range(3))


def ridge(genes: int) -> dict[str, float]:
    """Fit ridge regressions of all genes, a fifth of which are perturbed; beside one of scikit-learn's."""
    from scdash._data.screen import parse_screen
    from scdash.screens.baselines.network_scores import masked_ridge

    rng = np.random.default_rng(0)
    labels = ["control"] * 1000 + [f"g{gene}" for gene in range(genes // 5) for _ in range(50)]
    x = rng.normal(size=(len(labels), 20)) @ rng.normal(size=(20, genes)) + rng.normal(size=(len(labels), genes))
    screen = parse_screen(labels, pd.Index([f"g{gene}" for gene in range(genes)]))
    return {"cpu_s": cpu(lambda: masked_ridge(x, screen)), "reference_s": ridge_of_one_gene(x)}


def screen_fit(name: str) -> dict[str, float]:
    """Fit a planted screen of a size that `screens_real.speed` names; scikit-learn's ridge is on at most 10,000 of its cells."""
    from benchmarks.screens_real.speed import SIZES, measure, planted

    found = measure(name)
    peak = 1024 * found["peak_gb"]
    dense = planted(SIZES[name])[:10_000].to_df().to_numpy(np.float64)
    return {"cpu_s": found["cpu_s"], "reference_s": ridge_of_one_gene(dense), "peak_mb": peak}


def figures() -> dict[str, Any]:
    """Draw the velocity on an embedding, twice, with other colours."""
    import matplotlib as mpl
    import torch

    import scdash

    mpl.use("agg")
    adata = fitted(GENES)
    cells, model = cells_of(adata), scdash.get.model(adata)
    with torch.no_grad():
        x = torch.as_tensor(cells.X.copy()).to(model.minimum.dtype)
        cells.layers["dynamics_velocity"] = model(0.0, x).numpy().astype(np.float32)
    cells.obsm["X_umap"] = np.asarray(cells.X[:, :2], dtype=np.float64)
    scdash.pl.velocity(cells[:100].copy(), show=False)  # imports and fonts
    before = forget_peak()
    first = cpu(lambda: scdash.pl.velocity(cells, show=False))
    added = peak_megabytes() - before
    second = cpu(lambda: scdash.pl.velocity(cells, str(cells.var_names[0]), show=False))
    return {"cpu_s": second, "reference_s": first, "added_mb": added}


def layer() -> dict[str, Any]:
    """Write the velocity of 1,000 genes for cells of 5,000; the reference is a dense product of all cells."""
    import scdash
    from scdash._data import as_expression
    from scdash.networks.velocity_layer import velocity_of

    adata = fitted(GENES)
    cells, model = cells_of(adata), scdash.get.model(adata)
    values = as_expression(cells.X)
    velocity_of(values, model, np.arange(GENES), 5 * GENES)
    before = forget_peak()
    used = cpu(lambda: velocity_of(values, model, np.arange(GENES), 5 * GENES))
    return {"cpu_s": used, "reference_s": dense_product(), "added_mb": peak_megabytes() - before}


def forget_peak() -> float:
    """Let `peak_megabytes` begin anew; return the megabytes in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_megabytes()


def quarters() -> dict[str, float]:
    """Smooth quarters of sparse cells, each cell multiplied for its own quarter; the reference multiplies the others with zeros."""
    import scipy.sparse as sp

    from scdash._data import as_expression, halve_cells
    from scdash._data.time_series import bins
    from scdash._data.time_series.placed import Placed

    rng = np.random.default_rng(0)
    values = as_expression(sp.random(CELLS, GENES, 0.3, format="csr", dtype=np.float64, rng=rng))
    placed, own = Placed.of(rng.random(CELLS)), bins._products
    spent, found = {"cpu_s": 0.0, "reference_s": 0.0}, []

    def whole(w: np.ndarray, draws: np.ndarray, kernel: np.ndarray, block: Any) -> np.ndarray:
        return np.asarray(w.reshape(-1, w.shape[2]) @ block).reshape(*w.shape[:2], -1)

    for name, products in {"cpu_s": own, "reference_s": whole}.items():

        def timed(*given: Any, name: str = name, products: Callable[..., Any] = products) -> Any:
            began = time.process_time()
            result = products(*given)
            spent[name] += time.process_time() - began
            return result

        bins._products = timed  # type: ignore[assignment]
        found += [halve_cells(values, placed, rng=0).quarters for _ in range(3)]
    bins._products = own
    if not all(np.array_equal(found[0], one) for one in found):
        raise SystemExit("quarters differ from those of all cells")
    return spent


def constructors() -> dict[str, float]:
    """Fit 2,000 cells of 300 genes; what is measured is the part of it in scipy's own Python code of sparse matrices."""
    from anndata import AnnData

    import scdash

    rng = np.random.default_rng(0)
    place, genes = np.sort(rng.random(2000)), 300
    centre, width = rng.random(genes), rng.uniform(0.1, 0.4, genes)
    mean = 3 * np.exp(-0.5 * ((place[:, None] - centre) / width) ** 2)
    adata = AnnData(np.log1p(rng.poisson(mean)).astype(np.float32))
    adata.obs["dpt_pseudotime"], adata.var["tf"] = place, np.arange(genes) < 60
    options: dict[str, Any] = {"regulators": "tf", "validation": scdash.Validation(null_models=False)}
    profile = cProfile.Profile(time.process_time)
    small = adata[::10, :30].copy()
    scdash.tl.fit_dynamics(small, progress=False, **options)
    profile.enable()
    scdash.tl.fit_dynamics(adata, progress=False, **options)
    profile.disable()
    entries = profile.getstats()
    own = [entry.inlinetime for entry in entries if f"scipy{os.sep}sparse" in getattr(entry.code, "co_filename", "")]
    return {"cpu_s": sum(own), "reference_s": sum(entry.inlinetime for entry in entries)}


def epoch(genes: int) -> dict[str, float]:
    """Train with 5 % of the weights left; the reference is dense, by turns."""
    from benchmarks._speed_ways import ours

    units, pairs = 60, 180
    runs = [(ours(genes, units, pairs, 0.05), ours(genes, units, pairs)) for _ in range(3)]
    return dict(zip(("cpu_s", "reference_s"), np.median(runs, axis=0).tolist(), strict=True))


def step(genes: int) -> dict[str, float]:
    """Train a step of the default fit on whole trajectories with 5 % of the edges left; the reference has all, by turns."""
    from scdash.training.rollouts import GeneWise, Trajectories
    from scdash.training.whole_trajectories import Trainer, WholeTrajectories

    rng = np.random.default_rng(0)
    weights = np.zeros((genes, genes))
    weights[:, :REGULATORS] = rng.normal(0, 0.1, (genes, REGULATORS))
    model = GeneWise.of(weights, rng.random(genes), rng.uniform(0.1, 1, genes))
    paths = [np.cumsum(rng.normal(0, 0.03, (20, genes)), axis=0) + 0.5 for _ in range(8)]
    trajectories = Trajectories.of(paths, [np.linspace(0, 5, 20)] * 8)
    trainers = [Trainer(model, trajectories, WholeTrajectories()) for _ in range(2)]
    trainers[0].prune(rng.random(model.weights.nnz) < 0.05)
    for trainer in trainers:
        trainer.train(2)
    runs = [[cpu(lambda t=trainer: t.train(10)) / 10 for trainer in trainers] for _ in range(5)]  # type: ignore[misc]
    return dict(zip(("cpu_s", "reference_s"), np.min(runs, axis=0).tolist(), strict=True))


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


@dataclass(frozen=True)
class Call:
    """What is measured, what it is a ratio to, and the goals of the issue (NaN: none)."""

    measure: Callable[[], dict[str, Any]]
    reference: str
    goal_s: float = np.nan
    goal_ratio: float = np.nan
    goal_mb: float = np.nan


PRODUCT, RIDGE = "a dense product of all cells", "scikit-learn's ridge of one gene"
STATES = "a dense product of all states"
CALLS = {
    "tl.predict, 5,000 cells x 1,000 genes": Call(predict, PRODUCT, goal_s=9, goal_mb=1024),
    "tl.perturbation_shift, the same": Call(shift, PRODUCT, goal_s=2.5),
    "tl.gene_influence, 500 genes": Call(lambda: influence(500), STATES),
    "tl.gene_influence, 1,000 genes": Call(lambda: influence(1000), STATES),
    "tl.gene_influence, 2,000 genes": Call(lambda: influence(2000), STATES),
    "tl.network_stats, 100 random networks": Call(stats, "import scanpy", goal_s=1),
    "ridge of a screen, 500 genes": Call(lambda: ridge(500), RIDGE),
    "ridge of a screen, 1,000 genes": Call(lambda: ridge(1000), RIDGE, goal_s=3),
    "tl.fit_perturbode with a prior, 250 genes": Call(lambda: screen_fit("250"), RIDGE),
    "tl.fit_perturbode with a prior, 500 genes": Call(lambda: screen_fit("500"), RIDGE),
    "tl.fit_perturbode with a prior, 1,000 genes": Call(lambda: screen_fit("1000"), RIDGE, goal_s=15),
    "tl.fit_perturbode, 20,000 cells x 3,000 genes x 200 perturbations": Call(
        lambda: screen_fit("3000"), RIDGE, goal_s=60, goal_mb=3072
    ),
    "velocity layer, 5,000 cells, 1,000 of 5,000 genes": Call(layer, PRODUCT),
    "pl.velocity again, 5,000 cells x 1,000 genes": Call(figures, "the first figure"),
    "quarters of 5,000 sparse cells x 1,000 genes": Call(
        quarters, "the same with the other cells times 0", goal_ratio=1 / 3.7
    ),
    "scipy's sparse constructors in a fit, 2,000 cells x 300 genes": Call(constructors, "the fit", goal_ratio=0.17),
    "fit of cells with null models": Call(null_models, "the fit without them"),
    "epoch with 5 % of the weights, 1,000 genes, 60 hidden units": Call(lambda: epoch(1000), "the dense epoch"),
    "epoch with 5 % of the weights, 2,000 genes, 60 hidden units": Call(lambda: epoch(2000), "the dense epoch"),
    "step of a default fit with 5 % of the edges, 1,000 genes": Call(
        lambda: step(1000), "the step with all edges", goal_ratio=1
    ),
    "small fits of each kind, nothing compiled": Call(first_call, "the same, everything compiled"),
}


def calls(names: list[str]) -> pd.DataFrame:
    """Measure some calls and return one row each."""
    rows = []
    for name in names:
        call = CALLS[name]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._speed_calls", name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        row = {"call": name, "cpu_s": found["cpu_s"], "goal_s": call.goal_s, "reference": call.reference}
        row |= {"reference_s": found["reference_s"], "ratio": found["cpu_s"] / found["reference_s"]}
        row |= {"goal_ratio": call.goal_ratio, "peak_mb": found["peak_mb"], "goal_mb": call.goal_mb}
        rows.append(row | {"added_mb": found.get("added_mb", np.nan)})
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
    found = CALLS[sys.argv[1]].measure()
    print(json.dumps({"peak_mb": peak_megabytes()} | found))
