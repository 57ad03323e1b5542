"""From the guides of a cell to the label of its perturbation."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import logger

Labels: TypeAlias = "pd.Categorical[str]"
Calls: TypeAlias = "tuple[Labels, Labels, NDArray[np.int64]]"  # perturbation, guide, number of guides of each cell


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
