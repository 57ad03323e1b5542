"""dx/dt of every row as a layer: dense, so it is written only where it is affordable."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scdash._data import Expression, as_dense
from scdash._keys import DynamicsKeys
from scdash._logging import logger
from scdash.networks import DynamicsModel

ROWS = 4096  # rows whose velocity is computed at once


def affordable(adata: Any, most: int) -> bool:
    """Return whether rows x genes (all of `adata`, modelled or not) are at most `most`; the log says if they are not."""
    rows, genes = adata.shape
    if rows * genes <= most:
        return True
    logger.info(
        "    no velocity layer: %d rows x %d genes would take %.1f GB; scdash.get.model(adata)(0.0, x) returns dx/dt of "
        "any rows x",
        rows,
        genes,
        4e-9 * rows * genes,
    )
    return False


def velocity_of(
    values: Expression, model: DynamicsModel, columns: NDArray[np.int64], n_vars: int
) -> NDArray[np.float32]:
    """Return dx/dt of every row, block by block, (rows, n_vars); NaN for genes without a model."""
    velocity = np.full((values.shape[0], n_vars), np.nan, dtype=np.float32)
    with torch.no_grad():
        for rows, block in values.blocks(ROWS):
            x = torch.as_tensor(np.array(as_dense(block)))  # a copy: torch warns of arrays that can not be written to
            velocity[rows, columns] = model(0.0, x.to(model.minimum.dtype)).numpy()
    return velocity


def set_velocity(adata: Any, keys: DynamicsKeys, velocity: NDArray[np.float32] | None) -> None:
    """Write the layer, or take away what an earlier fit of the same name left: it would pass for this fit's."""
    if velocity is not None:
        adata.layers[keys.velocity] = velocity
    elif keys.velocity in adata.layers:
        del adata.layers[keys.velocity]
