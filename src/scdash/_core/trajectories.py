"""Trajectories of a stored fit: which rows belong together, and which were made of cells drawn again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


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

    def redrawn(self, trajectory: str) -> list[str]:
        """Return the trajectories made of the cells of this one, drawn again."""
        mine = (self.origin == trajectory) & (self.name != trajectory)
        return list(dict.fromkeys(self.name[mine].tolist()))

    def rows(self, trajectory: str) -> NDArray[np.int64]:
        """Return the rows of a trajectory."""
        return np.flatnonzero(self.name == trajectory)
