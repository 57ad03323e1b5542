"""Labels and flags as users hold them: the one rule of what counts as a missing label, and of what is true."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._core.logging import logger

# What pandas, NumPy and Python print for a missing value: `astype(str)` turns missing labels into these texts.
MISSING_TEXTS = frozenset({"nan", "NaN", "None", "<NA>", "NaT"})


def read_labels(values: Any, *, keep: Iterable[str] = ()) -> pd.Series:
    """Return labels as a categorical of texts in which every missing label is NaN.

    Missing are NaN, None, pandas.NA, texts that are empty or only white space, and the texts that conversion to text
    makes of missing values ("nan", "None", "<NA>", "NaT"), unless `keep` names them as labels. Categories keep their
    order; categories without a cell are left out.
    """
    column = pd.Series(values)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    kept = {str(label) for label in keep}
    texts = [str(category) for category in column.cat.categories]
    names = list(dict.fromkeys(text for text in texts if text in kept or not _is_missing(text)))
    place = {name: code for code, name in enumerate(names)}
    new = np.array([place.get(text, -1) for text in texts] + [-1], dtype=np.int64)
    found = pd.Categorical.from_codes(new[column.cat.codes.to_numpy()], categories=pd.Index(names))
    return pd.Series(found, index=column.index, name=column.name).cat.remove_unused_categories()


def _is_missing(text: str) -> bool:
    return not text.strip() or text in MISSING_TEXTS


def log_missing(missing: NDArray[np.bool_] | int, of: int, name: str) -> None:
    """Tell the log how many observations lack the label called `name`, or one of several, and therefore take no part."""
    number = int(np.sum(missing))
    if number:
        logger.info("    %d of %d observations have no label (%s); they take no part", number, of, name)


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
            f"{name} must hold flags (True and False, or 0 and 1); found {first_names(wrong, 3)} in a column of dtype {getattr(values, 'dtype', type(values).__name__)}. "
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
