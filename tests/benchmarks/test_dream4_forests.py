"""GENIE3 and dynGENIE3 as comparators: the direction of an edge, the scale of scores, and the decay rates."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

pytest.importorskip("torch")

from benchmarks.screens_real.dream4_others import decay_rates, dyngenie3, genie3


def test_a_row_regulates_a_column_and_noise_scores_less() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    x[:, 1] = np.tanh(2 * x[:, 0]) + 0.1 * rng.normal(size=120)
    found = genie3(x, x, 0, trees=50)
    assert found[0, 1] == found[:, 1].max() and found[0, 1] > 3 * found[2, 1]
    assert not np.diag(found).any()
    # importances are variances that splits take away, of targets of unit variance, and not shares of one
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=0.25)
    assert np.abs(found.sum(axis=0) - 1).max() > 1e-6


def test_decay_rates_are_those_of_exponential_decays() -> None:
    time = np.tile(np.arange(6.0), 2)
    series = np.repeat(["a", "b"], 6)
    x = np.exp(-np.outer(time, [0.3, 0.7]))
    x[-1] = 0.0  # the lowest value of all data, towards which genes decay
    first = series == "a"
    np.testing.assert_allclose(
        decay_rates(np.vstack([x[first], [[0.0, 0.0]]]), np.append(time[first], 50.0), np.append(series[first], "c")),
        [0.3, 0.7],
    )


def test_dyngenie3_finds_what_drives_the_rate_of_change() -> None:
    """The state of gene 1 lags behind gene 0, so that its rate of change with its decay added is a function of gene 0."""
    rng = np.random.default_rng(1)
    times, rows = np.arange(0, 12, 0.5), []
    for _ in range(6):
        level = rng.normal(size=(len(times), 3)).cumsum(axis=0)
        level[:, 0] -= level[:, 0].min()
        for step in range(1, len(times)):
            level[step, 1] = level[step - 1, 1] + 0.5 * (level[step - 1, 0] - 0.5 * level[step - 1, 1])
        rows.append(level)
    obs = pd.DataFrame({"time": np.tile(times, 6), "series": np.repeat(np.arange(6), len(times))})
    obs.index = obs.index.astype(str)
    found = dyngenie3(AnnData(np.vstack(rows), obs=obs), 0, trees=50)
    assert found[0, 1] > 2 * found[2, 1]
