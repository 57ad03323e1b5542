"""Couplings that a user gives, such as those of moscot or of clones: read and checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.time import parse_time
from scdash._data.time_series.couplings import Pair

NAME = "couplings"


def read_couplings(
    couplings: Mapping[tuple[Any, Any], Any] | str, labels: Any, values: NDArray[np.float64], unit: str | None
) -> dict[Pair, sp.csr_matrix]:
    """Return couplings between numbers of times, each over all cells of adata.

    `couplings`: mapping of (time, next time) to a matrix, dense or sparse: the cells of the one time by those of the
    other, both in the order of adata. Times are labels of the column or numbers in its unit. Every two consecutive
    times need one. `labels`, `values`, `unit`: the column of times, and what it was read as.

    Raises TypeError, ValueError if a matrix has another shape, entries that are no mass, or a time is not known; the
    message names the pair.
    """
    if not isinstance(couplings, Mapping):
        raise TypeError(
            f"{NAME} must be 'ot', 'none' or a mapping of (time, next time) to a matrix of cells by cells, found "
            f"{type(couplings).__name__}."
        )
    known = np.unique(values[np.isfinite(values)])
    place = {str(label): float(value) for label, value in zip(np.asarray(labels, dtype=object), values, strict=True)}
    found: dict[Pair, sp.csr_matrix] = {}
    for pair, matrix in couplings.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"{NAME}: every key must be (time, next time), found {pair!r}.")
        first, last = (_number(time, place, known, unit) for time in pair)
        if last <= first:
            raise ValueError(f"{NAME}[{pair!r}]: the second time must be later than the first.")
        rows, columns = (np.flatnonzero(values == known[k]) for k in (first, last))
        found[first, last] = _checked(matrix, rows, columns, len(values), f"{NAME}[{pair!r}]")
    missing = [(k, k + 1) for k in range(len(known) - 1) if (k, k + 1) not in found]
    if missing:
        first, last = missing[0]
        raise ValueError(
            f"{NAME} lacks ({known[first]:g}, {known[last]:g}): every two consecutive of the {len(known)} times need one."
        )
    return found


def _number(time: Any, place: Mapping[str, float], known: NDArray[np.float64], unit: str | None) -> int:
    """Return the number of a time that a user has named."""
    value = place.get(str(time))
    if value is None:
        read = parse_time([time], NAME)
        value = float(read.values[0]) if read.unit in (None, unit) else float("nan")
    at = np.flatnonzero(np.isclose(known, value, rtol=1e-9, atol=0))
    if not len(at):
        raise ValueError(f"{NAME}: no cell has the time {time!r}; times are {', '.join(f'{one:g}' for one in known)}.")
    return int(at[0])


def _checked(matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64], cells: int, name: str) -> sp.csr_matrix:
    """Return a matrix of cells of two times as one over all cells."""
    shape = (len(rows), len(columns))
    if tuple(getattr(matrix, "shape", ())) != shape:
        raise ValueError(
            f"{name} has the shape {tuple(getattr(matrix, 'shape', ()))}; needed is {shape}, the cells of the one time by "
            "those of the other, in the order of adata."
        )
    entries = sp.coo_matrix(matrix)
    data = np.asarray(entries.data, dtype=np.float64)
    if not np.isfinite(data).all() or (data < 0).any() or not data.sum() > 0:
        raise ValueError(f"{name} must hold finite mass, at least 0 and not all 0.")
    data = data / data.sum()
    return sp.csr_matrix((data, (rows[entries.row], columns[entries.col])), shape=(cells, cells))
