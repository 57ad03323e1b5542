"""How often genes or edges are selected by refits on resampled data: what the three products share."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_least
from scdash._core.fit_record import stamp
from scdash._core.logging import logger
from scdash._data import sanitise

CONSISTENT = (
    0.75  # fraction of the refits from which a selection is called highly consistent (Lin et al., appendix A.13)
)


@dataclass(frozen=True)
class Selections:
    """What refits selected, (refits, ...): the axes behind the first are edges or genes, the same for every refit."""

    selected: NDArray[np.bool_]
    score: NDArray[Any]

    @property
    def frequency(self) -> NDArray[np.float64]:
        """Fraction of the refits that selected each."""
        return np.asarray(self.selected.mean(axis=0))

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean score over all refits, also over those that did not select it."""
        return np.asarray(self.score.mean(axis=0), np.float64)

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation of the score over all refits."""
        return np.asarray(self.score.std(axis=0), np.float64)


def check_repeats(n_repeats: int, name: str = "fraction", fraction: float = 0.5, *, whole: bool = False) -> None:
    """Raise unless there are refits to compare, on a possible `fraction` of the data; `whole`: all of it is possible."""
    check_least("n_repeats", n_repeats, 2)
    if not 0 < fraction < 1 and not (whole and fraction == 1):
        raise ValueError(f"{name} must be above 0 and {'at most' if whole else 'below'} 1, found {fraction!r}.")


def ranked(columns: dict[str, Any], *, by: str) -> pd.DataFrame:
    """Return a table with the highest `frequency` first, and the largest size of the column `by` among equals."""
    table = pd.DataFrame(columns)
    order = table.assign(size=table[by].abs()).sort_values(["frequency", "size"], ascending=False, kind="stable")
    return table.loc[order.index].reset_index(drop=True)


def write_result(
    uns: MutableMapping[str, Any], key_added: str, table: str, entry: dict[str, Any], added: list[str], said: str
) -> pd.DataFrame:
    """Write what was counted, log its report, and return the `table` of the entry with the report as an attribute.

    `uns`: of the data. `key_added`: name of the result. `table`: name of the table in `entry`. `entry`: with "params"
    and "report". `added`: what the log says was written, to which a line with `said` is added.
    """
    uns[key_added] = sanitise(stamp(entry))
    logger.info("    %s", entry["report"])
    added.append(f"added uns[{key_added!r}], {said}")
    found: pd.DataFrame = entry[table]
    found.attrs["report"] = entry["report"]
    return found


def pairs_of_refits(found: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, Selections]:
    """Return the edges (source, target) that any of the tables of edges has, in the order of names, and their weights."""
    edges = pd.concat(found, keys=range(len(found)), names=["refit"])
    pairs = edges.groupby(["source", "target"], sort=True)
    weight = np.zeros((len(found), pairs.ngroups))
    weight[edges.index.get_level_values("refit"), pairs.ngroup()] = edges["weight"]
    return pairs.size().index.to_frame(index=False), Selections(weight != 0, weight)
