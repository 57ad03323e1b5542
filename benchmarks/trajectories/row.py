"""One row of the table: a default fit of one set, and what is said of it."""

import time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.trajectories.data import SETS

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

Row: TypeAlias = dict[str, str | int | float]
TOP_GENES = 100  # genes that change most
BASELINES = ("constant", "persistence", "mean trajectory", "no network")


def run(name: str, seed: int) -> tuple[Row, "csr_matrix"]:
    """Return the figures of a fit with default arguments but for the data keys, and its network."""
    import scdash

    adata, keys = SETS[name]()
    began = time.process_time()
    scdash.tl.fit_dynamics(adata, rng=seed, progress=False, **keys)
    seconds = time.process_time() - began
    row: Row = {"set": name, "seed": seed, "cells": adata.n_obs}
    return row | figures(adata) | {"cpu_seconds": seconds}, adata.varp["dynamics_grn"]


def figures(adata: "AnnData") -> Row:
    """Return how the trajectory is followed, the size of the network, held-out errors and the verdict."""
    import scdash

    entry, report = adata.uns["dynamics"], scdash.get.report(adata)
    chosen, lineages, choices = entry["params"]["chosen"], entry["lineages"], entry["params"]["choices"]
    pruned = choices[choices["stage"] == "pruned"]
    row: Row = {"genes": len(entry["genes"]), "judged_by": entry["params"]["judged_by"]}
    row |= {
        "course_r2": float(lineages["r2"].mean()),
        "other_half": float(lineages["r2_other_half"].mean()),
        "smoother": float(lineages["r2_smoother"].mean()),
        "last_fifth_cosine": last_fifth_cosine(adata),
        "edges": int(adata.varp["dynamics_grn"].nnz),
        "level": int(chosen["level"]),
        "levels": len(pruned),
        "edges_of_all": int(pruned["edges"].max()),
        "error_of_all": float(pruned["error"].iloc[0]),
        "epochs": int(chosen["epochs"]),
    }
    errors, verdict = report.set_index("predictor")["error"].astype(float), report.attrs["verdict"]
    row["error"] = float(errors.iloc[0])
    row |= {f"error_{one.replace(' ', '_')}": float(errors.get(one, float("nan"))) for one in BASELINES}
    row |= {"best_null": verdict["best_null"], "error_best_null": best_null_error(report, verdict["best_null"])}
    kinds = ("network", "regulators", "time")
    return row | {f"verdict_{kind}": verdict[kind] for kind in kinds} | {"verdict": first_line(report.attrs["summary"])}


def best_null_error(report: pd.DataFrame, name: str) -> float:
    """Return the error of the best null model as if it had been fitted on all folds: the model's, and by how much it is above."""
    table = report.set_index("predictor")[["error", "difference"]].astype(float)
    return float(table["error"].iloc[0] + table.loc[name, "difference"]) if name in table.index else float("nan")


def first_line(summary: str) -> str:
    """Return the verdict in words."""
    return summary.splitlines()[0].removeprefix("Verdict: ")


def last_fifth_cosine(adata: "AnnData") -> float:
    """Return the cosine of the model's velocity and the observed change, mean over the last fifth of every trajectory.

    The change is that of the smoothed states between the bin before and the bin after, over the genes that change most, in
    units of the data.
    """
    import torch

    import scdash

    entry = adata.uns["dynamics"]
    series, unit = entry["series"], np.asarray(entry["range"], dtype=np.float64)
    model = scdash.get.model(adata).double()
    found = []
    for code in np.unique(series["trajectory"]):
        own = np.flatnonzero(series["trajectory"] == code)
        if series["origin"][own[0]] != code:  # drawn again from the cells of another
            continue
        states = np.asarray(series["states"][own[np.argsort(series["time"][own])]], dtype=np.float64)
        with torch.no_grad():
            velocity = model(torch.tensor(0.0).double(), torch.as_tensor(states)).numpy()
        found.append(_cosine_at_the_end(states * unit, velocity * unit))
    return float(np.mean(found))


def _cosine_at_the_end(states: NDArray[np.float64], velocity: NDArray[np.float64]) -> float:
    genes = np.argsort(-states.var(axis=0), kind="stable")[:TOP_GENES]
    bins = np.arange(int(0.8 * len(states)), len(states))
    change = states[np.minimum(bins + 1, len(states) - 1)] - states[bins - 1]
    change, speed = change[:, genes], velocity[bins][:, genes]
    size = np.linalg.norm(change, axis=1) * np.linalg.norm(speed, axis=1)
    return float(((change * speed).sum(axis=1) / np.maximum(size, 1e-12)).mean())
