"""Ranking without a prior on simulated courses that look like measured ones: `python -m benchmarks.ranking [--rows bulk ...] [--seeds 3]`.

Writes results/ranking/runs.csv (every run), summary.csv and ranking.png. AUPRC over chance of `get.grn(candidates=True)`, by rank, of
a default fit that sees no prior, beside |Pearson|, for the families of `benchmarks.simulated_courses`. The rule that ranks
edges of time courses was chosen by an earlier draw of such families.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._rows import Row, bars, main
from benchmarks.realtime import COLORS, RATIO, judged
from benchmarks.simulated_courses import DESIGNS, simulated_course


def family(name: str, seed: int) -> Iterator[Row]:
    """Yield figures of one course of a family."""
    adata = simulated_course(name, seed)
    source, target = np.nonzero(~np.eye(adata.n_vars, dtype=bool))
    names = adata.var_names
    pairs = pd.DataFrame(
        {"source": names[source], "target": names[target], "true": adata.varp["truth"][source, target] != 0}
    )
    yield from judged(name, adata, pairs, "time", "series", seed)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw the ratios; most lie between 1 and 16."""
    bars(runs, path, {RATIO: "AUPRC / chance"}, COLORS, chance=1, log=True)


if __name__ == "__main__":
    main("ranking", __doc__, {name: partial(family, name) for name in DESIGNS}, (), draw)
