"""Errors of all models and controls on every held-out batch, one table."""

from typing import Any

import pandas as pd

from benchmarks.hematopoiesis.data import bins, protocol_a, protocol_b
from benchmarks.hematopoiesis.fits import CONTROLLED, STRATEGIES, fitted
from benchmarks.hematopoiesis.held_out import noise_floor, trajectory_table

FIGURES = ("sparsity", "out_degree", "genes_without_inputs", "edges", "cpu_seconds")


def protocol_a_errors(lineage: str, seed: int, strategies: list[str]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return the errors of some strategies, and the verdicts of those that were controlled."""
    tables, verdicts = [], []
    for strategy in strategies:
        controlled = strategy == CONTROLLED
        adata = fitted(lineage, strategy, seed=seed, controls=controlled, **protocol_a(lineage))
        tables.append(rows(adata, strategy, everyone=controlled).assign(protocol="a", lineage=lineage, seed=seed))
        if controlled:
            verdicts.append(verdict(adata) | {"protocol": "a", "lineage": lineage, "seed": seed})
    return pd.concat(tables), verdicts


def protocol_b_errors(
    lineage: str, batch: str, seed: int, *, controlled: bool
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return the errors of the default on one batch, everything else being known, and the verdict if asked for."""
    strategy = CONTROLLED
    adata = fitted(lineage, strategy, seed=seed, controls=controlled, **protocol_b(lineage, batch, seed))
    table = rows(adata, strategy, everyone=True).assign(protocol="b", lineage=lineage, seed=seed)
    found = [verdict(adata) | {"protocol": "b", "lineage": lineage, "seed": seed, "batch": batch}] if controlled else []
    return table, found


def rows(adata: Any, strategy: str, *, everyone: bool) -> pd.DataFrame:
    """Return `model`, `batch`, `whole`, `five_ahead` and their ratios to the constant, with the figures of the fit."""
    entry = adata.uns["dynamics"]
    table = trajectory_table(entry)
    table["batch"] = table["trajectory"].astype(str).str.split(":").str[1]
    table["predictor"] = table["predictor"].astype(str)
    first = table["predictor"].iloc[0]
    constant = table[table["predictor"] == "constant"].set_index("batch")
    for new, old in (("whole", "rollout_mse"), ("five_ahead", "five_bins_mse")):
        table[new] = table[old]
        table[f"{new}_ratio"] = table[old] / constant.loc[table["batch"], old].to_numpy()
    table = table[table["predictor"].eq(first) | everyone].assign(
        model=table["predictor"].where(table["predictor"] != first, strategy)
    )
    for name in FIGURES:
        table[name] = float("nan")
        table.loc[table["predictor"] == first, name] = float(entry["metrics"][name])
    return table.drop(columns=["predictor", "trajectory", "rollout_mse", "five_bins_mse"])


def verdict(adata: Any) -> dict[str, Any]:
    """Return the package's verdict as one flat row."""
    import scdash

    found = scdash.get.report(adata).attrs["verdict"]
    keep = {name: found[name] for name in ("supports_network", "best_null", "best_baseline")}
    return keep | found["figures"]


def floors(lineage: str, seed: int) -> pd.DataFrame:
    """Return the noise floor of every test batch of protocol (a), as a share of the constant's error."""
    import numpy as np

    import scdash
    from scdash.dynamics.inputs import read_inputs

    scdash.settings.verbosity = 0
    adata = bins(lineage, seed=seed, **protocol_a(lineage))
    nothing = dict.fromkeys(("layer", "mask_var", "time_key", "trajectory_key", "batch_key", "split_key", "prior",
                             "coregulation", "regulators"))  # fmt: skip
    series = read_inputs(adata, observations="auto", n_bins=None, seed=seed, **nothing).observed.series  # type: ignore[arg-type]
    own, found = series.originals(), []
    mean = own.states[own.rows_of("train")].mean(0)
    for run in own.rollouts("test"):
        name = own.names[own.trajectory[run[0]]]
        part = series.select(series.parent[series.trajectory] == series.names.index(name))
        error = float(np.mean((own.states[run[1:]] - mean) ** 2))
        floor = noise_floor(part, "test")
        found.append(
            {"model": "noise floor", "batch": name.split(":")[1], "whole": floor, "whole_ratio": floor / error}
        )
    return pd.DataFrame(found).assign(protocol="a", lineage=lineage, seed=seed)


ALL = list(STRATEGIES)
