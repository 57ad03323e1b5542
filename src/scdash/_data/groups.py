"""Cells in groups, one for each lineage and batch that occur together; and bins that were made of the same group."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.labels import group_names
from scdash._core.logging import logger
from scdash._data.checks import group_codes

COLUMNS = ("lineage", "batch", "bootstrap")  # of bins: what a trajectory of bins was made of


@dataclass(frozen=True)
class CellGroups:
    """Groups of cells by integer codes; names are unique and only for people to read."""

    code: NDArray[np.int64]  # (cells,), -1: takes no part
    names: tuple[str, ...]
    lineage: tuple[str, ...]  # of each group
    batch: tuple[str, ...]


def group_cells(cells: int, lineage: Any, batch: Any) -> CellGroups:
    """Return one group for every lineage and batch that occur together; None: all cells have the same."""
    parts: list[tuple[NDArray[np.int64], tuple[str, ...]]] = []
    for labels, name in ((lineage, "lineage"), (batch, "batch")):
        if labels is None:
            parts.append((np.zeros(cells, np.int64), ("all",)))
        else:
            parts.append(group_codes(labels, name, missing=True))
    (lineage_code, lineages), (batch_code, batches) = parts
    if not len(lineage_code) == len(batch_code) == cells:
        raise ValueError(f"X has {cells} cells, lineage {len(lineage_code)}, batch {len(batch_code)}: not the same.")
    inside = (lineage_code >= 0) & (batch_code >= 0)
    if not inside.all():
        logger.info("    %d of %d cells have no lineage or batch and take no part", int((~inside).sum()), cells)
    both = np.where(inside, lineage_code * len(batches) + batch_code, -1)
    present = np.unique(both[inside])
    code = np.where(inside, np.searchsorted(present, both), -1).astype(np.int64)
    of_lineage = tuple(lineages[k // len(batches)] for k in present)
    of_batch = tuple(batches[k % len(batches)] for k in present)
    shown = [labels for labels, given in ((of_lineage, lineage), (of_batch, batch)) if given is not None]
    return CellGroups(code, group_names(shown) if shown else ("all",), of_lineage, of_batch)


def origins_and_batches(bins: pd.DataFrame, names: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Return for each trajectory the code of the one whose cells were drawn again, and that of its batch.

    `bins` has a row for each state, with `trajectory`, `lineage`, `batch` and `bootstrap` (0: all cells). None where a
    column is missing: every trajectory then stands for itself; batches are None, too, where there are no two. The lineages of a
    batch are left out together: they hold the same progenitors, and what is special to the batch.
    """
    if not {"trajectory", *COLUMNS} <= set(bins.columns):
        return None, None
    first = bins.assign(trajectory=bins["trajectory"].astype(str)).drop_duplicates("trajectory").set_index("trajectory")
    made_of = first.loc[[str(name) for name in names], list(COLUMNS)].astype({"lineage": str, "batch": str})
    rows = list(made_of.itertuples(index=False, name=None))
    whole = {(lineage, batch): code for code, (lineage, batch, draw) in enumerate(rows) if draw == 0}
    origin = np.array([whole.get((lineage, batch), code) for code, (lineage, batch, _) in enumerate(rows)], np.int64)
    batch_code, batches = pd.factorize(made_of["batch"])
    return origin, np.asarray(batch_code, dtype=np.int64) if len(batches) > 1 else None
