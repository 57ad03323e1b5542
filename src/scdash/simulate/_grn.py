"""Random signed networks with Hill dynamics, in the manner of SIM350 (Hossain et al. 2024; DASH, appendix B.1)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_least
from scdash._core.logging import step as log_step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data import sanitise
from scdash.simulate._circuit import Circuit, Level
from scdash.simulate._corrupt import corrupt_prior
from scdash.simulate.time_series import add_truth, time_series_adata

EDGES_PER_GENE = 550 / 350  # of SIM350


@guarded
def grn_dynamics(
    n_genes: int = 350,
    n_trajectories: int = 150,
    *,
    n_test: int = 10,
    n_validation: int | None = None,
    times: Sequence[float] = (0.0, 2.0, 3.0, 7.0, 9.0),
    noise: float = 0.05,
    prior_moved: float = 0.05,
    n_edges: int | None = None,
    input_fraction: float = 73 / 350,
    regulator_fraction: float = 97 / 350,
    repressor_fraction: float = 0.32,
    and_fraction: float = 0.6,
    ec50: tuple[float, float] = (0.4, 0.6),
    exponent: tuple[float, float] = (1.01, 1.70),
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate trajectories of a random gene-regulatory system whose network is known.

    :math:`dx_i/dt = P_i(x) - x_i`, where P multiplies the Hill activations of gene i's activators (all are needed: AND),
    takes one minus the product of the activations of its repressors (any one missing suffices: OR of NOTs), and joins
    the two by AND or OR, as the equations of SIM350 do. Input genes have no regulators and stay constant.
    The defaults are SIM350's counts and ranges.

    Parameters
    ----------
    n_genes
        Genes.
    n_trajectories
        Trajectories for training and validation together.
    n_test, n_validation
        Trajectories for test, besides; and how many of `n_trajectories` are for validation (None: one in 15).
    times
        Times observed, arbitrary units; all genes relax at rate 1.
    noise
        Noise level, as a fraction of the mean expression of about 1/2: N(0, (noise / 2)^2) is added once to every value
        (0, 0.05 and 0.10 are the "0, 5, 10 %" of the papers).
    prior_moved
        Fraction of the prior's edges that are in a random place (`corrupt_prior`).
    n_edges
        Edges; None: 550 per 350 genes, but of a few genes at most three quarters of the pairs of a regulator and a
        regulated gene. Every regulated gene has at least one regulator.
    input_fraction, regulator_fraction
        Fraction of genes held constant, and of genes that regulate (which includes the inputs).
    repressor_fraction
        Fraction of repressing edges.
    and_fraction
        How often activators and repressors are joined by AND, not OR.
    ec50, exponent
        Ranges of the Hill functions' half-activation and exponent, uniform.
    rng
        Seed or Generator.

    Returns
    -------
    AnnData
        AnnData, (trajectories x times, genes), rows sorted by trajectory and time:
    `.X` : float32
        noisy expression, about [0, 1]
    `.layers["clean"]` : the same without noise
    `.obs` : DataFrame
        `time`, `trajectory` (categorical), `split` (train/validation/test)
    `.var["is_input"]` : bool
    `.varp["truth"]` : CSR float32
        signed, row regulates column
    `.uns["truth"]`, `.uns["prior"]` : DataFrame
        `source`, `target`, `weight` (truth also `ec50`, `exponent`)
    `.uns["simulation"]` : dict
        the parameters

    See Also
    --------
    scdash.simulate.corrupt_prior : Move a fraction of the edges of a network to random places.
    scdash.datasets.sim350 : Read SIM350: 350 genes, 550 signed edges, 150 trajectories for training and validation and 10 for test.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=6, n_test=2)
    >>> adata.shape
    (40, 20)
    """
    rng = as_generator(rng)
    n_validation = max(1, round(n_trajectories / 15)) if n_validation is None else n_validation
    _check(n_genes, n_trajectories, n_validation, times, noise)
    with log_step(f"simulating {n_trajectories + n_test} trajectories of {n_genes} genes"):
        circuit = random_circuit(
            n_genes,
            n_edges,
            n_inputs=max(1, round(input_fraction * n_genes)),
            n_regulators=max(1, round(regulator_fraction * n_genes)),
            repressor_fraction=repressor_fraction,
            and_fraction=and_fraction,
            ec50=ec50,
            exponent=exponent,
            rng=rng,
        )
        start = random_start(circuit, n_trajectories + n_test, rng)
        states = circuit.simulate(start, list(times))
        split = np.zeros(n_trajectories + n_test, np.int8)
        split[rng.choice(n_trajectories, n_validation, replace=False)] = 1
        split[n_trajectories:] = 2
        width = len(str(n_genes - 1))
        adata = time_series_adata(states, times, split, [f"g{i:0{width}d}" for i in range(n_genes)], noise, rng)
        edges = _edges(circuit, adata.var_names)
        add_truth(adata, edges, circuit.inputs)
        adata.uns["prior"] = corrupt_prior(edges, prior_moved, genes=adata.var_names, rng=rng)
        adata.uns["simulation"] = sanitise({"noise": noise, "prior_moved": prior_moved, "n_edges": len(edges)})
    return adata


def _check(n_genes: int, n_trajectories: int, n_validation: int, times: Sequence[float], noise: float) -> None:
    check_least("n_genes", n_genes, 3)
    if not 0 <= n_validation < n_trajectories:
        raise ValueError(
            f"n_validation={n_validation} leaves no training trajectory of n_trajectories={n_trajectories}."
        )
    if len(times) < 2 or np.any(np.diff(np.asarray(times, dtype=float)) <= 0):
        raise ValueError(f"times must be at least two and increase, found {list(times)}.")
    if noise < 0:
        raise ValueError(f"noise must not be negative, found {noise}.")


def random_circuit(
    n_genes: int,
    n_edges: int | None,
    *,
    n_inputs: int,
    n_regulators: int,
    repressor_fraction: float,
    and_fraction: float,
    ec50: tuple[float, float],
    exponent: tuple[float, float],
    rng: np.random.Generator,
) -> Circuit:
    """Return a random system; regulators' out-degrees are log-normal, in-degrees about geometric as in yeast.

    `n_edges` None: as many per gene as SIM350 has, where there is room for them.
    """
    regulators = rng.choice(n_genes, min(n_genes, max(n_regulators, n_inputs)), replace=False)
    regulated = np.setdiff1d(np.arange(n_genes), regulators[:n_inputs])
    possible = len(regulators) * len(regulated) - int(np.isin(regulators, regulated).sum())
    if n_edges is None:
        n_edges = max(len(regulated), min(round(EDGES_PER_GENE * n_genes), 3 * possible // 4))
    if not len(regulated) or n_edges < len(regulated):
        raise ValueError(
            f"n_edges={n_edges} is fewer than the {len(regulated)} regulated genes, or no gene is regulated."
        )
    if n_edges > possible:
        raise ValueError(f"n_edges={n_edges} is more than the {possible} pairs of regulator and regulated gene.")
    source, target = _random_edges(regulators, regulated, n_edges, rng)
    sign = np.where(rng.random(len(source)) < repressor_fraction, -1, 1)
    order = np.lexsort((source, -sign, target))  # activators of a gene first, then its repressors
    source, target, sign = source[order], target[order], sign[order]
    first = np.flatnonzero(np.diff(target * 2 + (sign < 0), prepend=-1))
    whose = target[first]
    join = np.flatnonzero(np.diff(whose, prepend=-1))
    levels = (
        Level(starts=first, any_of=sign[first] < 0),
        Level(starts=join, any_of=rng.random(len(join)) >= and_fraction),
    )
    low = rng.uniform(*ec50, len(source)), rng.uniform(*exponent, len(source))
    return Circuit(n_genes, source, target, sign, *low, levels, whose[join])


def _random_edges(
    regulators: NDArray[np.int64], regulated: NDArray[np.int64], n_edges: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct edges, none to itself: one per regulated gene, every regulator in use where they suffice, then more."""
    fame = rng.lognormal(0, 1, len(regulators))
    fame /= fame.sum()
    # a Poisson number with an exponential mean is geometric
    appetite = rng.exponential(size=len(regulated))
    appetite /= appetite.sum()
    size = int(max(regulators.max(), regulated.max())) + 1
    pairs: NDArray[np.int64] = np.zeros(0, np.int64)
    targets = rng.permutation(regulated)
    while len(targets):
        wanted = rng.permutation(regulators)[: len(targets)] if not len(pairs) else regulators[:0]
        more = rng.choice(regulators, len(targets) - len(wanted), p=fame)
        drawn = np.concatenate([wanted, more])
        pairs = np.concatenate([pairs, (drawn * size + targets)[drawn != targets]])
        targets = np.setdiff1d(regulated, pairs % size)
    while len(pairs) < n_edges:
        number = 2 * (n_edges - len(pairs)) + 8
        drawn, onto = rng.choice(regulators, number, p=fame), rng.choice(regulated, number, p=appetite)
        merged = np.concatenate([pairs, (drawn * size + onto)[drawn != onto]])
        _, first = np.unique(merged, return_index=True)
        pairs = merged[np.sort(first)][:n_edges]
    return pairs // size, pairs % size


def random_start(circuit: Circuit, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return start states (number, genes): inputs normal about their own mean, the others Beta(2, 2) shifted."""
    n, held = circuit.n_genes, circuit.inputs
    mean, sd = rng.uniform(0.2, 0.8, n), rng.uniform(0.025, 0.11, n)
    shift = rng.uniform(-0.25, 0.25, n)
    start = np.clip(rng.beta(2, 2, (number, n)) + shift, 0, 1)
    drawn = rng.normal(mean, sd, (number, n))
    while (outside := (drawn < 0) | (drawn > 1)).any():
        drawn = np.where(outside, rng.normal(mean, sd, (number, n)), drawn)
    return np.where(held, drawn, start)


def _edges(circuit: Circuit, genes: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": genes[circuit.regulator].to_numpy(dtype=object),
            "target": genes[circuit.target].to_numpy(dtype=object),
            "weight": circuit.sign.astype(np.float64),
            "ec50": circuit.ec50,
            "exponent": circuit.exponent,
        }
    )
