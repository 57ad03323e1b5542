"""Choosing a sparsity by the one-standard-error rule."""

import pandas as pd


def choose_one_standard_error(table: pd.DataFrame) -> float:
    """Return the sparsest level whose mean validation error is within one standard error of the lowest (DASH B.9.2).

    `table`: one row per level and repeat, columns `level` and `validation_mse`.

    The result is the chosen level. The standard error is that of the best level over its repeats (0 with a single
    repeat); levels with a missing error count as failed.
    """
    missing = {"level", "validation_mse"} - set(table.columns)
    if missing:
        raise ValueError(f"table needs the columns 'level' and 'validation_mse', missing: {sorted(missing)}.")
    errors = table.groupby("level")["validation_mse"]
    mean = errors.apply(lambda e: e.mean(skipna=False)).dropna()
    if mean.empty:
        raise ValueError("table holds no level with finite validation errors; was every fine-tuned model diverging?")
    best = mean.index[int(mean.argmin())]
    error = errors.sem().fillna(0.0)[best]
    return float(mean.index[mean <= mean[best] + error].max())
