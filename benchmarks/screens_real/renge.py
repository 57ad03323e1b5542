"""RENGE: 23 knockouts of human iPS cells on days 2 to 5, one knockout left out at a time, and the last day left out."""

import time
from collections.abc import Iterator
from typing import Any

import anndata
import numpy as np
from anndata import AnnData

import scdash
from benchmarks.screens_real.data import DATA
from scdash.models import PerturbODE

Row = dict[str, Any]
KEY = "day"


def renge() -> AnnData:
    """Return the cells as they are given, log1p of counts, 103 genes."""
    return anndata.read_h5ad(DATA / "renge_hipsc/renge_hipsc.h5ad")


def renge_rows(seeds: int) -> Iterator[Row]:
    """Yield the mean squared error of the change of genes that are no target, for what was left out, a row each.

    `error_best` is what a user gets by default, `error_network` the network (with the mean of the others at that day).
    """
    adata = renge()
    observed = changes(adata)
    knockouts = sorted(set(adata.obs["perturbation"].astype(str)) - {"control"})
    for seed in range(seeds):
        for day in (4, 5):
            yield from day_left_out(adata, observed, knockouts, day, seed)
        for held in knockouts:
            yield from knockout_left_out(adata, observed, knockouts, held, seed)


def changes(adata: AnnData) -> dict[tuple[str, int], np.ndarray]:
    """Return the mean of each knockout on each day less that of the control of the same day."""
    x = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    label, day = adata.obs["perturbation"].astype(str).to_numpy(), adata.obs[KEY].to_numpy()
    means = {(g, int(d)): x[(label == g) & (day == d)].mean(axis=0) for g in np.unique(label) for d in np.unique(day)}
    return {(g, d): mean - means["control", d] for (g, d), mean in means.items() if g != "control"}


def mean_of_others(
    adata: AnnData, observed: dict[tuple[str, int], np.ndarray], knockouts: list[str], held: str, day: int
) -> np.ndarray:
    """Return the mean change of the other knockouts on a day, of every gene over those that leave it alone."""
    others = [other for other in knockouts if other != held]
    change = np.stack([observed[other, day] for other in others])
    own = np.asarray(others)[:, None] == np.asarray(adata.var_names)[None, :]
    return np.nanmean(np.where(own, np.nan, change), axis=0)


def _fitted(adata: AnnData, seed: int, **settings: Any) -> tuple[AnnData, float]:
    began = time.process_time()
    model = PerturbODE(kind="knockout", **settings)
    made = scdash.tl.fit_perturbode(
        adata, time_key=KEY, model=model, rng=seed, write_velocity=False, progress=False, copy=True
    )
    return made, time.process_time() - began


def _mse(change: np.ndarray, observed: np.ndarray, free: np.ndarray) -> float:
    return float(((change - observed)[free] ** 2).mean())


def day_left_out(
    adata: AnnData, observed: dict[tuple[str, int], np.ndarray], knockouts: list[str], day: int, seed: int
) -> Iterator[Row]:
    """Yield every knockout on a day, predicted from the days before it."""
    made, seconds = _fitted(adata[adata.obs[KEY] < day].copy(), seed)
    told = {
        name: scdash.tl.predict_perturbations(made, knockouts, times=[day], predictor=name)
        for name in ("best", "network")
    }
    for i, held in enumerate(knockouts):
        free = ~told["best"].layers["target"][i]
        truth, others = observed[held, day], mean_of_others(adata, observed, knockouts, held, day - 1)
        errors = {f"error_{name}": _mse(found.layers["change"][i], truth, free) for name, found in told.items()}
        yield errors | {
            "screen": f"RENGE, day {day} left out",
            "held_out": f"{held}, day {day}",
            "seed": seed,
            "predictor": str(told["best"].obs["predictor"].iloc[i]),
            "error_mean_of_others": _mse(others, truth, free),  # of the day before
            "error_no_change": _mse(np.zeros_like(truth), truth, free),
            "error_day_before": _mse(observed[held, day - 1], truth, free),
            "spectral_radius": made.uns["dynamics"]["metrics"]["spectral_radius"],
            "cpu_seconds": seconds,
        }


def knockout_left_out(
    adata: AnnData, observed: dict[tuple[str, int], np.ndarray], knockouts: list[str], held: str, seed: int
) -> Iterator[Row]:
    """Yield every day of one knockout, predicted from the other knockouts."""
    made, seconds = _fitted(adata, seed, hold_out=(held,))
    days = sorted({int(day) for day in adata.obs[KEY]})
    told = {
        name: scdash.tl.predict_perturbations(made, [held], times=days, predictor=name) for name in ("best", "network")
    }
    for i, day in enumerate(days):
        free = ~told["best"].layers["target"][i]
        truth, others = observed[held, day], mean_of_others(adata, observed, knockouts, held, day)
        errors = {f"error_{name}": _mse(found.layers["change"][i], truth, free) for name, found in told.items()}
        yield errors | {
            "screen": "RENGE, knockout left out",
            "held_out": f"{held}, day {day}",
            "seed": seed,
            "predictor": str(told["best"].obs["predictor"].iloc[i]),
            "error_mean_of_others": _mse(others, truth, free),
            "error_no_change": _mse(np.zeros_like(truth), truth, free),
            "spectral_radius": made.uns["dynamics"]["metrics"]["spectral_radius"],
            "cpu_seconds": seconds,
        }
