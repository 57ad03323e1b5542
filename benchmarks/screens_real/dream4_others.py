"""DREAM4 without known interventions: multifactorial states, and time series, beside |Pearson| and forests.

GENIE3 and dynGENIE3 run here, on the same rows, with the settings of their authors' code (github.com/vahuynh/GENIE3,
github.com/vahuynh/dynGENIE3: random forests of 1,000 trees, square root of the regulators at a split, unnormalised
importances; 100 trees for 100 genes). Their papers (10.1371/journal.pone.0012776, 10.1038/s41598-018-21715-0) have tables of these networks too. Of both
only the openings of the stored copies could be read where this was written, not the tables, so no figure of theirs stands here.
"""

import time
from collections.abc import Iterator
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

import scdash
from benchmarks.screens_real.data import DATA, aupr, truth

Row = dict[str, Any]
TREES = 200
NO_CALL = "no call for it: nothing was perturbed, and there is no time"
OTHER_TRUTH = "the edges in the file are not those of the network that made these states"
SAME_NETWORK = 0.5  # least correlation of mean states of one network under different experiments
GENIE3_TREES = 1000
TREES_OF_100_GENES = 100  # a tenth of the authors', because 1,000 take four minutes a network
LITERATURE = "tables of the GENIE3 and dynGENIE3 papers: no source could be read; both run here instead"


def read(size: int, number: int, kind: str) -> AnnData:
    """Return one network's data, with the true edges in `varp["truth"]`; a row regulates a column."""
    adata = anndata.read_h5ad(DATA / f"dream4/size{size}_{number}_{kind}.h5ad")
    edges = adata.uns["truth"]
    at = [pd.Index(adata.var_names).get_indexer(edges[name].astype(str)) for name in list(edges.columns)[:2]]
    adata.varp["truth"] = sparse.csr_matrix((np.ones(len(at[0])), at), shape=(adata.n_vars, adata.n_vars))
    return adata


def forest(features: NDArray[np.floating], targets: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """Return importances (regulator, target) of extremely randomised trees, one forest a target, as in GENIE3.

    Targets are scaled to unit variance, and no gene predicts itself.
    """
    d = features.shape[1]
    found = np.zeros((d, d))
    for target in range(d):
        others = np.delete(np.arange(d), target)
        y = targets[:, target]
        model = ExtraTreesRegressor(TREES, max_features="sqrt", random_state=seed * d + target)
        model.fit(features[:, others], (y - y.mean()) / (y.std() or 1.0))
        found[others, target] = model.feature_importances_
    return found


def genie3(
    features: NDArray[np.floating], targets: NDArray[np.floating], seed: int, trees: int = GENIE3_TREES
) -> NDArray[np.floating]:
    """Return the scores (regulator, target) of GENIE3: variance of the target that splits at the regulator take away.

    `features` are (samples, regulators), `targets` (samples, genes), scaled to unit variance. The importances are not
    normalised to a sum of one, as in the authors' code, so that targets which a forest explains better count more.
    """
    d = features.shape[1]
    found = np.zeros((d, d))
    for target in range(d):
        others = np.delete(np.arange(d), target)
        y = targets[:, target] / (targets[:, target].std() or 1.0)
        model = RandomForestRegressor(trees, max_features="sqrt", random_state=seed * d + target)
        model.fit(features[:, others], y)
        parts = [tree.tree_.compute_feature_importances(normalize=False) for tree in model.estimators_]
        found[others, target] = np.mean(parts, axis=0)
    return found


def decay_rates(
    x: NDArray[np.floating], time: NDArray[np.floating], series: NDArray[np.generic]
) -> NDArray[np.floating]:
    """Return the decay rate of every gene as dynGENIE3 estimates it, in 1 / time.

    In each series an exponential decay towards the lowest value of all data joins the highest and the lowest value of the gene;
    the largest rate over the series counts.
    """
    above = np.maximum(x - x.min(), 1e-6)
    rates = []
    for name in np.unique(series):
        values, times = above[series == name], time[series == name]
        high, low = values.argmax(axis=0), values.argmin(axis=0)
        gap = np.abs(times[high] - times[low])
        fall = np.log(values.max(axis=0)) - np.log(values.min(axis=0))
        rates.append(np.divide(fall, gap, out=np.zeros(len(fall)), where=gap > 0))
    return np.max(rates, axis=0)


def dyngenie3(adata: AnnData, seed: int, trees: int = GENIE3_TREES) -> NDArray[np.floating]:
    """Return the scores (regulator, target) of dynGENIE3: forests of dx/dt + decay rate * x on x, by finite differences."""
    x, time = np.asarray(adata.X, dtype=float), adata.obs["time"].to_numpy(dtype=float)
    series = adata.obs["series"].to_numpy()
    before = np.flatnonzero(np.append(series[1:] == series[:-1], False))
    slope = (x[before + 1] - x[before]) / (time[before + 1] - time[before])[:, None]
    return genie3(x[before], slope + decay_rates(x, time, series) * x[before], seed, trees)


def pearson(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return |Pearson| of all pairs of genes."""
    return np.abs(np.nan_to_num(np.corrcoef(x.T)))


def multifactorial_rows(seeds: int) -> Iterator[Row]:
    """Yield networks 1 to 3 from states in which all genes are changed a little and nobody knows how: 10 or 100 states.

    The challenge's states of size 100 come from other networks than its knockouts and time series, and the edges stored
    with them here are those of the latter: `likeness`, the correlation over genes of the means of these states and of the steady states,
    is about 0 there and above 0.7 elsewhere. They are not scored.
    """
    for size in (10, 100):
        for number in (1, 2, 3):
            adata, steady = read(size, number, "multifactorial"), read(size, number, "steady")
            x, edges = np.asarray(adata.X, dtype=float), truth(adata)
            likeness = float(np.corrcoef(x.mean(axis=0), np.asarray(steady.X, dtype=float).mean(axis=0))[0, 1])
            name = {
                "screen": f"DREAM4 size {size} network {number}, multifactorial",
                "aupr": np.nan,
                "likeness": likeness,
            }
            name |= {"literature": LITERATURE}
            if likeness < SAME_NETWORK:
                yield name | {"seed": 0, "note": f"{NO_CALL}; not scored: {OTHER_TRUTH}"}
                continue
            for seed in range(seeds):
                began = time.process_time()
                yield name | {
                    "seed": seed,
                    "note": NO_CALL,
                    "aupr_forest": aupr(forest(x, x, seed), edges),
                    "aupr_genie3": aupr(genie3(x, x, seed), edges),
                    "aupr_pearson": aupr(pearson(x), edges),
                    "chance": float(edges.mean()),
                    "cpu_seconds": time.process_time() - began,
                }


def time_series_rows(seeds: int) -> Iterator[Row]:
    """Yield networks 1 to 3 from ten series of 21 times, each changed at time 0 by something unknown that ends at time 500."""
    for number in (1, 2, 3):
        adata = read(100, number, "timeseries")
        x, edges = np.asarray(adata.X, dtype=float), truth(adata)
        series = adata.obs["series"].to_numpy()
        before = np.flatnonzero(np.append(series[1:] == series[:-1], False))
        adata.obs["series"] = adata.obs["series"].astype(str)
        for seed in range(seeds):
            began = time.process_time()
            scdash.tl.fit_dynamics(
                adata,
                time_key="time",
                trajectory_key="series",
                observations="states",
                rng=seed,
                progress=False,
                validation=scdash.Validation(null_models=False),
            )
            seconds = time.process_time() - began
            network = adata.varp["dynamics_grn"].toarray() != 0
            yield {
                "screen": f"DREAM4 size 100 network {number}, time series",
                "seed": seed,
                "aupr": aupr(scores(adata), edges),
                "note": "tl.fit_dynamics",
                "literature": LITERATURE,
                "edges": int(network.sum()),
                "precision": float(edges[network].mean()) if network.any() else np.nan,
                "aupr_forest": aupr(forest(x[before], x[before + 1], seed), edges),
                "aupr_genie3": aupr(genie3(x, x, seed, TREES_OF_100_GENES), edges),
                "aupr_dyngenie3": aupr(dyngenie3(adata, seed, TREES_OF_100_GENES), edges),
                "aupr_pearson": aupr(pearson(x), edges),
                "chance": float(edges.mean()),
                "cpu_seconds": seconds,
            }


def scores(adata: AnnData) -> NDArray[np.floating]:
    """Return the scores of all pairs of genes as a matrix, (regulator, target)."""
    edges = scdash.get.grn(adata, candidates=True)
    found = np.zeros((adata.n_vars, adata.n_vars))
    at = [adata.var_names.get_indexer(edges[name]) for name in ("source", "target")]
    found[at[0], at[1]] = edges["score"]
    return found
