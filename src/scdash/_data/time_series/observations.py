"""What the rows of AnnData are, as a value of a call: cells, with the bins and the couplings that are made of them, or states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scdash._core.errors import unknown
from scdash._core.values import Value

Kind = Literal["auto", "cells", "states"]
KINDS = ("auto", "cells", "states")
Couplings = Literal["ot", "none"] | Mapping[tuple[Any, Any], Any]


@dataclass(frozen=True, repr=False)
class Cells(Value):
    """Rows of `scdash.tl.fit_dynamics` are cells: how many bins they are smoothed into, and how they belong together over time.

    Parameters
    ----------
    n_bins
        Bins of every trajectory of cells in pseudotime; None: 20. Cells at sampled times have one per time instead.
    couplings
        For cells at sampled times: how cells of consecutive times belong together. "ot": by unbalanced optimal transport,
        which lets cells multiply and die (needs POT, extra `ot`). A mapping of (time, next time) to a matrix of cells by
        cells, dense or sparse, both in the order of the rows, such as those of moscot or of clones; times are labels of
        `time_key` or numbers, and a matrix over a longer interval is used where the times between are left out (otherwise
        those in between are composed). "none": the means alone. None: "ot" where POT is installed.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Cells(n_bins=30)
    Cells(n_bins=30)
    """

    n_bins: int | None = None
    couplings: Couplings | None = None

    def __post_init__(self) -> None:
        if self.n_bins is not None and (self.n_bins != int(self.n_bins) or self.n_bins < 2):
            raise ValueError(f"n_bins must be a whole number of at least 2, found {self.n_bins!r}.")


Observations = Kind | Cells


def as_cells(observations: Observations) -> tuple[Kind, Cells]:
    """Return what rows are, and how they are read if they are cells.

    Raises
    ------
    ValueError
        If `observations` is neither a known name nor a value.
    """
    if isinstance(observations, Cells):
        return "cells", observations
    if observations not in KINDS:
        raise unknown("observations", observations, (*KINDS, "Cells(...)"))
    return observations, Cells()
