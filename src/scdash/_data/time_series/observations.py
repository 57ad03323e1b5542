"""What the rows of AnnData are, as a value of a call: cells, with their bins and couplings, samples with predecessors, or states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scdash._core.errors import check_choice, unknown
from scdash._core.values import Value

Kind = Literal["auto", "cells", "states"]
KINDS = ("auto", "cells", "states")
CellAlign = Literal["auto", "expression", "rank"]
Couplings = Literal["ot", "none"] | Mapping[tuple[Any, Any], Any]


@dataclass(frozen=True, repr=False)
class Cells(Value):
    """Rows of `scdash.tl.fit_dynamics` are cells: the bins they are smoothed into, their order, and how they belong together over time.

    Parameters
    ----------
    n_bins
        Bins of every trajectory of cells in pseudotime; None: 20. Cells at sampled times have one per time instead, or, with
        `pseudotime_key`, so many per time; None: 3. Times that many cells share are sampled times, unless there are more of
        them than bins and the cells of a time are predicted better by the times around it than by each other: then they are
        a pseudotime of rounded values. The log says so, and with `couplings` or a unit of time they are sampled times.
    align
        For cells in pseudotime with a `batch_key`: where the cells of a batch lie on the time axis of their lineage. "rank":
        at their ranks in the batch, which is right where ranks mean the same in all batches, such as for measured times.
        "expression": the ranks of the batches are aligned by dynamic time warping of their mean expression, because a batch
        with many early cells has other ranks at the same stage. "auto": they are aligned if the times of the batches differ
        at equal ranks, and genes that took no part then agree clearly better; the log, the report and
        `uns[key]["params"]["alignment"]` say so. None: "auto".
    couplings
        For cells at sampled times: how cells of consecutive times belong together. "ot": by unbalanced optimal transport,
        which lets cells multiply and die (needs POT, extra `ot`). A mapping of (time, next time) to a matrix of cells by
        cells, dense or sparse, both in the order of the rows, such as those of moscot or of clones; times are labels of
        `time_key` or numbers, and a matrix over a longer interval is used where the times between are left out (otherwise
        those in between are composed). "none": the means alone. None: "ot" where POT is installed.
    pseudotime_key
        For cells at sampled times: `obs` column with a pseudotime that orders the cells inside each time (with an `obsm`
        table of lineages as `trajectory_key` it may be an `obsm` table, too). The cells of a time are dealt to `n_bins` bins
        of equal size, whose times span the interval around the sampled time: the cell in the middle has the sampled time,
        the last one half the way to the next time, the first one half the way back to the time before (at the first and
        the last time as far as on the other side). Only the order of the pseudotime counts, within each trajectory and
        time; cells of a time at which it does not vary are one bin. All bins of a time are left out together. It is for
        cells that are ahead of their time by less than the way to the next one; the log warns where they overlap.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Cells(n_bins=30)
    Cells(n_bins=30)
    >>> scdash.Cells(pseudotime_key="dpt_pseudotime")
    Cells(pseudotime_key='dpt_pseudotime')
    """

    n_bins: int | None = None
    align: CellAlign | None = None
    couplings: Couplings | None = None
    pseudotime_key: str | None = None

    def __post_init__(self) -> None:
        if self.n_bins is not None and (self.n_bins != int(self.n_bins) or self.n_bins < 2):
            raise ValueError(f"n_bins must be a whole number of at least 2, found {self.n_bins!r}.")
        if self.align is not None:
            check_choice("align", self.align, get_args(CellAlign))


@dataclass(frozen=True, repr=False)
class Samples(Value):
    """Rows of `scdash.tl.fit_dynamics` are samples that each name the one measured before them: time courses that branch.

    Several samples may follow one, such as a culture before it was split and treated, so there is no `trajectory_key` and no
    `time_key`. The time of a sample is the sum of the intervals since the start. Every interval belongs to one trajectory:
    where the design branches, one goes on, and the others begin with the sample that was common.

    Parameters
    ----------
    predecessor_key
        Column of `obs` with the name of the sample before; empty (None, NaN) where a time course starts.
    interval_key
        Column of `obs` with the time since that sample, larger than 0, as `time_key` holds times: numbers, timedelta, or
        texts with a unit such as "30 min". Empty (or 0) where a time course starts.
    sample_key
        Column of `obs` with the names that predecessors are given by; None: `obs_names`.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Samples(predecessor_key="prevCol", interval_key="del.t", sample_key="condName")
    Samples(predecessor_key='prevCol', interval_key='del.t', sample_key='condName')
    """

    predecessor_key: str
    interval_key: str
    sample_key: str | None = None


Observations = Kind | Cells | Samples


def kind_of(observations: Observations) -> Kind:
    """Return what rows are, as far as the call says it.

    Raises
    ------
    ValueError
        If `observations` is neither a known name nor a value.
    """
    if isinstance(observations, Cells):
        return "cells"
    if isinstance(observations, Samples):
        return "states"
    if observations not in KINDS:
        raise unknown("observations", observations, (*KINDS, "Cells(...)", "Samples(...)"))
    return observations
