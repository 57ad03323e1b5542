"""Batches and guides of a screen: each batch is centred on its own control cells, and both are replicates."""

from dataclasses import replace

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data import Expression, batch_offsets, group_codes, log_missing, obs_column
from scdash._data.screen import Screen

MOST_MEANS = 50_000_000  # replicates x genes: 400 MB
LEAST_CONTROL = 3  # control cells of a batch, at least
Groups = tuple[NDArray[np.int64], tuple[str, ...]]  # group of each cell, -1 for none, and their names


def read_groups(adata: AnnData, key: str | None, argument: str) -> Groups | None:
    """Return the groups of cells in a column of obs, in which labels may be missing; None without a column."""
    if key is None:
        return None
    return group_codes(obs_column(adata, key, argument), f"adata.obs[{key!r}]", missing=True)


def leave_out_unlabelled(screen: Screen, codes: NDArray[np.int64] | None, what: str) -> Screen:
    """Return the screen without the cells that have no batch, or no time (code -1); the log counts them."""
    if codes is None:
        return screen
    lost = (codes < 0) & (screen.cells >= 0)
    log_missing(lost, len(lost), what)
    return replace(screen, cells=np.where(lost, -1, screen.cells))


def centre_batches(
    values: Expression, screen: Screen, batch: Groups | None, min_cells: int, *, argument: str = "batch_key"
) -> Expression:
    """Return the cells without the offsets between batches: every batch gets the mean of all control cells.

    Batches of fewer than `min_cells` control cells are warned of. Errors name the `argument` that batches come from.

    Raises ValueError if a batch that has cells of the screen has fewer than `LEAST_CONTROL` control cells (or than
    `min_cells`).
    """
    if batch is None:
        return values
    codes, names = batch
    used = np.bincount(codes[(screen.cells >= 0) & (codes >= 0)], minlength=len(names))
    own = np.bincount(codes[(screen.cells == 0) & (codes >= 0)], minlength=len(names))
    least = min(LEAST_CONTROL, min_cells)
    few = (used > 0) & (own < min_cells)
    shown = ", ".join(f"{names[i]!r} ({own[i]} of {used[i]} cells)" for i in np.flatnonzero(few)[:5])
    if (few & (own < least)).any():
        raise ValueError(
            f"{argument}: {(few & (own < least)).sum()} of {len(names)} batches have fewer than {least} control cells, on which "
            f"each batch is centred: {shown}. Leave out the cells of these batches, or join batches that were processed "
            "together."
        )
    if few.any():
        logger.warning(
            "    WARNING: %d of %d batches are centred on fewer than %d control cells, whose noise moves all their cells: %s",
            few.sum(), len(names), min_cells, shown,
        )  # fmt: skip
    packed = np.cumsum(used > 0) - 1
    batch_of = np.where((screen.cells >= 0) & (codes >= 0), packed[codes], -1)
    return replace(values, offsets=batch_offsets(values, np.flatnonzero(screen.cells == 0), batch_of))


def with_replicates(screen: Screen, guides: Groups | None, batch: Groups | None) -> Screen:
    """Return the screen with its replicates: cells of one guide, or without guides of one batch; as it is without either.

    Replicates whose means would take more than `MOST_MEANS` numbers are not kept apart, which the log says.
    """
    groups = batch if guides is None else guides
    if groups is None:
        return screen
    found = screen.with_replicates(groups[0])
    number = len(found.replicate_perturbations)
    if number * len(screen.genes) <= MOST_MEANS:
        return found
    logger.info("    %d replicates of %d genes are too many to be kept apart", number, len(screen.genes))
    return screen
