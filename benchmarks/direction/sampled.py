"""Sampled times: every time between two others is left out and predicted from the state before it."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.direction import data
from benchmarks.direction.row import OURS, Row
from scdash import Cells

LINE = "linear interpolation of the neighbours"
SHOWN = {"model": OURS, "no network": "no network", "shuffled time": "shuffled time", "persistence": "state before"}


def semrau(seed: int) -> Iterator[Row]:
    """Yield errors on left-out times, with and without couplings, and how ChIP pairs are ranked."""
    for way in ("log1p", "normalised"):
        adata = data.semrau(way)
        name = f"Semrau, 9 times, {way}"
        yield from left_out(name, adata, "hours", seed)
        yield from chip(name, adata, seed)
        yield from left_out(name, adata, "hours", seed, observations=Cells(couplings="none"))


def hsmm(seed: int) -> Iterator[Row]:
    """Yield errors on left-out times of the myoblasts."""
    yield from left_out("HSMM, 4 times", data.hsmm(), "hours", seed, regulators="is_tf")


def renge(seed: int) -> Iterator[Row]:
    """Yield errors on left-out times of iPS control cells, whose expression hardly changes."""
    yield from left_out("RENGE controls, 4 times", data.renge_controls(), "day", seed)


def left_out(name: str, adata: Any, time_key: str, seed: int, **options: Any) -> Iterator[Row]:
    """Yield the mean squared error on left-out times of every predictor, over that of a line between the neighbours."""
    import scdash

    began = time.process_time()
    plain = "observations" in options  # the only other fits are those without couplings
    scdash.tl.fit_dynamics(
        adata,
        time_key=time_key,
        rng=seed,
        progress=False,
        validation=scdash.Validation(null_models=not plain),
        **options,
    )
    seconds = time.process_time() - began
    errors = scdash.get.report(adata).set_index("predictor")["error"]
    metrics = adata.uns["dynamics"]["metrics"]
    measure = "MSE of left-out times / linear interpolation"
    for predictor, shown in SHOWN.items():
        if predictor in errors and not (plain and predictor != "model"):
            label = f"{shown}, without couplings" if plain else shown
            yield Row(name, measure, label, seed, float(errors[predictor] / errors[LINE]))
    label = f"{OURS}, without couplings" if plain else OURS
    yield Row(name, "R2 of the mean trajectory", label, seed, float(metrics["trajectory_r2"]))
    yield Row(name, "edges", label, seed, float(metrics["edges"]))
    yield Row(name, "CPU seconds", label, seed, seconds)


def chip(name: str, adata: Any, seed: int) -> Iterator[Row]:
    """Yield how the pairs that were tested by ChIP are ranked; pairs that are not listed have the score 0."""
    from sklearn.metrics import average_precision_score

    import scdash

    pairs = data.chip_pairs()
    truth = pairs["chip_support"].to_numpy()
    score = scdash.get.grn(adata).set_index(["source", "target"])["score"]
    dense = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    place = {gene: at for at, gene in enumerate(adata.var_names)}
    pearson = np.abs(np.corrcoef(dense.T))
    edges = list(zip(pairs["source"], pairs["target"], strict=True))
    found = {
        OURS: [float(score.get(edge, 0.0)) for edge in edges],
        "|Pearson|": [pearson[place[a], place[b]] for a, b in edges],
        "chance": [0.0] * len(edges),
    }
    for predictor, values in found.items():
        yield Row(name, "AUPRC of ChIP pairs", predictor, seed, float(average_precision_score(truth, values)))
