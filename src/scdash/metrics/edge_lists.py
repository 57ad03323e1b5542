"""Networks as sorted lists of numbered edges: the one form in which they are compared, never dense."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeGuard, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import suggest
from scdash._core.keys import DynamicsKeys
from scdash._core.logging import logger
from scdash._data import all_genes

if TYPE_CHECKING:
    from anndata import AnnData

#: matrix (row regulates column), table (source, target[, weight]), AnnData with a fit, or (truth, prior only) the
#: name of a table in `uns` or a matrix in `varp` of that AnnData
# a Union, since the name of a class that is not imported here cannot be joined by |
GRN: TypeAlias = Union["AnnData", pd.DataFrame, np.ndarray, sparse.sparray, sparse.spmatrix, str]


@dataclass(frozen=True)
class EdgeList:
    """Weighted edges among `n` genes, sorted by `key = source * n + target`, each pair at most once.

    See Also
    --------
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).
    """

    n: int
    key: NDArray[np.int64]  # (edges,)
    value: NDArray[np.float64]  # (edges,), weight or score
    genes: pd.Index | None = None  # names of the n genes, where known

    @property
    def source(self) -> NDArray[np.int64]:
        """Number of each edge's regulator."""
        return self.key // self.n

    @property
    def target(self) -> NDArray[np.int64]:
        """Number of each edge's target."""
        return self.key % self.n

    def __len__(self) -> int:
        return len(self.key)

    def keep(self, which: NDArray[np.bool_]) -> Self:
        """Return the list of some edges."""
        return type(self)(self.n, self.key[which], self.value[which], self.genes)

    def without_self(self) -> Self:
        """Return the edges that join two different genes."""
        return self.keep(self.source != self.target)

    def nonzero(self) -> Self:
        """Return the edges whose value is not exactly zero."""
        return self.keep(self.value != 0)

    def holds(self, key: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of `key` are edges of this list."""
        return np.isin(key, self.key, assume_unique=False)

    def values_at(self, key: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value of each pair in `key`, 0 where the pair is not listed."""
        if not len(self):
            return np.zeros(len(key))
        at = np.minimum(np.searchsorted(self.key, key), len(self) - 1)
        return np.where(self.key[at] == key, self.value[at], 0.0)


def is_anndata(value: object) -> "TypeGuard[AnnData]":
    """Say whether `value` is an AnnData, by its slots (its import is slow and not needed here)."""
    return hasattr(value, "varp") and hasattr(value, "var_names")


def align(
    grn: GRN,
    *others: GRN,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
    value: str | None = None,
    arguments: tuple[str, ...] = ("grn", "truth", "prior"),
) -> tuple[EdgeList, ...]:
    """Return `grn` and the networks it is compared with as edge lists over one set of genes.

    The set is `genes` where given, else the modelled genes of an AnnData, else the rows of a matrix, else the names
    that occur in the tables; edges of a table that name other genes are left out and counted in the log.
    """
    if is_anndata(grn):
        others = tuple(_from_slot(grn, other) if isinstance(other, str) else other for other in others)
        grn, others, genes = _modelled(grn, others, genes, key)
    names = None if genes is None else pd.Index(np.asarray(list(genes), dtype=object))
    if names is not None and names.has_duplicates:
        raise ValueError(f"genes: names repeat ({', '.join(map(str, names[names.duplicated()][:3]))}).")
    networks = (grn, *others)
    matrices = [network for network in networks if not isinstance(network, pd.DataFrame)]
    if names is None and not matrices:
        names = _named_in([network for network in networks if isinstance(network, pd.DataFrame)])
        logger.debug("Networks compared over the %d genes named in the tables; pass genes= for others.", len(names))
    n = len(names) if names is not None else _size(matrices[0])
    return tuple(
        from_table(network, names, argument=title, value=value if i == 0 else None, unique=i == 0)
        if isinstance(network, pd.DataFrame)
        else from_matrix(network, n, names, argument=title)
        for i, (network, title) in enumerate(zip(networks, arguments, strict=False))
    )


def from_matrix(matrix: Any, n: int, genes: pd.Index | None, *, argument: str) -> EdgeList:
    """Return the stored entries of an (n, n) matrix whose rows regulate its columns; explicit zeros are no edges."""
    if not hasattr(matrix, "shape") or len(matrix.shape) != 2:
        raise TypeError(
            f"{argument} must be a sparse or dense matrix (row regulates column), a table with columns source and "
            f"target, or an AnnData; found {type(matrix).__name__}."
        )
    if matrix.shape != (n, n):
        raise ValueError(f"{argument} has shape {matrix.shape}, expected ({n}, {n}): one row and column a gene.")
    entries = sparse.coo_array(matrix)
    entries.sum_duplicates()
    value = np.asarray(entries.data, dtype=np.float64)
    key = entries.row.astype(np.int64) * n + entries.col
    return _sorted(key, value, n, genes, argument).nonzero()


def from_table(
    table: pd.DataFrame, genes: pd.Index | None, *, argument: str, value: str | None = None, unique: bool = False
) -> EdgeList:
    """Return the edges of a table among `genes`; a pair listed twice raises if `unique`, else its first row counts."""
    if genes is None:
        raise ValueError("A matrix is compared with a table of names: pass genes=, the names of the matrix's rows.")
    missing = [column for column in ("source", "target", value) if column is not None and column not in table]
    if missing:
        raise ValueError(f"{argument} has no column {missing[0]!r}.{suggest(missing[0], table.columns.astype(str))}")
    n = len(genes)
    ends = [genes.get_indexer(pd.Index(np.asarray(table[end], dtype=object))) for end in ("source", "target")]
    known = (ends[0] >= 0) & (ends[1] >= 0)
    if len(table) and not known.any():
        raise ValueError(
            f"{argument}: none of its {len(table)} edges joins two of the {n} genes; it names e.g. "
            f"{table['source'].iloc[0]!r} -> {table['target'].iloc[0]!r}, the genes are e.g. "
            f"{', '.join(map(repr, genes[:3]))}. Is the case or the kind of identifier another one?"
        )
    if not known.all():
        logger.info("%s: %d of %d edges name genes outside the network.", argument, int((~known).sum()), len(table))
    column = value or ("weight" if "weight" in table else None)
    values = np.ones(len(table)) if column is None else table[column].to_numpy(dtype=np.float64)
    key = ends[0][known].astype(np.int64) * n + ends[1][known]
    first = np.unique(key, return_index=True)[1]
    if unique and len(first) < len(key):
        raise ValueError(f"{argument} lists {len(key) - len(first)} edges more than once: one row an edge is needed.")
    return _sorted(key[first], values[known][first], n, genes, argument)


def _sorted(
    key: NDArray[np.int64], value: NDArray[np.float64], n: int, genes: pd.Index | None, argument: str
) -> EdgeList:
    if not np.isfinite(value).all():
        raise ValueError(f"{argument} holds {int((~np.isfinite(value)).sum())} values that are not finite.")
    order = np.argsort(key, kind="stable")
    return EdgeList(n, key[order], value[order], genes)


def _size(matrix: Any) -> int:
    shape = getattr(matrix, "shape", None)
    if shape is None:
        raise TypeError(f"Expected a matrix, a table or an AnnData, found {type(matrix).__name__}.")
    return int(shape[0])


def _named_in(tables: Iterable[pd.DataFrame]) -> pd.Index:
    found: list[Any] = []
    for table in tables:
        for end in ("source", "target"):
            if end in table:
                found.append(np.asarray(table[end], dtype=object))
    return (
        pd.Index(np.unique(np.concatenate(found).astype(str)).astype(object)) if found else pd.Index([], dtype=object)
    )


def _from_slot(adata: "AnnData", name: str) -> GRN:
    if name in adata.varp:
        return adata.varp[name]
    if name in adata.uns:
        return adata.uns[name]
    options = [*adata.uns, *adata.varp]
    raise KeyError(f"{name!r} is neither in adata.uns nor in adata.varp.{suggest(name, options)}")


def _modelled(
    adata: "AnnData", others: tuple[GRN, ...], genes: Iterable[str] | None, key: str
) -> tuple[GRN, tuple[GRN, ...], list[str]]:
    """Cut the network under `key` (a fit, or any varp matrix) and matrices of the same size to the genes asked for."""
    slots = DynamicsKeys(key)
    name = key if key in adata.varp else slots.grn
    if name not in adata.varp:
        raise KeyError(f"No network under adata.varp[{slots.grn!r}].{suggest(slots.grn, adata.varp.keys())}")
    names = pd.Index(adata.var_names)
    if genes is not None:
        rows = all_genes(genes, names, "genes", where="adata.var_names", error=ValueError)
    elif name != key and slots.genes in adata.var:
        rows = np.flatnonzero(np.asarray(adata.var[slots.genes], dtype=bool))
    else:
        rows = np.arange(len(names))

    def cut(network: GRN) -> GRN:
        if isinstance(network, pd.DataFrame) or getattr(network, "shape", None) != (len(names), len(names)):
            return network
        return sparse.csr_array(network)[rows][:, rows]

    return cut(adata.varp[name]), tuple(cut(other) for other in others), list(names[rows])
