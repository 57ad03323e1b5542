"""Which perturbations of a screen are fitted: those with enough cells that are not held out by name; which genes may regulate."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.logging import logger
from scdash._data.screen import Screen

CELLS = 10  # of a perturbation, at least, unless most have a single profile
FEW_ROWS = 3  # median rows of a perturbation below which a row is a profile of many cells, as in bulk compendia
ALL_SOURCES = 1500  # genes up to which all may regulate without being asked


def least_cells(screen: Screen, asked: int | None) -> int:
    """Return the fewest cells of a perturbation: as asked for, else 10, or 1 where most have one or two rows."""
    if asked is not None:
        return asked
    perturbed = screen.counts[1:]
    typical = float(np.median(perturbed)) if len(perturbed) else np.inf
    if typical >= FEW_ROWS:
        return CELLS
    logger.info(
        "    a perturbation has %g row(s) in the median: rows are taken as profiles, of which one is enough (min_cells=1)",
        typical,
    )
    return 1


def without(screen: Screen, names: Sequence[str]) -> Screen:
    """Return the screen without some perturbations, by name; `"GENE"` is also `"GENE (knockout)"`."""
    held = np.zeros(screen.n_perturbations, bool)
    for name in (names,) if isinstance(names, str) else names:
        text = str(name)
        same = [text, *(f"{text} ({kind})" for kind in set(screen.kinds))]
        at = [i for i, known in enumerate(screen.names) if known in same]
        if not at:
            raise unknown("perturbation", text, screen.names)
        if 0 in at:
            raise ValueError(f"hold_out: {name!r} is the control, which every fit needs.")
        if screen.hidden[at].any():
            raise ValueError(f"hold_out: a target of {name!r} is no gene of the data, so that it cannot be predicted.")
        held[at] = True
    return screen.keep(~held) if held.any() else screen


def enough_cells(screen: Screen, min_cells: int, *, needs_control: bool = True) -> tuple[Screen, pd.DataFrame]:
    """Return the screen without perturbations of fewer than `min_cells` cells, and a table of these."""
    counts = screen.counts
    if counts[0] < min_cells and (needs_control or counts[0]):
        raise ValueError(
            f"control: only {counts[0]} control cells ({screen.names[0]!r}), at least {min_cells} are needed. Name further labels "
            f"of unperturbed cells, or accept so few with PerturbODE(min_cells={max(counts[0], 1)})."
        )
    few = counts < min_cells
    few[0] = False
    names = np.asarray(screen.names, dtype=object)[few]
    if few.any():
        logger.warning(
            "%d perturbation(s) with fewer than %d cells are left out: %s", few.sum(), min_cells, ", ".join(names[:5])
        )
    table = pd.DataFrame({"perturbation": names.astype(str), "cells": counts[few], "reason": "too few cells"})
    return (screen.keep(~few) if few.any() else replace(screen)), table


def sources_of(screen: Screen, regulators: NDArray[np.int64] | None, rule: str) -> NDArray[np.int64]:
    """Return the positions of the genes whose features a regression needs; `rule` as in `scdash.models.PerturbODE`.

    Regulators that are named are the only ones, but the own perturbations of all others are evidence beside them.
    """
    d = len(screen.genes)
    perturbed = screen.targets.any(axis=0)
    if regulators is not None:
        return np.flatnonzero(perturbed | np.isin(np.arange(d), regulators))
    if rule == "all" or (rule == "auto" and d <= ALL_SOURCES):
        return np.arange(d)
    if rule == "auto":
        logger.info(
            "    only the %d perturbed genes may regulate, because %d genes are more than %d; name others in regulators, "
            "or take all by PerturbODE(sources='all')",
            perturbed.sum(),
            d,
            ALL_SOURCES,
        )
    return np.flatnonzero(perturbed)
