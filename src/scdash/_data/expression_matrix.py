"""Checked reading of X or a layer, whatever array type it is, in blocks of rows: the matrix is never densified whole."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._core.types import Genes
from scdash._data.batches import BatchOffsets
from scdash._data.checks import check_adata, gene_indices, gene_mask
from scdash._data.dense import as_dense

if TYPE_CHECKING:
    from anndata import AnnData


ROWS = 4096  # rows read at once: 4096 x 3000 genes are 50 MB in float32
CHUNK_BYTES = 2**28  # of a dense dask chunk that is made whole
MANY_NEGATIVE = 0.2  # fraction of negative values from which they are no noise around 0
CENTRED = 0.2  # median distance of the genes' means from 0, in their standard deviations, up to which they are centred
EVEN = 1.25  # ratio of the quartiles of the genes' standard deviations up to which they are all the same
LARGEST_LOG = 30.0  # log1p(1e13): no count in any assay, and no sum of them, gets there


@dataclass(frozen=True)
class Expression:
    """Cells by genes as stored (dense, CSR, dask or on disk), with the columns of interest and what was seen in them."""

    matrix: Any
    columns: NDArray[np.int64] | None  # None: every column
    genes: pd.Index
    name: str  # for messages, e.g. "adata.layers['counts']"
    minimum: float = np.nan
    maximum: float = np.nan
    integers: bool = False
    offsets: BatchOffsets | None = None  # taken away from every row that is read; blocks are dense then
    rows: NDArray[np.int64] | None = None  # of the matrix, sorted; the same row may come several times. None: every row

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return int(self.matrix.shape[0]) if self.rows is None else len(self.rows), len(self.genes)

    @property
    def like_counts(self) -> bool:
        """Whether all values are whole numbers of which some are above 1, as in raw counts."""
        return self.integers and self.minimum >= 0 and self.maximum > 1

    def repeated(self, rows: NDArray[np.int64]) -> "Expression":
        """Return the expression of some rows, sorted, of which one may come several times; nothing is copied."""
        if self.rows is not None or (np.diff(rows) < 0).any():
            raise ValueError("rows must be sorted, and can be chosen once.")
        return replace(self, rows=rows)

    def every_row(self) -> "Expression":
        """Return the expression of every row of the matrix once."""
        return replace(self, rows=None)

    def blocks(self, rows: int = ROWS) -> Iterator[tuple[slice, Any]]:
        """Yield (rows, block), blocks being float arrays or CSR of the chosen genes; arrays where there are offsets."""
        for chunk in _chunks(self.matrix):
            held = _held(self.matrix, chunk)
            for first in range(chunk.start, chunk.stop, rows):
                part = slice(first, min(first + rows, chunk.stop))
                inner = part if held is self.matrix else slice(part.start - chunk.start, part.stop - chunk.start)
                block = _select(held[inner], self.columns)
                if self.offsets is not None:
                    block = self.offsets.removed(block, part)
                if self.rows is None:
                    yield part, block
                    continue
                first_row, last_row = np.searchsorted(self.rows, (part.start, part.stop))
                if last_row > first_row:
                    wanted = slice(int(first_row), int(last_row))
                    yield wanted, block[self.rows[wanted] - part.start]

    def dense_rows(self, rows: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return some rows as a dense array: minibatches and small tables only."""
        if self.rows is not None:
            return self.every_row().dense_rows(self.rows[rows])
        if not isinstance(rows, slice) and not isinstance(self.matrix, np.ndarray) and not sp.issparse(self.matrix):
            # on disk: rows are read in order, and none twice
            wanted, inverse = np.unique(np.asarray(rows), return_inverse=True)
            if len(wanted) < len(inverse) or not np.array_equal(wanted, rows):
                return self.dense_rows(wanted)[inverse]
        block = as_dense(_select(self.matrix[rows], self.columns))
        return block if self.offsets is None else self.offsets.removed(block, rows)

    def dense(self) -> NDArray[np.floating[Any]]:
        """Return everything as a dense array, for tables of a few thousand states."""
        parts = [as_dense(block) for _, block in self.blocks()]
        return np.concatenate(parts) if parts else np.zeros(self.shape)


def expression(
    adata: "AnnData", *, layer: str | None = None, mask_var: Genes | None = None, genes: Any = None, min_cells: int = 2
) -> Expression:
    """Return the expression of some genes, read lazily; one pass has checked that every value is finite.

    X may be dense, sparse, dask, on disk (backed), a view or read-only. `mask_var`: boolean array or var column of the genes;
    None: `highly_variable` if present, else all. Ignored with `genes`, names in the order wanted. `min_cells`: fewest cells
    accepted.
    """
    check_adata(adata, min_cells=min_cells)
    if genes is not None:
        columns = gene_indices(adata, genes)
    else:
        columns = np.flatnonzero(gene_mask(adata, mask_var))
    name, matrix = matrix_of(adata, layer)
    whole = len(columns) == adata.n_vars and np.array_equal(columns, np.arange(adata.n_vars))
    return as_expression(matrix, adata.var_names[columns], name=name, columns=None if whole else columns)


def as_expression(
    X: Any, genes: Any = None, *, name: str = "X", columns: NDArray[np.int64] | None = None
) -> Expression:
    """Return any matrix-like X as a checked `Expression`; an `Expression` is passed through."""
    if isinstance(X, Expression):
        return X
    matrix = _row_sliceable(X, name)
    width = matrix.shape[1] if columns is None else len(columns)
    index = pd.RangeIndex(width) if genes is None else pd.Index(genes)
    if len(index) != width:
        raise ValueError(f"{name} has {width} columns but {len(index)} genes were named.")
    return _survey(Expression(matrix, columns, index, name))


def check_log(values: Expression, *, allow: bool = False) -> None:
    """Raise when values look like counts (all integers) or linear (too large for logarithms), unless allowed."""
    if allow:
        return
    remedy = (
        "Dynamics are learned on log values: run scdash.pp.normalize(adata) first, or pass the layer that holds "
        "log-normalised values as layer."
    )
    if values.like_counts:
        raise ValueError(f"{values.name} looks like raw counts (integers up to {values.maximum:g}). {remedy}")
    if values.maximum > LARGEST_LOG:
        raise ValueError(f"{values.name} has values up to {values.maximum:g}, too large for logarithms. {remedy}")


def scaled_by_scanpy(adata: "AnnData") -> bool:
    """Return whether `adata.var` holds the means and standard deviations that `sc.pp.scale` writes."""
    return {"mean", "std"} <= set(adata.var.columns)


def check_scaled(values: Expression, *, states: bool, known: bool, allow: bool = False) -> bool:
    """Raise, or warn, when values look as if every gene had been centred, as `sc.pp.scale` does, unless allowed.

    Returns whether a warning was logged.

    An error is raised where it is `known` that scanpy has scaled the data (`scaled_by_scanpy`). Otherwise the values may be
    meant to be so, and a warning is logged. Scaled are values of which at least a fifth are negative while the means of most genes are near 0 in units of their
    standard deviation. Noise around 0, and a normalisation that leaves some values below 0, do not look like that.
    `states`: rows are samples of a time course, which may be changes from a reference; refused are then only values
    whose standard deviations are the same for all genes besides.
    """
    if allow or not values.minimum < 0:
        return False
    negative, mean, spread = _moments(values)
    moving = spread > 0
    if negative < MANY_NEGATIVE or not moving.any():
        return False
    offset = float(np.median(np.abs(mean[moving]) / spread[moving]))
    even = float(np.quantile(spread[moving], 0.75) / np.quantile(spread[moving], 0.25))
    if offset > CENTRED or (states and even > EVEN):
        return False
    text = (
        f"{values.name} looks scaled: {negative:.0%} of its values are negative and its genes have means near 0, as after "
        "sc.pp.scale. In such values 0 is the mean of a gene and not its absence, and genes no longer differ in size. Pass "
        "the layer that holds the log-normalised values from before scaling as layer, or, where adata.raw holds them, fit "
        "adata.raw.to_adata(). If the values are meant to be so, such as changes from a reference, say allow_scaled=True."
    )
    if known:
        raise ValueError(f"{text} (adata.var holds the means and standard deviations that sc.pp.scale has written.)")
    logger.warning("%s The fit goes on: a knocked-out gene is held at the lowest value seen instead of at 0.", text)
    return True


def _moments(values: Expression) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the fraction of negative values, and mean and standard deviation of every gene."""
    cells, genes = values.shape
    negative, total, square = 0, np.zeros(genes), np.zeros(genes)
    for _, block in values.blocks():
        data = block.data if sp.issparse(block) else block
        negative += int((data < 0).sum())
        total += np.asarray(block.sum(axis=0)).ravel()
        square += np.asarray((block.multiply(block) if sp.issparse(block) else block * block).sum(axis=0)).ravel()
    mean = total / cells
    return negative / max(cells * genes, 1), mean, np.sqrt(np.maximum(square / cells - mean**2, 0))


def check_counts(values: Expression) -> None:
    """Raise unless values could be counts or other linear abundances: nothing negative, not logged already."""
    if values.minimum < 0:
        raise ValueError(
            f"{values.name} has negative values (down to {values.minimum:g}): it is scaled or logged already. Pass the "
            "layer that holds counts as layer."
        )
    if not values.integers and values.maximum <= LARGEST_LOG:
        raise ValueError(
            f"{values.name} is not integer and at most {values.maximum:.3g}: it looks logged already. Pass the layer "
            "that holds counts as layer, or skip normalisation."
        )


def matrix_of(adata: "AnnData", layer: str | None, *, name: str = "adata", argument: str = "layer") -> tuple[str, Any]:
    """Return X or a layer with its name for messages; `name` and `argument` are what the user calls `adata` and `layer`."""
    held = [key for key in adata.layers if key is not None]  # anndata 0.13 files X under None
    if layer is None:
        if adata.X is None:
            raise ValueError(f"{name}.X is empty (None); pass one of the layers {held} as {argument}.")
        return f"{name}.X", adata.X
    if layer not in held:
        raise KeyError(f"{argument}={layer!r} is not in {name}.layers.{suggest(layer, held)}")
    return f"{name}.layers[{layer!r}]", adata.layers[layer]


def _row_sliceable(X: Any, name: str) -> Any:
    """Return X such that X[rows] is cheap, without ever densifying."""
    if isinstance(X, pd.DataFrame):
        X = X.to_numpy()
    if sp.issparse(X):
        return X if X.format == "csr" else X.tocsr()
    if getattr(X, "format", None) == "csc" and hasattr(X, "to_memory"):  # on disk by columns: rows would be scattered
        return X.to_memory().tocsr()
    if not hasattr(X, "shape") or not hasattr(X, "__getitem__"):
        X = np.asarray(X)
    if len(X.shape) != 2:
        raise ValueError(f"{name} must be two-dimensional, found shape {tuple(X.shape)}.")
    dtype = getattr(X, "dtype", None)
    if dtype is not None and np.dtype(dtype).kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, found dtype {dtype}.")
    return X


def _chunks(matrix: Any) -> Iterator[slice]:
    """Yield the rows of each chunk of a dask array, or all rows of anything else."""
    chunks = getattr(matrix, "chunks", None)
    lengths = chunks[0] if hasattr(matrix, "compute") and chunks is not None else (int(matrix.shape[0]),)
    stops = np.cumsum((0, *lengths))
    for start, stop in zip(stops[:-1], stops[1:], strict=True):
        yield slice(int(start), int(stop))


def _held(matrix: Any, chunk: slice) -> Any:
    """Return a chunk of a dask array in memory, so that it is made once and not for every block of its rows.

    Sparse chunks have to be made whole anyhow; dense ones may be read in part, and are where they are large.
    """
    if not hasattr(matrix, "compute"):
        return matrix
    size = (chunk.stop - chunk.start) * matrix.shape[1] * matrix.dtype.itemsize
    sparse_chunks = sp.issparse(getattr(matrix, "_meta", None))
    return matrix[chunk].compute() if sparse_chunks or size <= CHUNK_BYTES else matrix


def _select(block: Any, columns: NDArray[np.int64] | None) -> Any:
    if hasattr(block, "compute"):
        block = block.compute()
    if sp.issparse(block):
        block = block.tocsr()
        block = block if columns is None else block[:, columns]
    else:
        block = np.asarray(block)
        block = block if columns is None else block[:, columns]
    if not block.dtype.isnative:  # as some files are written; torch reads no other order of bytes than the machine's
        block = block.astype(block.dtype.newbyteorder("="))
    if block.dtype == np.float16:  # SciPy knows no such matrices, and sums of counts overflow at 65,504
        return block.astype(np.float32)
    return block if block.dtype.kind == "f" else block.astype(np.float64)


def _survey(values: Expression) -> Expression:
    """One pass: everything finite, range, integers or not."""
    low, high, integers = np.inf, -np.inf, True
    for part, block in values.blocks():
        data = block.data if sp.issparse(block) else block
        if not np.isfinite(data).all():
            _raise_not_finite(values, part, block)
        implicit_zero = sp.issparse(block) and block.nnz < block.shape[0] * block.shape[1]
        if data.size:
            low, high = min(low, float(data.min())), max(high, float(data.max()))
            integers = integers and bool(np.array_equal(data, np.rint(data)))
        if implicit_zero:
            low, high = min(low, 0.0), max(high, 0.0)
    return Expression(values.matrix, values.columns, values.genes, values.name, low, high, integers)


def _raise_not_finite(values: Expression, part: slice, block: Any) -> None:
    if sp.issparse(block):
        entries = block.tocoo()
        bad = ~np.isfinite(entries.data)
        cells, genes = entries.row[bad], entries.col[bad]
    else:
        cells, genes = np.nonzero(~np.isfinite(block))
    raise ValueError(
        f"{values.name} is NaN or infinite, first at cell {part.start + int(cells[0])}, gene "
        f"{values.genes[int(genes[0])]!r}. Dynamics cannot be learned from missing values; fill or drop them."
    )
