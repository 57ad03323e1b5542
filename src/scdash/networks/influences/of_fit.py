"""Influences in all models of a fit: starts and changed values, the computation, what is stored, and how far models agree."""

from collections.abc import Sequence
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from scdash._core.fit_record import stamp
from scdash._core.logging import progress_bar
from scdash._core.random_streams import RNG, as_generator
from scdash._core.types import TimesLike
from scdash.networks.dynamics_model import module_from_entry
from scdash.networks.influences.influence import Influence, Perturbations, gene_influence
from scdash.networks.prediction_starts import times_since_start

Starts = Literal["uniform", "data"]
Change = Literal["redraw", "low", "high"]
N_TIMES = 11
TOP = 20  # genes that are compared


def perturbations(
    entry: Any, *, starts: Starts, change: Change, n_starts: int, times: TimesLike | None, rng: RNG
) -> Perturbations:
    """Return start states, changed values and times for a fit, in the units of its data."""
    generator = as_generator(rng)
    lower, unit = gene_range(entry)
    states = np.asarray(entry["series"]["states"], dtype=np.float64)
    shape = (n_starts, len(lower))
    if starts == "uniform":
        x = lower + unit * generator.random(shape)
        redrawn = lower + unit * generator.random(shape)
    else:
        x = states[generator.integers(len(states), size=n_starts)]
        redrawn = states[generator.integers(len(states), size=shape), np.arange(shape[1])]
    edge = states.min(0) if change == "low" else states.max(0)
    values = redrawn if change == "redraw" else np.broadcast_to(edge, shape).copy()
    asked = np.linspace(0.0, longest_trajectory(entry), N_TIMES) if times is None else times_since_start(times).solved
    return Perturbations(x, values, np.asarray(asked, dtype=np.float64))


def gene_range(entry: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return minimum and range of every gene as the data were scaled for the fit, (genes,).

    The field may run in units scaled around the middle of the range, 1/2 + slope (x - 1/2); `entry["minimum"]` and
    `entry["range"]` are those.
    """
    slope = float(entry["params"].get("slope", 1.0))
    own, offset = np.asarray(entry["range"], dtype=np.float64), np.asarray(entry["minimum"], dtype=np.float64)
    return offset - own * (0.5 * slope - 0.5), own * slope


def longest_trajectory(entry: Any) -> float:
    """Return the time from the first to the last state of the trajectory of a fit that lasts longest."""
    times = pd.Series(np.asarray(entry["series"]["time"]))
    return float(times.groupby(np.asarray(entry["series"]["trajectory"])).agg(np.ptp).max())


def influences_of_models(
    entry: Any,
    weights: Sequence[Any],
    design: Perturbations,
    genes: NDArray[np.int64],
    *,
    device: str,
    max_memory: float,
    n_jobs: int | None,
    checkpoint: str | PathLike[str] | None,
    progress: bool | None,
) -> list[Influence]:
    """Return the influences of some genes in every model of a fit, whose `weights` are given, with a progress bar."""
    unit = gene_range(entry)[1]
    found = []
    with progress_bar(len(genes) * len(weights), "influence", progress=progress) as bar:
        for number, one in enumerate(weights):
            found.append(
                gene_influence(
                    module_from_entry(entry, one).to(device),
                    design,
                    genes=genes,
                    unit=unit,
                    max_memory=max_memory,
                    n_jobs=n_jobs,
                    checkpoint=None if checkpoint is None else Path(checkpoint) / f"model{number}.npz",
                    progress=bar.update,
                )
            )
    return found


def influence_table(found: Sequence[Influence]) -> pd.DataFrame:
    """Return the influence of every gene over the models, one row a gene."""
    by_model = np.column_stack([one.absolute.mean(1) for one in found])
    absolute = by_model.mean(1)
    return pd.DataFrame(
        {
            "absolute": absolute,
            "signed": np.mean([one.signed.mean(1) for one in found], axis=0),
            # the same starts serve all models, so their errors do not average out
            "standard_error": np.mean([one.standard_error for one in found], axis=0),
            "spread": by_model.std(1, ddof=1) if len(found) > 1 else np.full(len(absolute), np.nan),
            "shift": found[0].shift,
            "rank": pd.Series(-absolute).rank(method="min").to_numpy(),
        }
    )


def influence_entry(
    found: Sequence[Influence], genes: NDArray[Any], times: NDArray[Any], params: dict[str, Any]
) -> dict[str, Any]:
    """Return what is stored beside the table: influences by time and by model, and how far models agree."""
    by_model = np.column_stack([one.absolute.mean(1) for one in found])
    found_by_time = {
        "params": params,
        "genes": genes,
        "times": times,
        "absolute": np.mean([one.absolute for one in found], axis=0),
        "signed": np.mean([one.signed for one in found], axis=0),
        "by_model": by_model,
        # the main model is another kind of fit than the replicates, but no less an answer
        "agreement": agreement(by_model),
    }
    return stamp(found_by_time)


def agreement(by_model: NDArray[Any]) -> dict[str, float]:
    """Return the mean rank correlation and mean overlap of the `TOP` genes over all pairs of models.

    `by_model`: scores, (genes, models); one model has no pairs and gives NaN.

    The result is a dict with `models`, `rank_correlation`, `top_overlap` (genes shared by two lists), `top`,
    `chance_overlap` (expected of two random lists).
    """
    scores = np.asarray(by_model, dtype=np.float64)
    n, models = scores.shape
    top = min(TOP, n)
    found = {"models": float(models), "top": float(top), "chance_overlap": top * top / max(n, 1)}
    if models < 2 or n < 2:
        return found | {"rank_correlation": float("nan"), "top_overlap": float("nan")}
    pairs = list(combinations(range(models), 2))
    best = [set(np.argsort(-scores[:, model], kind="stable")[:top]) for model in range(models)]
    varied = np.ptp(scores, axis=0) > 0
    correlations = [
        spearmanr(scores[:, a], scores[:, b]).statistic if varied[a] and varied[b] else 0.0 for a, b in pairs
    ]
    overlaps = [len(best[a] & best[b]) for a, b in pairs]
    return found | {"rank_correlation": float(np.mean(correlations)), "top_overlap": float(np.mean(overlaps))}
