"""One function per row of the table: our fit beside the trivial baselines, on screens that nobody tuned it for."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

import scdash
from benchmarks.screens_real.data import aupr, counted_sergio, dream4, papalexi, planted, sergio, truth
from benchmarks.screens_real.dream4_others import multifactorial_rows, time_series_rows
from benchmarks.screens_real.renge import renge_rows
from benchmarks.screens_real.unseen import deletions, dropout, knockdowns, profiles
from scdash.models import PerturbODE

Row = dict[str, Any]


def score_matrix(adata: AnnData, key: str = "dynamics") -> NDArray[np.floating]:
    """Return the scores of `get.grn` as a matrix, (regulator, target); pairs that it does not list have 0."""
    edges = scdash.get.grn(adata, key=key)
    found = np.zeros((adata.n_vars, adata.n_vars))
    at = [adata.var_names.get_indexer(edges[name]) for name in ("source", "target")]
    found[at[0], at[1]] = edges["score"]
    return found


def fitted(adata: AnnData, **arguments: Any) -> tuple[AnnData, float]:
    """Return a fit with default settings, and its CPU seconds."""
    began = time.process_time()
    made = scdash.tl.fit_perturbode(adata, copy=True, progress=False, **arguments)
    return made, time.process_time() - began


def compared(name: str, adata: AnnData, seed: int = 0, *, z: bool = False, **arguments: Any) -> Row:
    """Return AUPRC, network and errors of a fit, with differential expression (and, for rows of states, z-scores) beside."""
    made, seconds = fitted(adata, rng=seed, **arguments)
    edges = truth(adata)
    labels = {k: v for k, v in arguments.items() if k in ("perturbation_key", "control", "batch_key")}
    scdash.tl.screen_baseline(made, "differential_expression", **labels)
    network = made.varp["dynamics_grn"].toarray() != 0
    errors = made.uns["dynamics"]["errors"].set_index("predictor")["error"]
    row = {
        "screen": name,
        "seed": seed,
        "aupr": aupr(score_matrix(made), edges),
        "aupr_differential_expression": aupr(score_matrix(made, "differential_expression"), edges),
        "edges": int(network.sum()),
        "precision": float(edges[network].mean()) if network.any() else np.nan,
        "spectral_radius": made.uns["dynamics"]["metrics"]["spectral_radius"],
        "error_network": errors.get("network", np.nan),
        "error_mean_of_others": errors.get("mean of the other perturbations", np.nan),
        "chance": float(edges.mean()),
        "cpu_seconds": seconds,
    }
    if z:
        row["aupr_z_score"] = aupr(z_scores(adata), edges)
    return row


def z_scores(adata: AnnData) -> NDArray[np.floating]:
    """Return |state - median| / SD over all states, summed over the knockout and the knockdown of each gene."""
    x = np.asarray(adata.X, dtype=float)
    found = np.zeros((adata.n_vars, adata.n_vars))
    for row, label in zip((x - np.median(x, axis=0)) / x.std(axis=0), adata.obs["perturbation"], strict=True):
        if label in adata.var_names:
            found[adata.var_names.get_loc(label)] += row
    return np.abs(found)


def dream4_rows(seeds: int) -> Iterator[Row]:
    """Yield networks 1 to 3 of both sizes, knockouts and knockdowns, one row each."""
    for size in (100, 10):
        for number in (1, 2, 3):
            for seed in range(seeds):
                yield compared(
                    f"DREAM4 size {size} network {number}",
                    dream4(size, number),
                    seed,
                    z=True,
                    model=PerturbODE(kind_key="kind"),
                )


def counts_rows(seeds: int) -> Iterator[Row]:
    """Yield SERGIO with counts, by UMI and cells of a perturbation."""
    for umi in (10.0, 3.0):
        for cells in (100, 200, 400):
            for seed in range(seeds):
                name = f"SERGIO counts, {umi:g} UMI, {cells} cells"
                yield compared(name, counted_sergio(umi, cells, seed), seed)


def sergio_rows(seeds: int) -> Iterator[Row]:
    """Yield the given SERGIO screens."""
    for name in ("dag100", "midresponse", "yeast400"):
        for seed in range(seeds):
            yield compared(name, sergio(name), seed)


def shallow_rows(seeds: int) -> Iterator[Row]:
    """Yield planted screens of 6,000 cells and 300 genes at 0.3 UMI a gene."""
    for seed in range(seeds):
        yield compared("6,000 cells x 300 genes, 0.3 UMI", planted(seed), seed, model=PerturbODE(kind="knockout"))


def batch_rows(seeds: int) -> Iterator[Row]:
    """Yield three batches that differ by a shift of 0.3 (SD over genes), with and without `batch_key`."""
    for name in ("dag100", "midresponse"):
        for seed in range(seeds):
            shifted = sergio(name).copy()
            rng = np.random.default_rng(seed)
            batch = rng.integers(3, size=shifted.n_obs)
            shifted.X = shifted.X + rng.normal(0, 0.3, (3, shifted.n_vars))[batch]
            shifted.obs["batch"] = pd.Categorical(batch.astype(str))
            yield compared(f"{name}, no shift", sergio(name), seed)
            yield compared(f"{name}, three batches, batch_key", shifted, seed, batch_key="batch")
            yield compared(f"{name}, three batches, ignored", shifted, seed)


def papalexi_rows(seeds: int) -> Iterator[Row]:
    """Yield the ECCITE-seq screen with one measured target left out at a time, predicted from the intervention alone."""
    adata = papalexi()
    arguments = {"control": "non-targeting", "batch_key": "bio_rep"}
    measured = [g for g in adata.obs["perturbation"].unique() if g in adata.var_names]
    sd = np.asarray(adata[adata.obs["perturbation"] == "non-targeting"].X.toarray().std(axis=0))
    for seed in range(seeds):
        whole, seconds = fitted(adata, rng=seed, model=PerturbODE(kind="knockout", unknown_targets="keep"), **arguments)
        sources = list(dict.fromkeys(scdash.get.grn(whole)["source"]))[:10]
        for target in measured:
            model = PerturbODE(kind="knockout", unknown_targets="keep", hold_out=(target,))
            made, _ = fitted(adata, rng=seed, model=model, **arguments)
            row = {"screen": "Papalexi", "held_out": target, "seed": seed, "cpu_seconds": seconds}
            row["spectral_radius"] = whole.uns["dynamics"]["metrics"]["spectral_radius"]
            row["first_sources"] = " ".join(sources)
            for predictor in ("best", "network"):
                told = scdash.tl.predict_perturbations(made, [target], predictor=predictor)
                row[f"error_{predictor}"] = _error(told.layers["change"], told, sd)
            row["predictor"] = str(scdash.tl.predict_perturbations(made, [target]).obs["predictor"].iloc[0])
            row["error_mean_of_others"] = _error(
                np.asarray(made.uns["dynamics"]["screen"]["mean_change"])[None], told, sd
            )
            row["error_no_change"] = _error(np.zeros((1, told.n_vars)), told, sd)
            yield row


def unseen_rows(seeds: int) -> Iterator[Row]:
    """Yield simulated screens of kinds that we have no data of, see `benchmarks.screens_real.unseen`."""
    for seed in range(seeds):
        for genes in (10, 50, 100, 200):
            for noise in (0.02, 0.06):
                name = f"{genes} genes, one profile a perturbation, noise {noise:g}"
                yield compared(name, profiles(genes, noise, seed), seed, z=True, model=PerturbODE(kind_key="kind"))
        changes = PerturbODE(kind="knockout", values="log fold change")
        yield compared("60 deletions of 300 genes, log fold changes", deletions(seed), seed, model=changes)
        for lost in (0.5, 0.8):
            name = f"SERGIO knockouts, {100 * lost:g} % dropout"
            yield compared(name, dropout(seed, lost=lost), seed, model=PerturbODE(kind="knockout"))
        guides = PerturbODE(kind="knockdown", guide_key="guide")
        yield compared("SERGIO knockdowns to 40 %, off-target guides", knockdowns(seed), seed, model=guides)


def _error(change: Any, told: AnnData, sd: NDArray[np.floating]) -> float:
    """Return the mean squared error of a change in SDs of control cells, over genes that are no target."""
    error = (np.asarray(change) - told.layers["observed_change"]) / sd
    return float((error[~told.layers["target"]] ** 2).mean())


ROWS = {
    "dream4": dream4_rows,
    "counts": counts_rows,
    "sergio": sergio_rows,
    "shallow": shallow_rows,
    "batches": batch_rows,
    "papalexi": papalexi_rows,
    "renge": renge_rows,
    "unseen": unseen_rows,
    "dream4_multifactorial": multifactorial_rows,
    "dream4_time_series": time_series_rows,
}
