"""Rows that are states already (samples of a time course, simulated or pseudobulk) to a TimeSeries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.random_streams import RNG
from scdash._data.checks import group_codes
from scdash._data.expression_matrix import as_expression
from scdash._data.labels import log_missing
from scdash._data.split import default_split, split_codes
from scdash._data.time import read_time
from scdash._data.time_series.series import TimeSeries


def series_from_states(
    X: Any,  # states, (rows, genes), any array type
    genes: Any,  # names of the columns
    time: Any,  # time of each row; twice the same time within a trajectory is an error
    trajectory: Any = None,
    split: Any = None,
    *,
    group: Any = None,
    fraction: float = 0.1,
    rng: RNG = 0,  # seed or Generator of the default split
) -> TimeSeries:
    """Return the series of rows that are states, sorted by trajectory and time; values are kept as they are.

    `trajectory`: label of each row's trajectory; None: one trajectory. Unused categories are ignored; rows without a
    label take no part. `split`: train/validation/test of each row; None: `default_split`, about `fraction` of the
    trajectories each. Rows without a label take no part. `group`: label of each row, the same for a whole trajectory:
    trajectories of one group are held out together. None: each alone.
    """
    values = as_expression(X, genes)
    rows = values.shape[0]
    times = read_time(time, "time", finite=False).values
    code: NDArray[np.int64] = np.zeros(rows, np.int64)
    names: tuple[str, ...] = ("all",)
    if trajectory is not None:
        code, names = group_codes(trajectory, "trajectory", missing=True)
    for name, given in (
        ("time", times),
        ("trajectory", code),
        ("split", split),
        ("group", group),
    ):
        if given is not None and len(given) != rows:
            raise ValueError(f"{name} has {len(given)} entries for {rows} states.")
    side = None if split is None else split_codes(split)
    code, names = _taking_part(code, side, names)
    inside = np.flatnonzero(code >= 0)
    read_time(times[inside], "time")
    order = inside[np.lexsort((times[inside], code[inside]))]
    times, code = times[order], code[order]
    _check_steps(times, code, names)
    together = None if group is None else _group_of(group, code, order, len(names))
    whole = code if together is None or len(np.unique(together)) < 3 else together[code]
    codes = default_split(whole, fraction=fraction, rng=rng) if side is None else side[order]
    return TimeSeries(
        states=values.dense()[order],
        times=times,
        trajectory=code,
        names=names,
        split=codes,
        genes=values.genes,
        group=together,
    )


def _group_of(labels: Any, code: NDArray[np.int64], order: NDArray[np.int64], trajectories: int) -> NDArray[np.int64]:
    """Return the code of the group of every trajectory, from the labels of the rows; `order` and `code` are of those used."""
    found = np.zeros(trajectories, np.int64)
    found[code] = group_codes(labels, "group")[0][order]
    return found


def _taking_part(
    code: NDArray[np.int64], split: NDArray[np.int8] | None, names: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return trajectories with -1 for rows that lack a label, without the trajectories that are then empty."""
    log_missing(code < 0, len(code), "trajectory")
    if split is not None:
        log_missing(split < 0, len(code), "split")
        code = np.where(split < 0, -1, code)
    used = np.unique(code[code >= 0])
    new = np.where(code >= 0, np.searchsorted(used, code), -1)
    return np.asarray(new, dtype=np.int64), tuple(names[k] for k in used)


def _check_steps(times: NDArray[np.float64], code: NDArray[np.int64], names: tuple[str, ...]) -> None:
    same = code[1:] == code[:-1]
    if not same.any():
        raise ValueError(f"Each of the {len(names)} trajectories has one state only: there is no step to learn from.")
    repeated = np.flatnonzero(same & (np.diff(times) == 0))
    if len(repeated):
        at = repeated[0]
        raise ValueError(
            f"Trajectory {names[code[at]]!r} has two states at time {times[at]:g} ({len(repeated)} such pairs in all). "
            "Replicates need their own trajectory label each. Single cells need a pseudotime of their own each (scdash.pp.order_cells), "
            "or at least five at most times, whose means are then the states."
        )
