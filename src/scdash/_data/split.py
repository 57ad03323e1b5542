"""Which trajectories, or which windows of one, are held out when the user names no split."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.random_streams import RNG, as_generator
from scdash._data.labels import read_labels
from scdash._data.time_series.series import SPLITS

TRAIN, VALIDATION, TEST = range(3)


def split_codes(split: Any, name: str = "split") -> NDArray[np.int8]:
    """Return the codes of train/validation/test labels, -1 where missing, or raise naming a label that is none of them."""
    labels = read_labels(split)
    for label in labels.cat.categories:
        if label not in SPLITS:
            raise unknown(f"label in {name}", str(label), SPLITS)
    of_category = np.array([SPLITS.index(label) for label in labels.cat.categories] + [-1], dtype=np.int8)
    codes: NDArray[np.int8] = of_category[labels.cat.codes.to_numpy()]
    if not (codes == TRAIN).any():
        raise ValueError(f"{name} holds no 'train' observation.")
    return codes


def default_split(
    trajectory: NDArray[np.int64],  # code of each row's trajectory; rows sorted by trajectory, then time
    *,
    together: NDArray[np.int64] | None = None,
    stratum: NDArray[np.int64] | None = None,
    fraction: float | None = 0.1,
    validation: bool = True,  # False: what would be for validation is for training, too
    rng: RNG = 0,  # seed or Generator
) -> NDArray[np.int8]:
    """Hold out whole trajectories, or windows of rows where there are too few trajectories.

    `together`: code of what each row's trajectory is held out with (its batch); None: each trajectory alone. `stratum`:
    code of each row's kind of trajectory (its lineage): one trajectory of each stays in training, since nothing can be
    learned about a lineage that was never seen. `fraction`: fraction of trajectories (or rows) for validation, and again
    for test; at least one. None: nothing is held out.

    The result is the (rows,) codes into `SPLITS`. With fewer than two trajectories to spare, every trajectory loses two
    contiguous windows of rows, validation around 45 % and test around 75 % of its length: inside the path, because its
    end cannot be learned without having been seen.
    """
    if fraction is None:
        return np.zeros(len(trajectory), np.int8)
    if not 0 < fraction < 1:
        raise ValueError(f"hold_out must be a fraction between 0 and 1, found {fraction!r}.")
    unit = trajectory if together is None else together
    codes = np.unique(unit)
    kind = np.zeros(len(trajectory), np.int64) if stratum is None else stratum
    seen: set[int] = set()
    spare = []
    for k in as_generator(rng).permutation(len(codes)):
        kinds = set(kind[unit == codes[k]].tolist())
        if kinds <= seen:
            spare.append(k)
        seen |= kinds
    split = np.zeros(len(trajectory), np.int8)
    if len(spare) < 2:
        for code in np.unique(trajectory):
            _windows(split, np.flatnonzero(trajectory == code), fraction)
    else:
        number = min(max(1, round(fraction * len(codes))), len(spare) // 2)
        split[np.isin(unit, codes[spare[:number]])] = VALIDATION
        split[np.isin(unit, codes[spare[number : 2 * number]])] = TEST
    return split if validation else np.where(split == VALIDATION, np.int8(TRAIN), split)


def _windows(split: NDArray[np.int8], rows: NDArray[np.int64], fraction: float) -> None:
    n = len(rows)
    if n < 5:  # too short to lose two rows
        return
    length = max(1, round(fraction * n))
    for code, centre in ((VALIDATION, 0.45), (TEST, 0.75)):
        start = max(1, round(centre * n - length / 2))
        split[rows[start : start + length]] = code
