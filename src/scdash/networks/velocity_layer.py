"""dx/dt of every row as a layer whose memory grows with the modelled genes."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._core.keys import DynamicsKeys
from scdash._core.logging import logger
from scdash._data import Expression, as_dense
from scdash.networks.dynamics_model import DynamicsModel

if TYPE_CHECKING:
    from anndata import AnnData


ROWS = 4096  # rows whose velocity is computed at once
DENSE_BYTES, SPARSE_BYTES = 4, 8  # a value, with the number of its column where the layer is sparse


def layer_megabytes(rows: int, modelled: int, n_vars: int) -> float:
    """Return the size of the layer in MB: dense where every gene is modelled, else CSR over the modelled genes."""
    return 1e-6 * rows * modelled * (DENSE_BYTES if modelled == n_vars else SPARSE_BYTES)


def check_switch(write_velocity: object) -> None:
    """Raise unless `write_velocity` is True, False or None."""
    if write_velocity is not None and not isinstance(write_velocity, bool | np.bool_):
        raise ValueError(f"write_velocity must be True, False or None, found {write_velocity!r}.")


def wanted(adata: "AnnData", modelled: int, *, most: int, switch: bool | None) -> bool:
    """Return whether the layer is written; the log says why it is not.

    `switch`, the argument `write_velocity`, None: where rows x modelled genes are at most `most`.
    """
    if switch is not None and not switch:
        return False
    rows = adata.n_obs
    if switch or rows * modelled <= most:
        return True
    logger.info(
        "    no velocity layer: %d rows x %d genes would take %.0f MB; write_velocity=True writes it all the same, and "
        "scdash.get.model(adata)(0.0, x) returns dx/dt of any rows x",
        rows,
        modelled,
        layer_megabytes(rows, modelled, adata.n_vars),
    )
    return False


def velocity_of(
    values: Expression, model: DynamicsModel, columns: NDArray[np.int64], n_vars: int
) -> NDArray[np.float32] | sp.csr_matrix:
    """Return dx/dt of every row, block by block, (rows, n_vars): see `over_all_genes`."""
    velocity = np.empty((values.shape[0], len(columns)), dtype=np.float32)
    with torch.no_grad():
        for rows, block in values.blocks(ROWS):
            x = torch.as_tensor(np.array(as_dense(block)))  # a copy: torch warns of arrays that cannot be written to
            velocity[rows] = model(0.0, x.to(model.minimum.dtype)).numpy()
    return over_all_genes(velocity, columns, n_vars)


def over_all_genes(
    values: NDArray[np.float32], columns: NDArray[np.int64], n_vars: int
) -> NDArray[np.float32] | sp.csr_matrix:
    """Return values (rows, modelled genes) as a matrix over all genes that takes no memory for the others.

    Dense where every gene is modelled. Else CSR in which every value of a modelled gene is stored, also zeros; an
    unmodelled gene has no entries, which other packages read as a velocity of 0.
    """
    order = np.argsort(columns, kind="stable")
    if len(columns) == n_vars:
        return np.ascontiguousarray(values[:, order], dtype=np.float32)
    rows, width = values.shape
    kind = np.int32 if rows * width < np.iinfo(np.int32).max else np.int64
    indices = np.tile(np.asarray(columns)[order].astype(kind), rows)
    pointers = np.arange(rows + 1, dtype=kind) * width
    data = np.ascontiguousarray(values[:, order], dtype=np.float32).ravel()
    return sp.csr_matrix((data, indices, pointers), shape=(rows, n_vars))


def set_velocity(
    adata: "AnnData",
    keys: DynamicsKeys,
    velocity: NDArray[np.float32] | sp.csr_matrix | None,
    columns: NDArray[np.int64],
) -> None:
    """Write the layer, or take away what an earlier fit of the same name left: it would pass for this fit's.

    `var["<key>_velocity_genes"]` names the genes that have a velocity; CellRank and scVelo read it on their own.
    """
    if velocity is not None:
        adata.layers[keys.velocity] = velocity
        adata.var[keys.velocity_genes] = np.isin(np.arange(adata.n_vars), columns)
        return
    if keys.velocity in adata.layers:
        del adata.layers[keys.velocity]
    if keys.velocity_genes in adata.var:
        del adata.var[keys.velocity_genes]


def velocity_line(keys: DynamicsKeys, velocity: NDArray[np.float32] | sp.csr_matrix | None) -> str:
    """Return what the log says of the layer, with its size; empty where there is none."""
    if velocity is None:
        return ""
    dense = isinstance(velocity, np.ndarray)
    size = velocity.nbytes if isinstance(velocity, np.ndarray) else velocity.data.nbytes + velocity.indices.nbytes
    form = "dense" if dense else "sparse, modelled genes only"
    return f"layers[{keys.velocity!r}], dx/dt ({form}, {1e-6 * size:.1f} MB); "
