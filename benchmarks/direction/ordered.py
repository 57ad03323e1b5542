"""A pseudotime inside sampled times: does it help to predict a time none of whose cells were given?

Every time between two others is left out in turn: its cells are taken away before anything is computed, the pseudotime
included. The model then starts at the mean of the cells of the time before, and its state at the time that was left out is
compared with the mean of that time's cells. So the fits with and without a pseudotime have the same start and the same goal.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.direction import data
from benchmarks.direction.row import OURS, Row
from scdash import Cells

NAME = "left out with its cells"
MEASURE = "MSE of times whose cells were taken away / linear interpolation"
PSEUDOTIME = "dpt_pseudotime"
WAYS = {
    OURS: {},
    f"{OURS}, ordered inside times": {"observations": Cells(pseudotime_key=PSEUDOTIME)},
    f"{OURS}, ordered at random inside times": {"observations": Cells(pseudotime_key="shuffled")},
}


def ordered(seed: int) -> Iterator[Row]:
    """Yield errors on times that were left out, with cells ordered inside times, at random, or not at all."""
    yield from _without_times(f"HSMM, 4 times, {NAME}", data.hsmm(), seed, regulators="is_tf")
    yield from _without_times(f"Semrau, 9 times, log1p, {NAME}", data.semrau("log1p"), seed)


def _without_times(name: str, adata: Any, seed: int, **options: Any) -> Iterator[Row]:
    import scdash

    hours = adata.obs["hours"].to_numpy(dtype=np.float64)
    known = np.unique(hours)
    dense = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    means = np.stack([dense[hours == time].mean(axis=0) for time in known])
    errors: dict[str, list[float]] = {predictor: [] for predictor in (*WAYS, "line")}
    for k in range(1, len(known) - 1):
        share = (known[k] - known[k - 1]) / (known[k + 1] - known[k - 1])
        line = (1 - share) * means[k - 1] + share * means[k + 1]
        errors["line"].append(float(np.mean((line - means[k]) ** 2)))
        seen = adata[hours != known[k]].copy()
        scdash.pp.order_cells(seen, root=("hours", seen.obs["hours"].min()), rng=seed)
        draw = np.random.default_rng(seed)
        seen.obs["shuffled"] = seen.obs.groupby("hours")[PSEUDOTIME].transform(draw.permutation)
        for way, observations in WAYS.items():
            scdash.tl.fit_dynamics(
                seen,
                time_key="hours",
                rng=seed,
                progress=False,
                validation=scdash.Validation(null_models=False),
                **observations,
                **options,
            )
            model = np.flatnonzero(seen.var["dynamics_genes"].to_numpy())
            ahead = scdash.tl.predict(seen, means[k - 1][None, model], times=[known[k] - known[k - 1]])
            made = ahead.to_df().to_numpy()[0]
            wanted = means[k] if len(made) == len(means[k]) else means[k][model]
            errors[way].append(float(np.mean((made - wanted) ** 2)))
    for way in WAYS:
        yield Row(name, MEASURE, way, seed, float(np.mean(errors[way]) / np.mean(errors["line"])))
