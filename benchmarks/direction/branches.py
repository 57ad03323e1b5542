"""Branches: two lineages that share progenitors, one model for both."""

import time
from collections.abc import Iterator

from benchmarks.direction import data
from benchmarks.direction.row import OURS, Row

NAME = "paul15, 2 lineages"
ONE_LABEL = "one label per cell"
KEYS = {
    OURS: {"time_key": "pseudotimes", "trajectory_key": "weights"},
    ONE_LABEL: {"time_key": "pseudotime", "trajectory_key": "lineage"},
}


def paul15(seed: int) -> Iterator[Row]:
    """Yield how every lineage is followed from its first state, by memberships and by one label per cell."""
    import scdash

    adata = data.paul15()
    for way, keys in KEYS.items():
        began = time.process_time()
        scdash.tl.fit_dynamics(adata, **keys, rng=seed, progress=False, validation=scdash.Validation(null_models=False))
        yield Row(NAME, "CPU seconds", way, seed, time.process_time() - began)
        entry = adata.uns["dynamics"]
        yield Row(NAME, "edges", way, seed, float(entry["metrics"]["edges"]))
        for row in entry["lineages"].itertuples():
            of = f"{row.lineage}: "
            yield Row(NAME, of + "R2 of the mean trajectory", way, seed, float(row.r2))
            yield Row(NAME, of + "R2 on the other half of the cells", way, seed, float(row.r2_other_half))
            yield Row(
                NAME, of + "R2 on the other half of the cells", f"smoothed cells, {way}", seed, float(row.r2_smoother)
            )
            yield Row(NAME, of + "part of the change", way, seed, float(row.covered))
            yield Row(NAME, of + "ends at its own end", way, seed, float(row.nearest == row.lineage))
