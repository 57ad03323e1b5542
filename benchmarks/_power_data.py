"""Cells of `benchmarks.power`: batches along one time axis, whose regulators are known genes, or hidden signals of time.

Two simulators with the same layout of 40 genes, of which 12 regulate all genes (themselves among them) and nothing else
does. `circuit` is the Hill logic of `scdash.simulate.grn_dynamics` with measurement noise; `sergio` the kinetics of
`scdash.simulate.sergio` (additive Hill functions, chemical Langevin noise), from a start that is not its steady state. Every
batch starts elsewhere: from the common start, changed by a factor for each gene. In the `hidden` setting no gene regulates:
three signals that only depend on time, and are not observed, drive all genes, and the 12 named genes are genes like any other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

GENES, REGULATORS, SIGNALS = 40, 12, 3
CELLS = 150  # a batch
STEPS, HORIZON = 120, 6.0  # of the simulation, in units of 1 / decay
SPREAD = 0.5  # standard deviation of the logarithm of a batch's factor for each gene

Field = Callable[
    [NDArray[Any], float], tuple[NDArray[Any], NDArray[Any]]
]  # drift and variance of states (cells, genes)


def signals(time: float) -> NDArray[np.float64]:
    """Return three hidden signals at a time, between 0 and 1."""
    phase = time / HORIZON
    return np.array([0.5 + 0.5 * np.cos(np.pi * phase), phase**2, 0.5 - 0.5 * np.cos(2 * np.pi * phase)])


def circuit_field(rng: np.random.Generator, *, hidden: bool) -> tuple[Field, NDArray[np.float64]]:
    """Return dx/dt of a random Hill circuit and a start."""
    from scdash.simulate._grn import random_circuit

    extra = SIGNALS if hidden else 0
    sources = SIGNALS if hidden else REGULATORS
    circuit = random_circuit(
        GENES + extra,
        2 * GENES,
        n_inputs=extra,
        n_regulators=sources,
        repressor_fraction=0.4,
        and_fraction=0.6,
        ec50=(0.3, 0.6),
        exponent=(1.5, 3.0),
        rng=rng,
    )
    # the hidden inputs come last, the named regulators first
    held = np.flatnonzero(circuit.inputs) if hidden else np.array([], dtype=int)
    named = np.setdiff1d(np.unique(circuit.regulator), held) if not hidden else np.array([], dtype=int)
    order = np.concatenate([named, np.setdiff1d(np.arange(GENES + extra), np.concatenate([named, held])), held])
    place = np.argsort(order)  # of every node of the circuit among ours

    def field(x: NDArray[Any], time: float) -> tuple[NDArray[Any], NDArray[Any]]:
        ours = np.column_stack([x, np.tile(signals(time), (len(x), 1))]) if hidden else x
        change = circuit.derivative(np.ascontiguousarray(ours[:, place]))[:, order][:, :GENES]
        return change, np.full(change.shape, 1e-4)

    return field, rng.beta(1, 1, GENES)


def sergio_field(rng: np.random.Generator, *, hidden: bool) -> tuple[Field, NDArray[np.float64]]:
    """Return drift and variance of SERGIO's kinetics, and a start."""
    from scdash.simulate._sergio_kinetics import draw_kinetics

    sources = SIGNALS if hidden else REGULATORS
    nodes = GENES + (SIGNALS if hidden else 0)
    first = GENES if hidden else 0
    weights = np.zeros((nodes, nodes))
    for gene in range(GENES):
        chosen = [k for k in rng.permutation(sources) if first + k != gene][: 2 + rng.integers(2)]
        weights[gene, first + np.array(chosen)] = rng.uniform(1, 5, len(chosen)) * rng.choice([1, -1], len(chosen))
    kinetics = draw_kinetics(sp.csr_matrix(weights), [f"g{k}" for k in range(nodes)], "mid", None, rng)

    def field(x: NDArray[Any], time: float) -> tuple[NDArray[Any], NDArray[Any]]:
        ours = np.column_stack([x, np.tile(4 * signals(time), (len(x), 1))]) if hidden else x
        made, lost = kinetics.production(ours.T).T[:, :GENES], (kinetics.decay * ours)[:, :GENES]
        return made - lost, 0.02 * kinetics.noise[:GENES] ** 2 * (made + lost)

    level = (np.abs(weights).sum(1) / 2 / kinetics.decay)[:GENES]
    return field, level * rng.uniform(0.1, 2.0, GENES)


SIMULATORS = {"circuit": circuit_field, "sergio": sergio_field}


def cells(simulator: str, batches: int, seed: int, *, hidden: bool = False) -> AnnData:
    """Return log expression of cells at random times; `var["is_tf"]` marks the regulators, or genes like any other.

    `layers["truth"]` has what the equations alone give at the time of every cell, without any noise.
    """
    rng = np.random.default_rng([seed, int(hidden), list(SIMULATORS).index(simulator)])
    field, start = SIMULATORS[simulator](rng, hidden=hidden)
    batch = np.repeat(np.arange(batches), CELLS)
    x = start * np.exp(SPREAD * rng.normal(size=(batches, GENES)))[batch]
    x = np.minimum(x, 1.0) if simulator == "circuit" else x
    due = rng.integers(0, STEPS, len(x))
    seen, step = np.empty_like(x), HORIZON / STEPS
    still, truth = x.copy(), np.empty_like(x)
    for k in range(STEPS):
        seen[due == k], truth[due == k] = x[due == k], still[due == k]
        still = np.maximum(still + step * field(still, k * step)[0], 0)
        drift, variance = field(x, k * step)
        x = np.maximum(x + step * drift + np.sqrt(step * variance) * rng.standard_normal(x.shape), 0)
    values, without_noise = (4 * part if simulator == "circuit" else np.log1p(4 * part) for part in (seen, truth))
    values = np.maximum(values + 0.3 * rng.standard_normal(values.shape), 0)
    obs = pd.DataFrame(
        {"time": due * step + step * rng.random(len(due)), "batch": [f"b{k}" for k in batch]},
        index=[f"c{k}" for k in range(len(due))],
    )
    adata = AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=[f"g{k:02d}" for k in range(GENES)]))
    adata.var["is_tf"] = np.arange(GENES) < REGULATORS
    adata.layers["truth"] = without_noise.astype(np.float32)
    return adata


def error_of_truth(adata: AnnData, n_bins: int) -> float:
    """Return the error that the true equations make on left-out batches, over that of a constant: what noise leaves.

    Bins are smoothed as the fit smooths them; the truth has the same cells, kernels and times.
    """
    from scdash._data import cells_to_series

    genes, batch = list(adata.var_names), adata.obs["batch"].to_numpy()
    seen, true = [], []
    for name in np.unique(batch):
        own = batch == name
        time = adata.obs["time"].to_numpy()[own]
        found = cells_to_series(np.asarray(adata.X)[own], genes, time, n_bins=n_bins, hold_out=None)
        width = float(found.bandwidths[0])
        same = np.asarray(adata.layers["truth"])[own]
        known = cells_to_series(same, genes, time, n_bins=n_bins, bandwidth=width, hold_out=None)
        seen.append(found.log_means)
        true.append(known.log_means)
    x, truth = np.stack(seen), np.stack(true)
    unit = np.maximum(np.ptp(x, axis=(0, 1)), 0.5)
    constant = [x[np.arange(len(x)) != k].mean(axis=(0, 1)) for k in range(len(x))]
    errors = [
        (((x[k] - truth[k]) / unit)[1:] ** 2).mean() / (((x[k] - constant[k]) / unit)[1:] ** 2).mean()
        for k in range(len(x))
    ]
    return float(np.mean(errors))


def random_names(adata: AnnData, seed: int) -> list[str]:
    """Return as many genes that regulate nothing as there are regulators."""
    others = adata.var_names[~adata.var["is_tf"].to_numpy()]
    return sorted(np.random.default_rng([seed, 9]).choice(np.asarray(others), REGULATORS, replace=False))
