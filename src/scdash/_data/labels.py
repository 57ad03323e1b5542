"""Labels of cells as users hold them: the one rule of what counts as a missing label."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
