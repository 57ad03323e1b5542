"""Which strength of a penalty is chosen by held-out error."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def with_choice(table: pd.DataFrame, errors: NDArray[np.floating[Any]]) -> pd.DataFrame:
    """Mark the largest lambda whose mean held-out error is within one standard error of the lowest.

    `errors` (rows of the table, held-out examples); the standard error is that of the best lambda over the examples,
    averaged over models. Held-out examples are states of a time course, or folds of cells.
    """
    by = table["lambda"].to_numpy()
    mean = {value: errors[by == value].mean(0) for value in np.unique(by)}
    best = min(mean, key=lambda value: mean[value].mean())
    spread = mean[best].std(ddof=1) / np.sqrt(errors.shape[1]) if errors.shape[1] > 1 else 0.0
    chosen = max(value for value, error in mean.items() if error.mean() <= mean[best].mean() + spread)
    return table.assign(chosen=by == chosen)
