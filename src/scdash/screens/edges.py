"""The table of edges of a fit of a screen."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.edges.order import rank_edges
from scdash.screens.evidence import Evidence
from scdash.screens.fits import ScreenFit
from scdash.screens.inputs import ScreenInputs
from scdash.screens.statistics import Floats, PerturbationStatistics

MOST_RANKED = 250_000  # pairs of genes that are listed beside the edges of the network and of the prior


def edge_table(fit: ScreenFit, inputs: ScreenInputs) -> pd.DataFrame:
    """Return the edges (regulator, target) with a weight or a score, strongest first; `score` is |ranking score|.

    And those of the prior. Of other pairs without a weight, only the first `MOST_RANKED` are listed.
    """
    d = len(inputs.columns)
    sources = np.arange(d) if fit.sources is None else fit.sources
    row = np.full(d, -1)
    row[sources] = np.arange(len(sources))
    at, other = np.nonzero(fit.weights)
    keys = _pairs(sources[at], other, d)
    if inputs.prior is not None:
        at, other = inputs.prior.nonzero()
        keys = np.union1d(keys, _pairs(at, other, d))
    at, other = np.nonzero(fit.score)
    size = np.abs(fit.score[at, other])
    if len(size) > MOST_RANKED:
        strong = size >= np.partition(size, -MOST_RANKED)[-MOST_RANKED]
        at, other = at[strong], other[strong]
    keys = np.union1d(keys, _pairs(sources[at], other, d))
    source, target = np.divmod(keys[keys // d != keys % d], d)
    total = np.abs(fit.weights).sum(axis=0)
    names = np.asarray(inputs.values.genes, dtype=str)

    def of(matrix: Floats, otherwise: float = 0.0) -> Floats:
        return np.where(row[source] >= 0, matrix[row[source], target], otherwise)

    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": of(fit.weights),
            "contribution": np.abs(of(fit.weights)) / np.maximum(total[target], 1e-300),
            "in_prior": np.zeros(len(source), bool) if inputs.prior is None else _at(inputs.prior, source, target) != 0,
            "selection_frequency": of(fit.frequency, np.nan if np.isnan(fit.frequency).any() else 0.0),
            "score": np.abs(of(fit.score)),
            "sign": np.sign(of(fit.score)),
        }
    )
    ranked = rank_edges(table).drop(columns="rank")
    listed: pd.Series = (np.arange(len(ranked)) < MOST_RANKED) | (ranked["weight"] != 0) | ranked["in_prior"]
    return ranked[listed].reset_index(drop=True)


def _pairs(source: NDArray[np.int64], target: NDArray[np.int64], genes: int) -> NDArray[np.int64]:
    """Return a number for every pair of genes, in the order of a matrix (source, target)."""
    return source.astype(np.int64) * genes + target


def _at(matrix: sp.csr_matrix, source: NDArray[np.int64], target: NDArray[np.int64]) -> Floats:
    return np.asarray(matrix[source, target]).ravel() if len(source) else np.zeros(0)


def add_evidence(
    table: pd.DataFrame, inputs: ScreenInputs, stats: PerturbationStatistics, found: Evidence
) -> pd.DataFrame:
    """Return the edges with what the perturbations of their own sources say; NaN where a source was never perturbed.

    `source_perturbed`; `interventional_effect`, the change of the target in log units in the perturbations of its source
    (of a source that was raised and lowered, in the direction in which it moved further), and `interventional_z`, its ratio to its standard error; `direct_z`, the same of what the other regulators of the
    network leave unexplained.
    """
    genes = pd.Index([str(g) for g in inputs.values.genes])
    source, target = (genes.get_indexer(pd.Index(table[end])) for end in ("source", "target"))
    row = np.zeros(len(genes), dtype=np.int64)
    row[stats.sources] = np.arange(len(stats.sources))
    source, known = row[source], np.isin(source, stats.sources)
    moved = np.where(stats.own, stats.f, 0.0)
    strongest = np.take_along_axis(moved, np.abs(moved).argmax(axis=0)[None], axis=0)[0]
    own = np.sign(strongest) * np.abs(moved).sum(axis=0) / np.maximum(stats.own.sum(axis=0), 1)
    perturbed = found.perturbed[source] & known

    def of(matrix: Floats, sign: Floats) -> Floats:
        return np.where(perturbed, matrix[source, target] * sign[source], np.nan)

    return table.assign(
        source_perturbed=perturbed,
        interventional_effect=of(found.total, own),
        interventional_z=of(found.total_z, np.sign(own)),
        direct_z=of(found.direct_z, np.sign(own)),
    )


def add_effects(
    table: pd.DataFrame, inputs: ScreenInputs, sensitivity: sp.csr_matrix, total: sp.csr_matrix
) -> pd.DataFrame:
    """Return the edges with columns `sensitivity` and `total_effect`, both (regulator, target)."""
    genes = pd.Index([str(g) for g in inputs.values.genes])
    source, target = (genes.get_indexer(pd.Index(table[end])) for end in ("source", "target"))
    return table.assign(sensitivity=_at(sensitivity, source, target), total_effect=_at(total, source, target))
