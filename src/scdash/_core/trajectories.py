"""Trajectories of a stored fit: which rows belong together, and which were made of cells drawn again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import unknown


@dataclass(frozen=True)
class StoredTrajectories:
    """Names of the rows of `uns[key]["series"]`; a row of an original has itself as its origin."""

    name: NDArray[np.str_]  # (rows,), unique for each trajectory
    origin: NDArray[np.str_]  # (rows,), the trajectory whose cells were drawn again

    @classmethod
    def of(cls, series: Mapping[str, Any]) -> Self:
        """Read them from the series of a stored fit (see `scdash._core.fit_record`)."""
        name = np.array([str(label) for label in series["trajectory"]], dtype=str)
        origin = series.get("origin")
        return cls(name, name if origin is None else np.array([str(label) for label in origin], dtype=str))

    @property
    def all(self) -> list[str]:
        """Every trajectory, in the order of the rows."""
        return list(dict.fromkeys(self.name.tolist()))

    @property
    def originals(self) -> list[str]:
        """The trajectories that are no re-drawings of another one, in the order of the rows."""
        return list(dict.fromkeys(self.name[self.name == self.origin].tolist())) or self.all[:1]

    def resampled(self, trajectory: str) -> list[str]:
        """Return the trajectories made of the cells of this one, drawn again."""
        mine = (self.origin == trajectory) & (self.name != trajectory)
        return list(dict.fromkeys(self.name[mine].tolist()))

    def rows(self, trajectory: str) -> NDArray[np.int64]:
        """Return the rows of a trajectory."""
        return np.flatnonzero(self.name == trajectory)


@dataclass(frozen=True)
class LineagePath:
    """The trajectories (of batches, say) of one lineage of a stored fit."""

    name: str
    states: list[NDArray[np.float64]]  # of every trajectory, (states, genes), in the order of time
    durations: list[float]

    @property
    def ends(self) -> list[tuple[NDArray[np.float64], float]]:
        """First and last state, (2, genes), and duration of every trajectory."""
        return [(states[[0, -1]], length) for states, length in zip(self.states, self.durations, strict=True)]


def lineages_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the lineages of a stored fit, in the order of its rows."""
    known = StoredTrajectories.of(entry["series"])
    of = _lineage_of(entry, known)
    return list(dict.fromkeys(of[name] for name in known.originals))


def trajectories_named(entry: Mapping[str, Any], name: str) -> list[str]:
    """Return the trajectory with a name, or those of the lineage with this name."""
    known = StoredTrajectories.of(entry["series"])
    of = _lineage_of(entry, known)
    return [one for one in known.originals if name in (one, of[one])]


def lineage_paths(entry: Mapping[str, Any], wanted: str | Iterable[str] | None, most: int = 20) -> list[LineagePath]:
    """Return the trajectories of a stored fit by lineage; resampled cells are left out unless they are named.

    `wanted` holds names of lineages or of trajectories; None: all, at most `most` lineages. A trajectory without a known
    lineage is one by itself.
    """
    series = entry["series"]
    known = StoredTrajectories.of(series)
    times, states = (np.asarray(series[name], dtype=np.float64) for name in ("time", "states"))
    of = _lineage_of(entry, known)
    available = known.all
    if wanted is None:
        chosen = known.originals
    else:
        chosen = []
        for name in [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]:
            mine = [name] if name in available else [one for one in known.originals if of[one] == name]
            if not mine:
                raise unknown("trajectory", name, [*dict.fromkeys(of[one] for one in known.originals), *available])
            chosen += [one for one in mine if one not in chosen]
    found: dict[str, LineagePath] = {}
    for name in chosen:
        rows = known.rows(name)
        rows = rows[np.argsort(times[rows], kind="stable")]
        if len(rows) < 2:
            continue
        path = found.setdefault(of[name], LineagePath(of[name], [], []))
        path.states.append(states[rows])
        path.durations.append(float(times[rows[-1]] - times[rows[0]]))
    if not found:
        raise ValueError("No trajectory of the fit has two states.")
    return list(found.values())[: most if wanted is None else None]


def _lineage_of(entry: Mapping[str, Any], known: StoredTrajectories) -> dict[str, str]:
    """Return the name of the lineage of every trajectory; one that was not labelled stands for itself."""
    codes = entry["series"].get("lineage")
    if codes is None:
        return {name: name for name in known.all}
    code = {str(name): int(one) for name, one in zip(known.name, np.asarray(codes), strict=True)}
    names = entry.get("lineage_names")
    if names is None:  # written before they were stored: the first trajectory names its lineage
        first = {code[name]: name for name in reversed(known.originals)}
        return {name: first[one] for name, one in code.items()}
    return {name: str(names[one]) for name, one in code.items()}
