"""Which guides a cell has, from the counts of guides, and the label of its perturbation."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import norm

from scdash._core.logging import logger

FEW_CELLS = 10  # with a count of the guide: fewer fit no mixture
STEPS = 200  # of expectation maximisation
LEAST_SD = 0.25  # of log2 counts of cells that have the guide
LEAST_MEAN = 1.0  # of log2 counts of cells that have the guide
LEAST_WEIGHT = 1e-3  # of either component
Labels: TypeAlias = "pd.Categorical[str]"
Calls: TypeAlias = "tuple[Labels, Labels, NDArray[np.int64]]"  # perturbation, guide, number of guides of each cell


def call_guides(
    counts: sp.csr_matrix, *, threshold: Literal["mixture"] | float, min_count: float, dominance: float | None
) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    """Return which guides each cell has (cells, guides), and the fewest counts of each guide, (guides,).

    `counts`: counts (cells, guides). `threshold`: fewest counts of a guide in a cell that has it, or "mixture": for
    every guide from a mixture of background and signal, see `mixture_threshold`. `min_count`: least threshold from a
    mixture. `dominance`: least fraction of a cell's guide counts that its strongest guide has; the cell then has this
    guide alone, and without such a guide none.
    """
    counts = counts.copy()
    counts.eliminate_zeros()
    if threshold == "mixture":
        by_guide = counts.tocsc()
        parts = np.split(by_guide.data, by_guide.indptr[1:-1])
        least = np.array([max(mixture_threshold(part), min_count) for part in parts], dtype=np.float64)
    else:
        least = np.full(counts.shape[1], float(threshold))
    called = counts.copy()
    called.data = (counts.data >= least[counts.indices]).astype(np.int8)
    if dominance is not None:
        called.data[~_dominant(counts, dominance)] = 0
    called.eliminate_zeros()
    return called, least


def _dominant(counts: sp.csr_matrix, dominance: float) -> NDArray[np.bool_]:
    """Return which entries have at least the fraction `dominance` of their row's sum, and are its largest."""
    cells = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    total = np.asarray(counts.sum(axis=1)).ravel()
    most = np.zeros(counts.shape[0])
    np.maximum.at(most, cells, counts.data)
    return np.asarray((counts.data >= dominance * total[cells]) & (counts.data == most[cells]))


def mixture_threshold(counts: NDArray[Any]) -> float:
    """Return the fewest counts with which a cell has a guide more likely than not, from a Poisson-Gaussian mixture.

    The log2 counts of the cells that have any are a mixture of a Poisson distribution (background: ambient guides,
    chimeric reads) and a normal one (cells that have the guide), fitted by expectation maximisation (Replogle et al., Nature
    Biotechnology 2020). Returned is the least count whose probability of the normal component, and that of every larger
    one, is above one half; 0 where fewer than 10 cells, or only one kind of count, were seen.
    """
    values, times = np.unique(np.asarray(counts, dtype=np.float64), return_counts=True)
    if times.sum() < FEW_CELLS or len(values) < 2:
        return 0.0
    x, weight = np.log2(values), times / times.sum()
    upper = x > x.max() / 2
    signal = np.where(upper, 1.0, 0.0)
    for _ in range(STEPS):
        share = float(np.clip(weight @ signal, LEAST_WEIGHT, 1 - LEAST_WEIGHT))
        rate = max(float(weight @ ((1 - signal) * x)) / (1 - share), 1e-3)
        mean = max(float(weight @ (signal * x)) / share, LEAST_MEAN, rate)
        sd = max(np.sqrt(float(weight @ (signal * (x - mean) ** 2)) / share), LEAST_SD)
        background = np.log1p(-share) + x * np.log(rate) - rate - gammaln(x + 1)
        ratio = np.log(share) + norm.logpdf(x, mean, sd) - background
        new = 1 / (1 + np.exp(-np.clip(ratio, -500, 500)))
        new[x >= mean] = np.maximum.accumulate(new[x >= mean])  # a larger count is no less a sign of the guide
        if np.abs(new - signal).max() < 1e-6:
            break
        signal = new
    above = np.logical_and.accumulate((signal > 0.5)[::-1])[::-1]
    return float(values[above][0]) if above.any() else float(values[-1] + 1)


def label_cells(
    called: sp.csr_matrix,
    genes: Sequence[str | None],
    names: Sequence[str],
    control: str,
    separator: str,
    *,
    combine: bool,
) -> Calls:
    """Return perturbation, guide and number of guides of every cell."""
    n_guides = np.diff(called.indptr).astype(np.int64)
    labels, guide = np.full(called.shape[0], None, dtype=object), np.full(called.shape[0], None, dtype=object)
    several = 0
    for cell in np.flatnonzero(n_guides):
        own = np.sort(called.indices[called.indptr[cell] : called.indptr[cell + 1]])
        targeted = sorted({gene for gene in (genes[g] for g in own) if gene is not None})
        several += len(targeted) > 1
        if len(targeted) > 1 and not combine:
            continue
        labels[cell] = separator.join(targeted) if targeted else control
        guide[cell] = separator.join(names[g] for g in own)
    if several:
        logger.info(
            "    %d of %d cells have guides of several genes and %s",
            several, called.shape[0], "get a combined label" if combine else "no label (multiple='combine' joins them)",
        )  # fmt: skip
    return pd.Categorical(labels), pd.Categorical(guide), n_guides


def missing_where(labels: Labels, lost: NDArray[np.bool_]) -> Labels:
    """Return labels without those of the `lost` cells."""
    kept = pd.Series(labels).where(~lost)
    return pd.Categorical(kept).remove_unused_categories()


def guide_table(
    called: sp.csr_matrix,
    names: Sequence[str],
    genes: Mapping[str, str | None],
    least: NDArray[np.float64],
    labels: Labels,
    control: str,
) -> pd.DataFrame:
    """Return one row a guide, with what became of it."""
    used = called[np.flatnonzero(labels.codes >= 0)]
    return pd.DataFrame(
        {
            "guide": list(names),
            "perturbation": [control if genes[name] is None else genes[name] for name in names],
            "threshold": least,
            "cells": np.bincount(called.indices, minlength=len(names)),
            "used": np.bincount(used.indices, minlength=len(names)),
        }
    )
