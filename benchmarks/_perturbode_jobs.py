"""Rows of result tables as jobs: what an earlier run has stored is not computed again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._perturbode_data import Row


@dataclass(frozen=True)
class Job:
    """One row of a table, computed when asked for."""

    table: str  # name of the CSV file
    key: Row  # the columns that tell the row from others
    run: Callable[[], Row]

    @property
    def method(self) -> str:
        """The method that the row is about."""
        return str(self.key.get("method", ""))


def collect(folder: Path, jobs: Iterable[Job], *, again: bool) -> None:
    """Run the jobs whose rows are missing (all of them if `again`), printing and writing every row at once."""
    for job in jobs:
        path = folder / f"{job.table}.csv"
        old = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(job.key))
        same = _same(old, job.key)
        if same.any() and not again:
            continue
        row = job.key | job.run()
        print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
        # read anew: another process may have written rows since this one began
        old = pd.read_csv(path) if path.exists() else old
        kept = old[~_same(old, job.key)]
        table = pd.concat([kept, pd.DataFrame([row])], ignore_index=True) if len(kept) else pd.DataFrame([row])
        table.to_csv(path, index=False, float_format="%.4g")


def _same(table: pd.DataFrame, key: Row) -> np.ndarray:
    found = np.ones(len(table), bool)
    for column, value in key.items():
        found &= (table[column].astype(str) == str(value)).to_numpy()
    return found
