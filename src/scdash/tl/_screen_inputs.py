"""From AnnData to a perturbation screen: gene choice, labels, checks and a lazy reader of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import Expression, check_log, expression, gene_mask, obs_column, prior_from
from scdash._data._screen import Screen, parse_screen, split_label
from scdash._logging import logger

LARGEST = 3000  # genes taken without being asked which


@dataclass(frozen=True)
class ScreenInputs:
    """Everything a fit of a screen reads from AnnData."""

    values: Expression
    screen: Screen
    columns: NDArray[np.int64]  # of the modelled genes in adata.var
    prior: sp.csr_matrix | None  # signs, row regulates column
    dropped: pd.DataFrame  # regimes left out, and why

    @property
    def cells(self) -> "Cells":
        """The cells, read in blocks."""
        return Cells(self.values)


@dataclass(frozen=True)
class Cells:
    """Rows of the modelled genes as dense blocks; only what is asked for is ever dense."""

    values: Expression

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return self.values.dense_rows(rows)


def read_screen(
    adata: Any,
    *,
    perturbation_key: str,
    control: str | Sequence[str],
    separator: str,
    kind: str | Mapping[str, str],
    layer: str | None,
    mask_var: Any,
    prior: Any,
    min_cells: int,
    unknown_targets: str,
) -> ScreenInputs:
    """Check and read a screen; errors name the argument and the remedy. Genes: the mask UNION the targets."""
    labels = obs_column(adata, perturbation_key, "perturbation_key")
    controls = (control,) if isinstance(control, str) else tuple(control)
    named = {
        g
        for label in pd.unique(labels.dropna())
        for g in split_label(str(label), control=controls, separator=separator)
    }
    mask = gene_mask(adata, mask_var, limit=LARGEST) | adata.var_names.isin(named)
    columns = np.flatnonzero(mask)
    values = expression(adata, layer=layer, genes=adata.var_names[columns])
    check_log(values)
    screen = parse_screen(
        labels, values.genes, control=control, separator=separator, kind=kind, missing=unknown_targets
    )
    screen, dropped = _enough_cells(screen, min_cells)
    if screen.n_regimes < 2:
        raise ValueError(
            f"perturbation_key={perturbation_key!r}: no perturbed regime has {min_cells} cells or more; lower min_cells."
        )
    aligned = None if prior is None else prior_from(adata, prior, genes=values.genes).signs
    logger.info(
        "    %d regimes and the control, %d genes, %d cells", screen.n_regimes - 1, len(columns), screen.counts.sum()
    )
    return ScreenInputs(values, screen, columns, aligned, dropped)


def _enough_cells(screen: Screen, min_cells: int) -> tuple[Screen, pd.DataFrame]:
    counts = screen.counts
    if counts[0] < min_cells:
        raise ValueError(
            f"control: only {counts[0]} control cells ({screen.names[0]!r}), at least {min_cells} are needed "
            f"(min_cells)."
        )
    few = counts < min_cells
    few[0] = False
    names = np.asarray(screen.names, dtype=object)[few]
    if few.any():
        logger.warning(
            "%d regime(s) with fewer than %d cells are left out: %s", few.sum(), min_cells, ", ".join(names[:5])
        )
    table = pd.DataFrame({"regime": names.astype(str), "cells": counts[few], "reason": "too few cells"})
    return (screen.keep(~few) if few.any() else replace(screen)), table
