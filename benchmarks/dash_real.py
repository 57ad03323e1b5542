"""Tables 2, 3 and 9 of the DASH paper, breast cancer and bone marrow: `python -m benchmarks.dash_real [--rows brca-dash ...]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes results/dash_real/runs.csv (every run),
summary.csv and dash_real.png.

The paper's model (PHOENIX with hidden units, random start) with its pruning methods, through the public call, and the default
call beside them. Errors are those of next states of test data, as in the paper; beside them the mean state and no change.
Breast cancer: the paper has 11,165 genes, here are the 500 most variable ones (178 patients for training and validation, 8
consecutive ones for test, as published; a seed also draws which 8 of the others are for validation). Balanced accuracy is over
all ordered pairs, as published, where a pair whose source was never measured counts as no edge, and over the rows of the
seven factors with ChIP; the prior alone is judged by the same figures. Bone marrow: cells of one batch are one
trajectory, train on s1d2, choose on s1d1, test on the rest, one range of expression per batch, as released; the paper gives no
lambdas for it, so those for breast cancer are used. Table 8, the monocytes, cannot be made: their cells are not in the
reference data. `benchmarks.hematopoiesis` has the same cells smoothed into bins, which is what we would advise.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._rows import OURS, PUBLISHED, Row, bars, main, reference
from benchmarks.yeast import AUPRC, judged, matrix

ZEROS, OUT_DEGREE, MSE, CPU = "share of weights that are 0", "out-degree", "next-step test MSE", "CPU seconds"
ALL_PAIRS, CHIP_ROWS = "balanced accuracy, all pairs", "balanced accuracy, rows of 7 TFs"
PRIOR, PEARSON = "prior alone", "|Pearson|"
NAMES = {"brca": "breast cancer, 500 genes", "eryth": "erythroid", "B": "B cells"}
METHODS = {"none": "none", "l0": "L0", "cnode": "C-NODE", "pathreg": "PathReg", "imp": "IMP", "dash": "DASH"}
COLORS = {
    "none": "#999999",
    "L0": "#56B4E9",
    "C-NODE": "#E69F00",
    "PathReg": "#8C6D31",
    "IMP": "#0072B2",
    "DASH": "#D55E00",
    OURS: "#000000",
    PRIOR: "#CCCCCC",
}
# sparsity (%), balanced accuracy (%) or out-degree, next-step MSE
PAPER = {
    ("brca", "none"): (0.03, 49.99, 7.78e-5),
    ("brca", "l0"): (10.38, 50.15, 7.90e-5),
    ("brca", "cnode"): (0.01, 50.01, 8.06e-5),
    ("brca", "pathreg"): (14.92, 50.24, 7.92e-5),
    ("brca", "imp"): (95.70, 49.70, 7.76e-5),
    ("brca", "dash"): (92.71, 95.69, 7.76e-5),
    ("eryth", "pathreg"): (13.94, 522, 2.12e-4),
    ("eryth", "imp"): (94.44, 123, 2.12e-4),
    ("eryth", "dash"): (95.95, 54, 2.12e-4),
    ("B", "pathreg"): (14.72, 508, 6.52e-5),
    ("B", "imp"): (97.34, 34, 6.45e-5),
    ("B", "dash"): (97.35, 29, 6.47e-5),
}
HELD_OUT = 8  # patients for validation, one after another
LAMBDAS = (0.9995, 0.995)  # the paper's for breast cancer


def load(data: str, seed: int) -> Any:
    """Return states with `time`, `trajectory` and `split`; `prior` and `coregulation` in `uns`, and ChIP where there is any."""
    adata = _patients(seed) if data == "brca" else cells(data)
    folder = reference() / ("brca500" if data == "brca" else "hema_bcell")
    genes = pd.read_csv(folder / "gene_names.csv", keep_default_na=False)["gene"].to_numpy(str)
    table = pd.DataFrame(np.abs(pd.read_csv(folder / "edge_prior_matrix.csv.gz", header=None).to_numpy()), genes, genes)
    edges = table.rename_axis("source").reset_index().melt("source", var_name="target", value_name="weight")
    adata.uns["prior"] = edges[edges["weight"] > 0].assign(weight=1.0).reset_index(drop=True)
    pairs = pd.read_csv(folder / "ppi_subset.csv.gz", keep_default_na=False)
    adata.uns["coregulation"] = pairs.rename(columns={"gene_a": "source", "gene_b": "target", "value": "weight"})
    return adata


def _patients(seed: int) -> Any:
    import anndata

    stored = np.load(reference() / "brca500" / "expression.npz", allow_pickle=False)
    states, times = (np.concatenate([stored[f"{name}_train"], stored[f"{name}_test"]]) for name in ("x", "t"))
    split = np.repeat(["train", "test"], [len(stored["t_train"]), len(stored["t_test"])]).astype(object)
    order = np.argsort(times)
    adata = anndata.AnnData(states[order].astype(np.float32))
    adata.obs_names, adata.var_names = [f"p{k}" for k in range(adata.n_obs)], stored["genes"].astype(str)
    free = np.flatnonzero(split[order] == "train")
    runs = [k for k in range(1, len(free) - HELD_OUT) if free[k + HELD_OUT] - free[k - 1] == HELD_OUT + 1]
    first = free[np.random.default_rng(seed).choice(runs)]
    split = split[order]
    split[first : first + HELD_OUT] = "validation"
    adata.obs = adata.obs.assign(time=times[order], trajectory="patients", split=split)
    chip = pd.read_csv(reference() / "brca500" / "chip_validation_subset.csv.gz", keep_default_na=False)
    adata.uns["truth"] = chip.rename(columns={"from": "source", "to": "target"})[["source", "target"]]
    return adata


def cells(lineage: str, *, each_gene: bool = False) -> Any:
    """Return cells as states, time from 0 to 1 in every batch, expression too (`each_gene` by itself, as with PathReg).

    Ten cells are cut off at the start of every batch, twenty at its end.
    """
    import anndata

    adata = anndata.read_h5ad(reference() / "hematopoiesis" / f"{lineage}.h5ad")
    parts = []
    for batch, rows in adata.obs.groupby("batch", observed=True):
        ordered = rows.sort_values("pseudotime").drop_duplicates("pseudotime").index[10:-20]
        part = anndata.AnnData(adata[ordered].X.toarray(), obs=adata.obs.loc[ordered], var=adata.var[[]])
        axis = 0 if each_gene else None
        part.X = (part.X - part.X.min(axis)) / np.maximum(np.ptp(part.X, axis), 1e-12)
        time = part.obs["pseudotime"].to_numpy()
        split = {"s1d2": "train", "s1d1": "validation"}.get(str(batch), "test")
        part.obs = pd.DataFrame(
            {"time": (time - time[0]) / np.ptp(time), "trajectory": str(batch), "split": split},
            index=[f"{batch}_{name}" for name in ordered],
        )
        parts.append(part)
    return anndata.concat(parts)


def fit(data: str, method: str, seed: int) -> Iterator[Row]:
    """Yield the figures of one method, or of the default call."""
    import scdash

    adata, name, predictor = load(data, seed), NAMES[data], METHODS.get(method, OURS)
    schedule = scdash.sparsity.GeometricSchedule(0.9, 10, 0.1, 20) if data == "brca" else None
    dash = scdash.sparsity.DASH(LAMBDAS, "paper", "zero", coregulation=adata.uns["coregulation"], schedule=schedule)
    forms = {"dash": dash, "imp": scdash.sparsity.MagnitudePruning(schedule)}
    asked: dict[str, Any] = {}
    if method in METHODS:
        asked = {"sparsity": forms.get(method, method), "start": "random"}
        asked["model"] = scdash.models.Phoenix(encoder="modules", n_hidden=50)
        # The paper's batches are single pairs, which take minutes an epoch of cells. Penalties have many stages.
        size = 8 if data == "brca" and method in forms else 28
        asked["training"] = scdash.Training(batch_size=size, max_epochs=None if method in forms else 100)
    began = time.process_time()
    prior = adata.uns["prior"] if method in ("dash", "default") else None
    keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
    scdash.tl.fit_dynamics(adata, prior, observations="states", rng=seed, progress=False, **keys, **asked)
    yield Row(name, CPU, predictor, seed, time.process_time() - began)
    metrics = adata.uns["dynamics"]["metrics"]
    yield Row(name, ZEROS, predictor, seed, metrics["sparsity"])
    yield Row(name, OUT_DEGREE, predictor, seed, metrics["out_degree"])
    for who, figure in ((predictor, "test_mse"), ("mean state", "constant_mse"), ("no change", "no_change_mse")):
        yield Row(name, MSE, who, seed, metrics[figure])
    if data != "brca":
        return
    found = scdash.get.grn(adata)
    pearson = np.abs(np.corrcoef(np.asarray(adata.X, dtype=np.float64).T))
    known = matrix(adata.uns["prior"], adata.var_names)
    truth = matrix(adata.uns["truth"].assign(weight=1.0), adata.var_names) != 0
    for who, edges, score in (
        (predictor, matrix(found, adata.var_names) != 0, np.abs(matrix(found, adata.var_names, "contribution"))),
        (PRIOR, known != 0, known),
        (PEARSON, None, pearson),
    ):
        yield Row(name, AUPRC, who, seed, judged(score, truth)[AUPRC])
        for measure, rows in ((ALL_PAIRS, slice(None)), (CHIP_ROWS, truth.any(axis=1))):
            if edges is not None:
                yield Row(name, measure, who, seed, balanced_accuracy(edges[rows], truth[rows]))


def balanced_accuracy(found: Any, true: Any) -> float:
    """Return the mean of the shares of edges and of pairs without an edge that are found as such."""
    return float((found[true].mean() + (~found[~true]).mean()) / 2)


def published() -> Iterator[Row]:
    """Yield the paper's figures."""
    for (data, method), (zeros, other, error) in PAPER.items():
        who = f"{METHODS[method]} (paper{', 11165 genes' if data == 'brca' else ''})"
        yield Row(NAMES[data], ZEROS, who, PUBLISHED, zeros / 100)
        measure, value = (ALL_PAIRS, other / 100) if data == "brca" else (OUT_DEGREE, other)
        yield Row(NAMES[data], measure, who, PUBLISHED, value)
        yield Row(NAMES[data], MSE, who, PUBLISHED, error)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw zeros, balanced accuracy and out-degree."""
    labels = {ZEROS: ZEROS, ALL_PAIRS: "balanced accuracy,\nall pairs", OUT_DEGREE: OUT_DEGREE}
    bars(runs, path, labels, COLORS)


if __name__ == "__main__":
    found = {f"brca-{m}": partial(fit, "brca", m) for m in (*METHODS, "default")}
    found |= {f"{d}-{m}": partial(fit, d, m) for d in ("eryth", "B") for m in ("pathreg", "imp", "dash", "default")}
    main("dash_real", __doc__, found, published(), draw, seeds=2)
