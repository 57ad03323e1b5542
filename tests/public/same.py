"""Whether two AnnData, MuData, tables or nested values hold the same."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

CLOCK = frozenset({"seconds"})  # time taken: the one thing that two equal runs do not share
SLOTS = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp", "layers")


def difference(a: Any, b: Any, where: str = "", *, tolerance: float = 0.0, skip: frozenset[str] = CLOCK) -> str | None:
    """Return where `a` and `b` differ first, None if nowhere. Types that h5ad does not keep apart count as equal.

    `skip`: names (slots, keys, columns) that are not compared.
    """

    def inner(a: Any, b: Any, where: str) -> str | None:
        return difference(a, b, where, tolerance=tolerance, skip=skip)

    if hasattr(a, "obs_names"):
        parts = a.mod if hasattr(a, "mod") else {}
        found = [inner(a.mod[name], b.mod[name], f"{where}.mod[{name}]") for name in parts]
        slots = [slot for slot in (("X",) if not parts else ()) + SLOTS if hasattr(a, slot) and slot not in skip]
        return _first([*found, *(inner(getattr(a, slot), getattr(b, slot), f"{where}.{slot}") for slot in slots)])
    if isinstance(a, pd.DataFrame):
        if list(map(str, a.columns)) != list(map(str, b.columns)) or list(map(str, a.index)) != list(map(str, b.index)):
            return f"{where}: {list(a.columns)} / {len(a)} rows against {list(b.columns)} / {len(b)} rows"
        return _first(inner(a[c], b[c], f"{where}[{c}]") for c in a.columns if c not in skip)
    if isinstance(a, Mapping):
        names, others = ({k for k in m if k is not None and k not in skip} for m in (a, b))
        if names != others:
            return f"{where}: keys {sorted(names ^ others)} on one side only"
        return _first(inner(a[k], b[k], f"{where}[{k!r}]") for k in names)
    return None if _equal(a, b, tolerance) else f"{where}: {_short(a)} against {_short(b)}"


def _first(found: Iterable[str | None]) -> str | None:
    return next(filter(None, found), None)


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if a is None or b is None:
        return a is None and b is None
    if sp.issparse(a) or sp.issparse(b):
        if a.shape != b.shape:
            return False
        a, b = (
            sp.csr_matrix(x) if tolerance == 0 else x.toarray() if sp.issparse(x) else np.asarray(x) for x in (a, b)
        )
        if tolerance == 0:
            return bool((abs(a - b) > 0).nnz == 0)
    left, right = (np.asarray(x.to_memory() if hasattr(x, "to_memory") else x) for x in (a, b))
    if left.shape != right.shape:
        return False
    if left.dtype.kind in "fc" or right.dtype.kind in "fc":
        x, y = left.astype(float), right.astype(float)
        return bool(np.allclose(x, y, tolerance, tolerance, equal_nan=True))
    if left.dtype.kind in "OUSTV" or right.dtype.kind in "OUSTV":
        return bool(np.array_equal(_text(left), _text(right)))
    return bool(np.array_equal(left, right))


def _text(values: Any) -> Any:
    return np.array(["" if v is None or v is pd.NA or v != v else str(v) for v in np.ravel(values).tolist()])


def _short(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:80]}"
