"""Which cells train and which are held out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.random_streams import RNG, as_generator
from scdash._data import read_labels


@dataclass(frozen=True)
class Fold:
    """Training and held-out cells (positions); `test` is empty for a fit on all cells."""

    name: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def make_folds(cells: int, folds: int | NDArray[Any] = 10, *, rng: RNG = 0) -> list[Fold]:
    """Return folds from a number (random, equal within one cell) or from a label per cell.

    With labels, every label is held out once; cells labelled -1 or missing are in every training set and never tested.
    """
    if isinstance(folds, (int, np.integer)) and not isinstance(folds, bool):
        if not 2 <= folds <= cells:
            raise ValueError(f"folds must lie between 2 and the number of cells ({cells}), found {folds}.")
        parts = np.array_split(as_generator(rng).permutation(cells), folds)
        return [_fold(str(k), cells, np.sort(part)) for k, part in enumerate(parts)]
    labels = np.asarray(folds)
    if labels.shape != (cells,):
        raise ValueError(f"folds must be a number or one label per cell ({cells}), found shape {labels.shape}.")
    texts = read_labels(labels)
    missing = (texts.isna() | texts.isin(["-1", "-1.0"])).to_numpy()
    if missing.any():
        logger.info("    %d of %d cells have no fold: every network is trained on them", int(missing.sum()), cells)
    names = list(dict.fromkeys(sorted(labels[~missing].tolist())))
    if len(names) < 2:
        raise ValueError(f"folds must name at least two groups of cells, found {names}.")
    return [_fold(str(name), cells, np.flatnonzero((labels == name) & ~missing)) for name in names]


def _fold(name: str, cells: int, test: NDArray[np.intp]) -> Fold:
    return Fold(name, np.setdiff1d(np.arange(cells), test), test)
