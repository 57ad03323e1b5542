"""Fit quality per lineage, and whether the model ends where its own lineage ends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def lineage_ends(
    lineage: Sequence[str],  # the name of the lineage of every trajectory, (trajectories,)
    starts: NDArray[np.floating[Any]],
    observed: NDArray[np.floating[Any]],
    simulated: NDArray[np.floating[Any]],
) -> pd.DataFrame:
    r"""Return how the simulated end of each lineage compares with the observed ends of all lineages.

    `starts`, `observed`, `simulated`: first states, last states, and last states as simulated from the first,
    (trajectories, genes), in units in which genes can be compared.

    The result has a row per lineage, in order of first appearance: `lineage`, `n_trajectories`, `covered` (the part of
    the observed change that the model makes, :math:`\sum \hat d\, d / \sum d^2` over its trajectories), `end_rmse`
    (root mean square error of the last states) and `nearest` (the lineage whose mean observed end is nearest to the
    mean simulated end).
    """
    labels = np.asarray(lineage, dtype=object)
    names = list(dict.fromkeys(labels))
    ends = np.stack([observed[labels == name].mean(0) for name in names])
    rows = []
    for name in names:
        own = labels == name
        change, made = observed[own] - starts[own], simulated[own] - starts[own]
        distances = ((simulated[own].mean(0) - ends) ** 2).sum(1)
        rows.append(
            {
                "lineage": str(name),
                "n_trajectories": int(own.sum()),
                "covered": covered(change, made),
                "end_rmse": float(np.sqrt(((simulated[own] - observed[own]) ** 2).mean())),
                "nearest": str(names[int(np.argmin(distances))]),
            }
        )
    return pd.DataFrame(rows)


def lineage_lines(table: pd.DataFrame) -> list[str]:
    """Put the table into words; nothing is said of a single lineage."""
    if len(table) < 2:
        return []
    made = ", ".join(f"{row.lineage} {row.covered:.0%}" for row in table.itertuples())
    lines = [f"Part of the observed change from first to last state that the model makes, per lineage: {made}."]
    wrong = table[table["nearest"] != table["lineage"]]
    if len(wrong):
        listed = "; ".join(f"{row.lineage} (nearer to the end of {row.nearest})" for row in wrong.itertuples())
        lines.append(
            f"WARNING: simulated from its own start, the model does not reach the end of {len(wrong)} of {len(table)} "
            f"lineages: {listed}. One model does not describe these lineages together: fit each of them alone, or more genes."
        )
    return lines


def covered(observed: NDArray[np.floating[Any]], simulated: NDArray[np.floating[Any]]) -> float:
    r"""Return :math:`\sum \hat d\, d / \sum d^2` of changes d: 1 for a model that arrives, 0 for one that stays."""
    total = float((observed**2).sum())
    return float((observed * simulated).sum()) / total if total > 0 else float("nan")
