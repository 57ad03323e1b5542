"""Coordinates of cells in `obsm`, checked: the one reader of representations."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._data.dense import as_dense

if TYPE_CHECKING:
    from anndata import AnnData


def representation(
    adata: "AnnData", key: str, argument: str, *, rows: NDArray[np.bool_] | None = None, finite: bool = True
) -> NDArray[np.float64]:
    """Return `adata.obsm[key]` as numbers, (cells, dimensions).

    `adata`: where to read. `key`: name of the coordinates. `argument`: the argument that names them, for messages.
    `rows`: cells whose coordinates are needed; None: all. `finite`: whether coordinates that are NaN or infinite are
    an error, which names the slot and the number of cells.
    """
    if key not in adata.obsm:
        raise KeyError(f"{argument}={key!r} is not in adata.obsm.{suggest(key, adata.obsm.keys())}")
    points = as_dense(adata.obsm[key], np.float64)
    points = points[:, None] if points.ndim == 1 else points
    needed = np.ones(len(points), dtype=bool) if rows is None else rows
    bad = needed & ~np.isfinite(points).all(axis=1)
    if finite and bad.any():
        raise ValueError(
            f"adata.obsm[{key!r}] ({argument}) is NaN or infinite for {int(bad.sum())} of {int(needed.sum())} cells, first "
            f"{str(adata.obs_names[int(np.argmax(bad))])!r}. Compute it again for all cells, leave these cells out, or name "
            f"other coordinates."
        )
    return points
