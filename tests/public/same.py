"""Whether two AnnData, MuData, tables or nested values hold the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

CLOCK = {"seconds"}  # time taken: the one thing that two equal runs do not share
SLOTS = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp", "layers")


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """Return where `a` and `b` differ first, None if nowhere. Types that h5ad does not keep apart count as equal."""
    if hasattr(a, "obs_names") and hasattr(a, "mod"):
        return _first((difference(a.mod[name], b.mod[name], f"{where}.mod[{name}]") for name in a.mod), a, b, where)
    if hasattr(a, "obs_names") and hasattr(a, "var_names"):
        found = difference(a.X, b.X, f"{where}.X")
        return found or _first((), a, b, where)
    if isinstance(a, pd.DataFrame):
        if list(map(str, a.columns)) != list(map(str, b.columns)) or list(map(str, a.index)) != list(map(str, b.index)):
            return f"{where}: {list(a.columns)} / {len(a)} rows against {list(b.columns)} / {len(b)} rows"
        return next(filter(None, (difference(a[c], b[c], f"{where}[{c}]") for c in a.columns if c not in CLOCK)), None)
    if isinstance(a, Mapping):
        names, others = ({k for k in m if k is not None and k not in CLOCK} for m in (a, b))
        if names != others:
            return f"{where}: keys {sorted(names ^ others)} on one side only"
        return next(filter(None, (difference(a[k], b[k], f"{where}[{k!r}]") for k in names)), None)
    return None if _equal(a, b) else f"{where}: {_short(a)} against {_short(b)}"


def _first(found: Any, a: Any, b: Any, where: str) -> str | None:
    slots = (difference(getattr(a, slot), getattr(b, slot), f"{where}.{slot}") for slot in SLOTS if hasattr(a, slot))
    return next(filter(None, (*found, *slots)), None)


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is None and b is None
    if sp.issparse(a) or sp.issparse(b):
        return a.shape == b.shape and (abs(sp.csr_matrix(a) - sp.csr_matrix(b)) > 0).nnz == 0
    left, right = (np.asarray(x.to_memory() if hasattr(x, "to_memory") else x) for x in (a, b))
    if left.shape != right.shape:
        return False
    if left.dtype.kind in "fc" or right.dtype.kind in "fc":
        return bool(np.array_equal(left.astype(float), right.astype(float), equal_nan=True))
    if left.dtype.kind in "OUSTV" or right.dtype.kind in "OUSTV":
        return bool(np.array_equal(_text(left), _text(right)))
    return bool(np.array_equal(left, right))


def _text(values: Any) -> Any:
    return np.array(["" if v is None or v is pd.NA or v != v else str(v) for v in np.ravel(values).tolist()])


def _short(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:80]}"
