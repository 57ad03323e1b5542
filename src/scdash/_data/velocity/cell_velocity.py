"""Velocities of cells as users hold them: a layer with dx/dt, or layers of spliced and unspliced counts."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data.dense import as_dense
from scdash._data.expression_matrix import LARGEST_LOG, Expression, matrix_of
from scdash._data.labels import read_flags
from scdash._data.velocity.velocity_rows import VelocityRows, whole_from_halves

if TYPE_CHECKING:
    from anndata import AnnData


MOST_CELLS = 5000  # that velocities are read of; of more, random ones
FEWEST_GENES = 5  # with a velocity
NEIGHBOURS, COMPONENTS = 30, 30  # scVelo's own defaults
HALVINGS = 2  # random halves of the cells that show how reliable velocities are
FEWEST_TO_HALVE = 100  # cells
Measured: TypeAlias = tuple[NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True)
class CellVelocity:
    """Velocities that can be asked for any part of the cells, in units of the data per unit of the tool's time."""

    values: Expression
    measure: Callable[[NDArray[np.int64]], Measured]  # of some cells: velocities (cells, genes), genes that have one
    by_parts: bool = False  # whether those of a cell depend on which others they are measured with

    def rows(self, cells: NDArray[np.int64], rng: np.random.Generator) -> VelocityRows:
        """Return groups of some of the cells with their mean states and velocities.

        Where cells that are measured together share an error (of a gene's rate of degradation), which no differences
        between them show, genes are as reliable as halves of the cells that are measured each on its own agree.
        """
        some = np.sort(rng.choice(cells, MOST_CELLS, replace=False)) if len(cells) > MOST_CELLS else np.sort(cells)
        rows = self._rows_of(some)
        if not self.by_parts or len(some) < FEWEST_TO_HALVE:
            return rows
        found = []
        for _ in range(HALVINGS):
            mixed = rng.permutation(some)
            halves = np.sort(mixed[: len(some) // 2]), np.sort(mixed[len(some) // 2 :])
            found.append(self._rows_of(halves[0]).agreement(self._rows_of(halves[1])))
        return rows.less_reliable(whole_from_halves(np.mean(found, axis=0)))

    def _rows_of(self, cells: NDArray[np.int64]) -> VelocityRows:
        velocities, known = self.measure(cells)
        return VelocityRows.of_cells(np.asarray(self.values.dense_rows(cells), dtype=np.float64), velocities, known)


def read_velocity(
    adata: "AnnData", velocity: str | tuple[str, str], values: Expression, columns: NDArray[np.int64]
) -> CellVelocity:
    """Read what the argument `velocity` names; see `scdash.tl.fit_dynamics` for its meaning.

    `adata`: where the layers are. `velocity`: the name of a layer, or of two: spliced and unspliced counts. `values`,
    `columns`: expression of the modelled genes, and their columns in `adata`.
    """
    if isinstance(velocity, str):
        return _from_layer(adata, velocity, values, columns)
    names = list(velocity) if isinstance(velocity, tuple | list) else []
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "velocity must be the name of a layer with dx/dt of every cell, or a pair of names, of the layers with spliced "
            f"and unspliced counts, found {velocity!r}."
        )
    return _from_counts(adata, names[0], names[1], values, columns)


def _from_layer(adata: "AnnData", name: str, values: Expression, columns: NDArray[np.int64]) -> CellVelocity:
    where, matrix = matrix_of(adata, name, argument="velocity")
    flags = f"{name}_genes"
    flagged = np.ones(len(columns), dtype=bool)
    if flags in adata.var:
        flagged = read_flags(adata.var[flags], f"adata.var[{flags!r}]")[columns]
    found = _columns_of(matrix, columns)
    finite, moving = np.isfinite(found).all(axis=0), (np.nan_to_num(found) != 0).any(axis=0)
    empty = np.isnan(found).all(axis=0)
    partly = flagged & ~finite & ~empty
    if partly.any():
        gene = int(np.argmax(partly))
        cell = int(np.argmax(~np.isfinite(found[:, gene])))
        raise ValueError(
            f"{where} (velocity) is NaN or infinite for some cells of {int(partly.sum())} modelled genes, first at cell "
            f"{str(adata.obs_names[cell])!r}, gene {str(values.genes[gene])!r}. Fill or drop them, or mark the genes that "
            f"have a velocity in adata.var[{flags!r}]; genes that are NaN in all cells are left out."
        )
    known = flagged & finite & moving
    _check_genes(known, where)
    if "Ms" in adata.layers and f"{name}_params" in adata.uns:
        logger.info("    %s is of scVelo, in units of counts: it is divided by 1 + adata.layers['Ms']", where)
        found = found / (1 + _columns_of(adata.layers["Ms"], columns))
    used = np.where(known, np.nan_to_num(found), 0.0)
    return CellVelocity(values, lambda cells: (used[cells], known))


def _from_counts(
    adata: "AnnData", spliced: str, unspliced: str, values: Expression, columns: NDArray[np.int64]
) -> CellVelocity:
    matrices = []
    for name in (spliced, unspliced):
        where, matrix = matrix_of(adata, name, argument="velocity")
        counts = sp.csr_matrix(matrix if sp.issparse(matrix) else as_dense(matrix))
        bad = ~np.isfinite(counts.data) | (counts.data < 0)
        if bad.any():
            raise ValueError(
                f"{where} (velocity) must hold counts, found {int(bad.sum())} negative, NaN or infinite values. Pass the "
                "layers of spliced and unspliced counts as velocity=('spliced', 'unspliced')."
            )
        if name == spliced and counts.max() <= LARGEST_LOG and (counts.data % 1).any():
            raise ValueError(
                f"{where} (velocity) looks like logarithms (fractions, none above {counts.max():.3g}); needed are spliced and "
                "unspliced counts, as they are or normalised to equal totals."
            )
        total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        size = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
        matrices.append(sp.csr_matrix(sp.diags_array(size) @ counts)[:, columns])
    both = np.asarray((matrices[0] > 0).sum(axis=0)).ravel(), np.asarray((matrices[1] > 0).sum(axis=0)).ravel()
    _check_genes((both[0] > 0) & (both[1] > 0), f"adata.layers[{spliced!r}] and adata.layers[{unspliced!r}]")
    if find_spec("scvelo") is None:
        raise ImportError('velocity from spliced and unspliced counts needs scVelo: pip install "scdash[velocity]".')

    def measure(cells: NDArray[np.int64]) -> Measured:
        logged = np.asarray(values.dense_rows(cells), dtype=np.float64)
        mature, nascent = (part[cells] for part in matrices)
        depth = np.median(np.expm1(logged).sum(axis=1)) / max(np.median(np.asarray(mature.sum(axis=1))), 1e-300)
        return steady_state_velocity(mature * depth, nascent * depth, logged)

    return CellVelocity(values, measure, by_parts=True)


def _columns_of(matrix: Any, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    found = matrix[:, columns] if not hasattr(matrix, "compute") else matrix[:, columns].compute()
    return np.asarray(as_dense(found), dtype=np.float64)


def _check_genes(known: NDArray[np.bool_], where: str) -> None:
    """Raise where too few of the modelled genes have a velocity; tell the log how many have."""
    if known.sum() < min(FEWEST_GENES, len(known)):
        raise ValueError(
            f"{where} (velocity) has a velocity for {int(known.sum())} of the {len(known)} modelled genes, too few to learn "
            "from: was it made with other genes? Compute velocities of the modelled genes, or model the genes that have one "
            "(mask_var)."
        )
    logger.info("    velocity of %d of %d modelled genes from %s", int(known.sum()), len(known), where)


def steady_state_velocity(
    spliced: sp.csr_matrix, unspliced: sp.csr_matrix, logged: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    r"""Return dx/dt of x = log(1 + s) for some cells, (cells, genes), and the genes that scVelo's model fits.

    :math:`ds/dt = u - \gamma s` with the moments (means over neighbours) of both, in units of each gene's rate of splicing
    (La Manno et al. 2018, Bergen et al. 2020), and :math:`dx/dt = (ds/dt) / (1 + s)`.

    `spliced`, `unspliced`: counts, (cells, genes), every cell scaled to the same total of each; spliced ones in units
    of exp(logged) - 1. `logged`: log expression of the same cells, (cells, genes), by which neighbours are found.
    """
    import anndata as ad
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scVelo warns of its own future
        import scvelo as scv

        cells = ad.AnnData(np.asarray(logged, dtype=np.float32))
        cells.layers["spliced"] = sp.csr_matrix(spliced, dtype=np.float32)
        cells.layers["unspliced"] = sp.csr_matrix(unspliced, dtype=np.float32)
        before = scv.settings.verbosity
        scv.settings.verbosity = 0
        try:
            sc.pp.pca(cells, n_comps=min(COMPONENTS, *(side - 1 for side in cells.shape)))
            sc.pp.neighbors(cells, n_neighbors=min(NEIGHBOURS, cells.n_obs - 1))
            scv.pp.moments(cells, n_pcs=None, n_neighbors=None)
            scv.tl.velocity(cells, mode="deterministic", min_r2=0.01)
        finally:
            scv.settings.verbosity = before
    velocity = np.asarray(cells.layers["velocity"], dtype=np.float64)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(velocity).all(axis=0) & velocity.any(axis=0))
    if "velocity_genes" in cells.var:  # scVelo writes no such column where hardly any gene fits its model
        known = known & cells.var["velocity_genes"].to_numpy(dtype=bool)
    return np.where(known, velocity / (1 + np.asarray(cells.layers["Ms"])), 0.0), known
