"""Columns of flags as users hold them: the one reader of yes-or-no columns."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data.labels import read_labels

TEXTS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read_flags(values: Any, name: str) -> NDArray[np.bool_]:
    """Return a column of flags as booleans; a missing flag is False and is counted in the log.

    Read are: booleans (also nullable ones, and objects that are booleans), the numbers 0 and 1, and the texts "True" and
    "False" in any case (also as categories).

    Raises TypeError if the column holds anything else; the error names it and what was found.
    """
    codes, flags = _parse(values)
    wrong = [repr(text) for text, flag in flags.items() if flag is None]
    if wrong:
        raise TypeError(
            f"{name} must hold flags (True and False, or 0 and 1); found {', '.join(wrong[:3])}"
            f"{', ...' if len(wrong) > 3 else ''} in a column of dtype {getattr(values, 'dtype', type(values).__name__)}. "
            "Make it boolean first, for example with column == 'yes'."
        )
    missing = int((codes < 0).sum())
    if missing:
        logger.info("    %s is missing for %d of %d entries; they count as not flagged", name, missing, len(codes))
    return np.array([bool(flag) for flag in flags.values()] + [False])[codes]


def holds_flags(values: Any) -> bool:
    """Return whether every entry of `values` can be read as a flag; names of genes cannot."""
    return None not in _parse(values)[1].values()


def _parse(values: Any) -> tuple[NDArray[np.int64], dict[str, bool | None]]:
    """Return the code of each entry (-1: missing), and the flag of each text found (None: not a flag)."""
    column = pd.Series(values).reset_index(drop=True)
    labels = read_labels(column.astype(object))
    flags = {str(text): TEXTS.get(str(text).strip().lower()) for text in labels.cat.categories}
    return np.asarray(labels.cat.codes, dtype=np.int64), flags
