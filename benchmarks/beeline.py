"""Small cell data sets with known networks and no prior: `python -m benchmarks.beeline [--data "BEELINE mCAD" ...]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes beeline_runs.csv (every run, after each
subsample, joined with those of earlier runs), beeline.csv (mean and SD over subsamples) and beeline.png beside this script.

AUPRC over all ordered pairs of different genes, divided by the share of edges (1 is chance; networks this small reach 1.3
by luck). Every method sees the same 80 % of the cells; nothing is chosen with the truth, which is read last. "BEELINE ..." are
the files of the BEELINE paper itself (2,000 cells, pseudotime of Slingshot): a seed is one of its ten replicates, with all cells.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

import scdash

HERE = Path(__file__).parent
ORIGINAL = ("BEELINE mCAD", "BEELINE HSC", "BEELINE GSD")
DATA = ("mCAD", "HSC", "GSD", "krumsiek11", *ORIGINAL)
# best and worst published median ratio (BEELINE v1.1, ten runs of other samples of the same models)
PUBLISHED = {
    "mCAD": ("GRISLI 1.3", "GRNBOOST2 .77"),
    "HSC": ("PIDC 2.0", "SINGE .83"),
    "GSD": ("GRNVBEM 1.7", "SINGE .82"),
}
FIELDS: dict[str, dict[str, Any]] = {
    "PHOENIX, genes, IMP": {"sparsity": "imp", "start": "random"},
    "PHOENIX, modules, IMP": {"sparsity": "imp", "start": "random", "model": scdash.models.Phoenix(encoder="modules")},
    "MLP, PathReg": {"model": "mlp", "sparsity": "pathreg", "start": "random"},
    "SONODE, C-NODE": {"model": "sonode", "sparsity": "cnode", "start": "random"},
}
DEFAULT, SHUFFLED, FOREST = "default (fit_dynamics)", "default, time shuffled", "random forest (GENIE3-like)"
LAGGED, WITHIN = "path score over time alone", "path score within time alone"


def reference() -> Path:
    """Return the folder of reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[1] / "shared" / "data"))


def load(name: str) -> tuple[Any, pd.DataFrame]:
    """Return cells with `obs["time"]` and `obs["lineage"]`, and the true edges `source`, `target`."""
    import anndata

    if name == "krumsiek11":
        return krumsiek()
    if name == "GSD":
        adata = anndata.read_h5ad(reference() / "beeline_gsd" / "gsd_2000.h5ad")
        edges = pd.read_csv(reference() / "beeline_gsd" / "reference_network.csv")
        return both_branches(adata), edges.rename(columns={"Gene1": "source", "Gene2": "target"})
    folder = reference() / "boolode_curated"
    adata = anndata.read_h5ad(folder / f"{name}.h5ad")
    adata.obs["time"] = adata.obs["sim_time"].astype(float)
    adata.obs["lineage"] = fates(np.asarray(adata.X), adata.obs["time"].to_numpy())
    edges = pd.read_csv(folder / f"{name}_reference_network.csv")
    return adata, edges.rename(columns={"Gene1": "source", "Gene2": "target"})


def original(name: str, seed: int) -> tuple[Any, pd.DataFrame]:
    """Return a replicate of the paper's own files, its cells once for each lineage that has a pseudotime for them."""
    import anndata

    name = name.removeprefix("BEELINE ")
    adata = anndata.read_h5ad(reference() / "beeline_original" / f"curated_{name}.h5ad")
    truth = adata.uns["truth"].rename(columns={"Gene1": "source", "Gene2": "target"})
    adata = adata[adata.obs["replicate"].astype(str) == f"{name}_2000_{seed}"].copy()
    columns = [column for column in adata.obs if column.startswith("pseudotime_")]
    return lineages(adata, {column: column for column in columns if adata.obs[column].notna().sum() > 50}), truth


def krumsiek() -> tuple[Any, pd.DataFrame]:
    """Return scanpy's bundled simulation: four runs of 160 cells, each a lineage of its own."""
    import scanpy as sc

    adata = sc.datasets.krumsiek11()
    adata.obs_names_make_unique()
    place = np.arange(adata.n_obs)
    adata.obs["time"], adata.obs["lineage"] = (place % 160).astype(float), (place // 160).astype(str)
    return adata, scdash.datasets.krumsiek11(2, rng=0).uns["truth"]


def both_branches(adata: Any) -> Any:
    """Return the cells of either branch of slingshot; cells on both are in both."""
    return lineages(adata, {branch: f"pseudotime_slingshot{branch}" for branch in ("1", "2")})


def lineages(adata: Any, columns: dict[str, str]) -> Any:
    """Return the cells of every lineage (name -> column of `obs` with its pseudotime), one after the other."""
    import anndata

    parts = []
    for name, column in columns.items():
        own = adata[adata.obs[column].notna()].copy()
        own.obs["time"], own.obs["lineage"] = own.obs[column], name
        parts.append(own)
    found = anndata.concat(parts, index_unique="-")
    found.obs["cell"] = np.concatenate([part.obs_names for part in parts])
    return found


def fates(x: np.ndarray[Any, Any], when: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a lineage for every cell: k-means of the last fifth (k by silhouette), handed back in time by neighbours.

    A cell takes the mean fate of its 15 nearest neighbours among the cells of the following tenth of the time axis. Fates
    of fewer than 5 % of the cells are too few to be binned along time: their cells have no lineage, as the package advises.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    x = (x - x.mean(0)) / x.std(0)
    order = np.argsort(when, kind="stable")
    late = order[int(0.8 * len(order)) :]
    trials = {k: KMeans(k, n_init=10, random_state=0).fit_predict(x[late]) for k in range(2, 7)}
    k = max(trials, key=lambda number: silhouette_score(x[late], trials[number]))
    share = np.zeros((len(x), k))
    share[late, trials[k]] = 1
    span = np.ptp(when) / 10
    for cell in order[: int(0.8 * len(order))][::-1]:
        next_ = order[(when[order] > when[cell]) & (when[order] <= when[cell] + span)]
        near = next_[np.argsort(((x[next_] - x[cell]) ** 2).sum(1))[:15]]
        share[cell] = share[near].mean(0)
    fate = share.argmax(1)
    rare = np.bincount(fate, minlength=k) < 0.05 * len(x)
    return np.asarray(np.where(rare[fate], None, fate.astype(str).astype(object)))


def sample(adata: Any, seed: int) -> Any:
    """Return 80 % of the cells; a cell on two branches is in or out of both."""
    cell = adata.obs["cell"] if "cell" in adata.obs else pd.Series(adata.obs_names, index=adata.obs_names)
    names = cell.unique()
    chosen = np.random.default_rng(seed).choice(names, int(0.8 * len(names)), replace=False)
    return adata[cell.isin(chosen).to_numpy()].copy()


def forest(adata: Any, seed: int) -> np.ndarray[Any, Any]:
    """Return importances (source, target) of one random forest per gene, cells without their time."""
    from sklearn.ensemble import RandomForestRegressor

    x = values(adata)
    x = x / np.maximum(x.std(0), 1e-12)
    score = np.zeros((x.shape[1], x.shape[1]))
    for target in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), target)
        model = RandomForestRegressor(200, max_features="sqrt", random_state=seed).fit(x[:, others], x[:, target])
        score[others, target] = model.feature_importances_
    return score


def values(adata: Any) -> np.ndarray[Any, Any]:
    """Return every cell once, dense."""
    if "cell" in adata.obs:
        adata = adata[~adata.obs["cell"].duplicated().to_numpy()]
    return np.asarray(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X, dtype=np.float64)


def placed(adata: Any) -> Any:
    """Return the cells that have a lineage: what knows no time sees the others, too."""
    return adata[adata.obs["lineage"].notna().to_numpy()].copy()


def dynamics(adata: Any, seed: int, column: str, **options: Any) -> np.ndarray[Any, Any]:
    """Return a column of the edges of `fit_dynamics`, (source, target)."""
    scdash.settings.verbosity = 0
    adata = placed(adata)
    scdash.tl.fit_dynamics(
        adata, time_key="time", trajectory_key="lineage", observations="cells", rng=seed, progress=False, **options
    )
    edges = scdash.get.grn(adata)
    score = np.zeros((adata.n_vars, adata.n_vars))
    at = [adata.var_names.get_indexer(edges[end]) for end in ("source", "target")]
    score[at[0], at[1]] = edges[column].abs().fillna(0)
    return score


def path_scores(adata: Any, seed: int, **options: Any) -> Any:
    """Return the two parts of the default's score, (target, regulator)."""
    from scdash._data import Placed, as_expression, halve_cells
    from scdash.networks.cell_scores_of_edges import cell_scores

    adata = placed(adata)
    time, lineage = adata.obs["time"].to_numpy(float), adata.obs["lineage"].astype(str).to_numpy()
    return cell_scores(halve_cells(as_expression(adata.X), Placed.of(time, lineage), rng=seed, **options))


def shuffled(adata: Any, seed: int) -> Any:
    """Return the cells with their times permuted within each lineage."""
    rng, found = np.random.default_rng(1000 + seed), adata.copy()
    for lineage in adata.obs["lineage"].dropna().unique():
        own = np.flatnonzero(adata.obs["lineage"] == lineage)
        when = found.obs["time"].to_numpy().copy()
        when[own] = rng.permutation(when[own])
        found.obs["time"] = when
    return found


def scores(adata: Any, seed: int) -> dict[str, Any]:
    """Return a function for the score (source, target) of each method."""
    quick = {"validation": scdash.Validation(null_models=False)}
    found: dict[str, Any] = {
        DEFAULT: lambda: dynamics(adata, seed, "score", **quick),
        SHUFFLED: lambda: dynamics(shuffled(adata, seed), seed, "score", **quick),
        "matching, relative contribution": lambda: dynamics(
            adata, seed, "contribution", training=scdash.Training(max_epochs=0), **quick
        ),
        LAGGED: lambda: path_scores(adata, seed).lagged.toarray().T,
        f"{LAGGED}, time shuffled": lambda: path_scores(adata, seed, shuffled=True).lagged.toarray().T,
        WITHIN: lambda: path_scores(adata, seed).within.toarray().T,
        FOREST: lambda: forest(adata, seed),
        "absolute correlation": lambda: np.abs(np.corrcoef(values(adata).T)),
    }
    for name, options in FIELDS.items():
        found[name] = lambda options=options: dynamics(adata, seed, "contribution", **options, **quick)
    return found


def ratio(score: np.ndarray[Any, Any], edges: pd.DataFrame, genes: pd.Index) -> float:
    """Return AUPRC over all ordered pairs of different genes, as a multiple of chance."""
    from sklearn.metrics import average_precision_score

    truth = np.zeros(score.shape, bool)
    truth[genes.get_indexer(edges["source"]), genes.get_indexer(edges["target"])] = True
    pairs = ~np.eye(len(genes), dtype=bool)
    return float(average_precision_score(truth[pairs], score[pairs]) / truth[pairs].mean())


def run(name: str, seed: int, methods: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the ratio of every method on one subsample."""
    adata, edges = original(name, seed) if name in ORIGINAL else load(name)
    part, rows = adata if name in ORIGINAL else sample(adata, seed), []
    wanted = {method: score for method, score in scores(part, seed).items() if methods is None or method in methods}
    for method, score in wanted.items():
        began = time.process_time()
        found = score()
        seconds = time.process_time() - began
        rows.append({"data": name, "method": method, "seed": seed, "ratio": ratio(found, edges, part.var_names),
                     "cpu_seconds": round(seconds, 2)})  # fmt: skip
    return rows


def tell(runs: pd.DataFrame) -> pd.DataFrame:
    """Print the table and whether the default passes; return means and spreads."""
    figures = {
        what: runs.pivot_table(index="method", columns="data", values="ratio", aggfunc=what, sort=False, dropna=False)
        for what in ("mean", "std")  # apart: pandas drops the SDs of single subsamples
    }
    table = pd.concat(figures, axis=1)
    mean = table["mean"][[name for name in DATA if name in table["mean"]]]
    print("AUPRC / chance, mean over subsamples (chance itself reaches 1.3 to 1.5 on networks this small)")
    print(mean.round(2).to_string())
    print("SD\n" + table["std"][mean.columns].round(2).to_string())
    print("published (best, worst):", PUBLISHED)
    for rival in (FOREST, "absolute correlation"):
        files = [name for name in ORIGINAL if name in mean]
        wins = int((mean.loc[DEFAULT, files] > mean.loc[rival, files]).sum())
        print(f"BEELINE's own files: default beats {rival} on {wins} of {len(files)}")
    wins = int((mean.loc[DEFAULT] > mean.loc[FOREST]).sum())
    print(f"default beats the cross-sectional forest on {wins} of {mean.shape[1]} data sets")
    for name in ("GSD", "HSC", *ORIGINAL):
        if name in mean:
            verdict = "beats" if mean.loc[DEFAULT, name] > mean.loc[SHUFFLED, name] else "does NOT beat"
            print(f"default {verdict} its own shuffled-time control on {name}")
    return table


def picture(runs: pd.DataFrame, path: Path) -> None:
    """Draw every run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(DATA), figsize=(19, 4), sharey=True, layout="constrained")
    methods = list(runs["method"].unique())[::-1]
    for axis, name in zip(axes, DATA, strict=True):
        part = runs[runs["data"] == name]
        axis.scatter(part["ratio"], [methods.index(m) for m in part["method"]], s=14, alpha=0.7)
        axis.axvline(1, color="0.6", lw=0.8)
        axis.set(title=name, xlabel="AUPRC / chance", yticks=range(len(methods)), yticklabels=methods)
    figure.savefig(path, dpi=150)


def keep(rows: list[dict[str, Any]], path: Path) -> None:
    """Join new runs with those of earlier calls, which they replace."""
    new = pd.DataFrame(rows)
    if path.exists():
        new = pd.concat([pd.read_csv(path), new]).drop_duplicates(["data", "method", "seed"], keep="last")
    new.to_csv(path, index=False, float_format="%.4g")


def main(data: list[str], seeds: list[int], methods: list[str] | None, n_jobs: int, out: Path) -> None:
    """Run what is asked for, writing as results come, and print the table of all runs so far."""
    out.mkdir(parents=True, exist_ok=True)
    call = joblib.delayed(run)
    jobs = (call(name, seed, methods) for name in data for seed in seeds)
    for rows in joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
        keep(rows, out / "beeline_runs.csv")
    runs = pd.read_csv(out / "beeline_runs.csv")
    order = {name: place for place, name in enumerate([*DATA, *scores(None, 0)])}
    runs = runs.sort_values(["data", "method", "seed"], key=lambda column: column.map(order).fillna(column))
    table = tell(runs)
    table.columns = [f"{name}_{figure}" for figure, name in table.columns]
    table.to_csv(out / "beeline.csv", float_format="%.3g")
    if set(runs["data"]) == set(DATA):
        picture(runs, out / "beeline.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", type=int, default=4, help="subsamples")
    parser.add_argument("--only-seeds", type=int, nargs="*", help="these subsamples alone (none: only print)")
    parser.add_argument("--methods", nargs="+", choices=list(scores(None, 0)))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    chosen = range(given.seeds) if given.only_seeds is None else given.only_seeds
    main(given.data, list(chosen), given.methods, given.jobs, given.out)
