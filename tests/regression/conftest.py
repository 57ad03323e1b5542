"""A small random system with a known network, simulated exactly enough for matching to find it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scdash._data import TimeSeries
from scdash.regression.linear_field import Field, integrate

RATE = 1.3


def series_of(states, times, split=None, weights=None):
    """Return states (trajectories, times, genes) at common times as a series."""
    count, length, genes = states.shape
    split = np.zeros(count, dtype=np.int8) if split is None else split
    return TimeSeries(
        states.reshape(-1, genes),
        np.tile(np.asarray(times, float), count),
        np.repeat(np.arange(count), length),
        tuple(str(k) for k in range(count)),
        np.repeat(split, length).astype(np.int8),
        pd.Index([f"g{k}" for k in range(genes)]),
        weights,
    )


def network(genes=20, inputs=5, seed=0, products=False):
    """Return a field in which every gene but the inputs has two regulators."""
    rng = np.random.default_rng(seed)
    effects = np.zeros((genes, genes))
    pairs, product_effects = None, None
    for target in range(inputs, genes):
        sources = rng.choice([j for j in range(genes) if j != target], 2, replace=False)
        effects[target, sources] = rng.choice([-1, 1], 2) * rng.uniform(0.5, 1, 2)
    if products:  # the first regulated gene is driven by a product as well
        a, b = np.flatnonzero(effects[inputs])
        pairs, product_effects = np.array([[a, b]]), sp.csr_array(([1.5], ([inputs], [0])), shape=(genes, 1))
    rates = np.where(np.arange(genes) < inputs, 0.0, RATE)
    return Field(sp.csr_array(effects), np.full(genes, 0.5), rates, 1.0, pairs, product_effects)


def observe(field, trajectories=40, times=(0.0, 1.0, 2.0, 4.0), noise=0.01, seed=0, **series):
    """Return noisy observations of trajectories from random start states."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.05, 0.95, (trajectories, len(field.bias)))
    states = integrate(field, start, np.array(times), largest=0.02)
    return series_of(states + rng.normal(0, noise, states.shape), times, **series)


@pytest.fixture(scope="session")
def system():
    """Makers of small systems."""
    return SimpleNamespace(network=network, observe=observe, series_of=series_of, rate=RATE)
