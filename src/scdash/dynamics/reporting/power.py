"""How often the verdict finds true regulators, as `python -m benchmarks.power` has measured it in simulations."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

TABLE = "power.csv"


@dataclass(frozen=True)
class Power:
    """What was measured in simulations of one size."""

    found: float  # fraction of simulations with the true regulators in which they were found
    mistaken: (
        float  # fraction of simulations with random regulators in which these were taken for better than random ones
    )
    runs: int  # simulations of each kind
    trajectories: int


@cache
def power_table() -> pd.DataFrame:
    """Return `simulator`, `trajectories`, `genes`, `regulators`, `runs`, `found`, `mistaken`, one row for each setting."""
    return pd.read_csv(str(files("scdash.dynamics.reporting").joinpath(TABLE)))


def power_for(trajectories: int) -> Power | None:
    """Return the power in the simulations whose number of trajectories is nearest, over all simulators."""
    table = power_table()
    if not len(table):
        return None
    known = np.sort(table["trajectories"].unique())
    nearest = int(known[np.argmin(np.abs(np.log(known / trajectories)))])
    own = table[table["trajectories"] == nearest]
    runs = int(own["runs"].sum())
    found, mistaken = (float((own[name] * own["runs"]).sum() / runs) for name in ("found", "mistaken"))
    return Power(found, mistaken, runs, nearest)
