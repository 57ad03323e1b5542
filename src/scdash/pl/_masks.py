"""Which weights are left in every matrix of a model."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.keys import require_fit
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import named, slot
from scdash.pl.shared.style import Drawn, finish, house, panels

_ORDER = ("W_sums", "W_prods", "U_sums", "U_prods")
_CHAINS = (
    ("W_sums", "U_sums"),
    ("W_prods", "U_prods"),
    ("B", "A"),
)  # layers from regulators to targets, each (out, in)
_HIDDEN = "hidden unit"
_MAX_CELLS = 360  # rows or columns of an image; larger matrices are drawn as the density of blocks


@drawing
def masks(
    adata: AnnData,
    *,
    key: str = "dynamics",
    names: str | Sequence[str] | None = None,
    cmap: str | Colormap = "Greys",
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the sparsity pattern of every weight matrix, for developers: dark where a weight is left, the fraction left in the title.

    To look at the network itself use `scdash.pl.effects` or `scdash.pl.network`: a weight between genes and hidden units is
    no regulation yet.

    Matrices that join genes and hidden units are drawn with the genes along the horizontal axis, so that the columns
    of the first layer (what a gene sends) and of the second (what it receives) stand above each other. Matrices larger
    than the image show the fraction of weights left in blocks.

    Parameters
    ----------
    adata
        AnnData with a fit; its stored masks are used, and non-zero weights where there is no mask.
    key
        Name of the fit.
    names
        Matrices to draw (``W_sums``, ``U_sums``, ...); default all.
    cmap
        Colours from no weight to weight.

    See Also
    --------
    scdash.get.model : Rebuild the fitted model from `adata.uns[key]`.
    scdash.pl.effects : Draw the network as a heat map: red where a regulator activates a target, blue where it represses it.

    Examples
    --------
    >>> ax = scdash.pl.masks(adata)
    """
    weights = slot(adata, key, "weights")
    entry = require_fit(adata, key)
    stored = entry.get("masks") or {}
    # h5ad sorts the names of a dictionary, so the order is ours: first layers first, then the rest by name
    known = sorted(weights, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    matrices = {name: stored.get(name, weights[name]) for name in known if len(np.shape(weights[name])) == 2}
    wanted = named("weight matrix", names, matrices)
    if not wanted:
        raise ValueError(f"No weight matrix to draw; adata.uns[{key!r}]['weights'] holds {list(weights)}.")
    n_genes = len(entry.get("genes", ()))
    with house():
        square = all(np.shape(matrices[name])[0] == np.shape(matrices[name])[1] for name in wanted)
        size = (4.4, 4.2) if square else (6.4, 1.7)
        figure, axes = panels(len(wanted), page, ncols=len(wanted) if square else 1, size=size)
        for panel, name in zip(axes, wanted, strict=True):
            sides = _sides(name, np.shape(matrices[name]), n_genes, known)
            _draw(panel, name, sparse.csr_array(matrices[name]) != 0, sides, cmap)
    return finish(figure, axes, "masks", page)


def _sides(name: str, shape: tuple[int, ...], n_genes: int, names: Sequence[str]) -> tuple[str, str]:
    """Return what the rows and the columns of a weight matrix are: known from the layers that it stands among, else from its size."""
    numbered = sorted(
        (other for other in names if other[:1] == name[:1] and other[1:].isdigit()), key=lambda other: int(other[1:])
    )
    chains = [[layer for layer in chain if layer in names] for chain in (*_CHAINS, numbered)]
    chain = next((chain for chain in chains if name in chain), [name])
    if len(chain) > 1:
        return "target gene" if name == chain[-1] else _HIDDEN, "regulator gene" if name == chain[0] else _HIDDEN
    if name == "U_prods":
        return "target gene", "pair of regulators"
    if shape[0] == shape[1]:
        return "target", "regulator"
    return ("target gene", _HIDDEN) if shape[0] == n_genes else (_HIDDEN, "regulator gene")


def _draw(ax: Axes, name: str, kept: Any, sides: tuple[str, str], cmap: str | Colormap) -> None:
    rows, columns = kept.shape
    density = kept.count_nonzero() / (rows * columns)
    labels = sides[::-1]
    if sides[0] == "target gene":  # lay it down, so that genes are across
        kept, labels = kept.T, sides
    image, block = block_density(sparse.csr_array(kept), _MAX_CELLS)
    binary = max(block) == 1
    if not binary:  # coarser blocks, and the root of their density: a single weight among many must be seen
        image, block = block_density(sparse.csr_array(kept), _MAX_CELLS // 3)
        labels = (f"{labels[0]}\n(shade: weights left in blocks of {block[0]} x {block[1]})", labels[1])
    extent = (0, image.shape[1] * block[1], image.shape[0] * block[0], 0)
    ax.imshow(np.sqrt(image), cmap=cmap, vmin=0, vmax=max(float(np.sqrt(image).max()), 1e-12), aspect="auto",
              extent=extent, interpolation="nearest")  # fmt: skip
    ax.set(xlim=(0, kept.shape[1]), ylim=(kept.shape[0], 0), xlabel=labels[0], ylabel=labels[1])
    ax.set_title(f"{name}: {percent(density)} of {rows:,} x {columns:,} left", loc="left")
    ax.spines[:].set_visible(True)


def block_density(pattern: sparse.csr_array, most: int) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the fraction of entries present in blocks, at most `most` blocks a side, and the size of a block."""
    block = (-(-pattern.shape[0] // most), -(-pattern.shape[1] // most))
    entries = pattern.tocoo()
    shape = (-(-pattern.shape[0] // block[0]), -(-pattern.shape[1] // block[1]))
    counts = np.zeros(shape)
    np.add.at(counts, (entries.row // block[0], entries.col // block[1]), entries.data != 0)
    inside = [
        np.minimum(np.arange(1, count + 1) * step, total) - np.arange(count) * step
        for count, step, total in zip(shape, block, pattern.shape, strict=True)
    ]
    return counts / np.outer(*inside), block


def percent(fraction: float) -> str:
    """Return a fraction as text with two significant figures: 0.49 %, 5.0 %, 100 %."""
    value = 100 * fraction
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %" if value >= 0.995 else f"{value:.2g} %"
