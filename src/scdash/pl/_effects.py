"""The effects matrix: who acts on whom, beside the truth or the prior in the same order."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import check_choice, check_least
from scdash.metrics.edge_lists import GRN
from scdash.pl.shared.labels import room, ticks
from scdash.pl.shared.options import drawing
from scdash.pl.shared.order import (
    MOST_CLUSTERED,
    cluster_order,
    staircase_order,
    strengths,
    strongest,
    strongest_in_blocks,
)
from scdash.pl.shared.points import color_bar
from scdash.pl.shared.read import networks, positions
from scdash.pl.shared.style import ColorScale, Drawn, color_scale, finish, house, panels, signed_norm

_MAX_CELLS = 200  # rows or columns of an image
_MAX_LABELS = 60  # genes a side that are named


@drawing
def effects(
    data: GRN,
    *,
    key: str = "dynamics",
    truth: GRN | None = None,
    prior: GRN | None = None,
    values: Literal["weight", "contribution"] = "weight",
    genes: Sequence[str] | None = None,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    n_top: int | None = None,
    order: Literal["staircase", "cluster", "given"] = "staircase",
    regulators_on: Literal["rows", "columns"] = "rows",
    **scale: Unpack[ColorScale],
) -> Drawn:
    """Draw the network as a heat map: red where a regulator activates a target, blue where it represses it.

    The truth and the prior stand beside it with the same genes in the same order (Figures 4 and 5 of the DASH paper,
    which have the regulators on the columns). Genes without any effect in any panel are left out. Where more than 200
    regulators or targets remain, every cell shows the strongest effect of a block of genes.

    Parameters
    ----------
    data
        AnnData with a fit, the table of ``scdash.get.grn``, or a matrix (row regulates column) with `genes`.
    key
        Name of the fit.
    truth, prior
        Networks to draw beside it: tables (source, target[, weight]), matrices, or names of slots of the AnnData.
    values
        ``"weight"``, or ``"contribution"``: the relative contribution with the sign of the weight.
    genes
        Genes to compare over; default the modelled ones. Names of the rows of a bare matrix.
    regulators, targets
        Genes to draw, in this order if ``order="given"``; default all with an effect.
    n_top
        Draw only the regulators and the targets with the largest summed effects, as many of each.
    order
        ``"staircase"`` puts hubs first and every target behind its main regulator, ``"cluster"`` clusters both sides,
        ``"given"`` keeps the order. Orders are found on all panels together.
    regulators_on
        ``"rows"`` or ``"columns"`` (for few transcription factors and many targets, or as the paper does).
    **scale
        Colours: `cmap`, `vmin`, `vmax`, `vcenter` (0), as scanpy names them. By default the scale is symmetric about zero and
        ends at the 95 % quantile of the effects. Arrows at the ends of the colour bar say that there are effects beyond.

    See Also
    --------
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.
    scdash.pl.network : Draw the strongest edges of the network.
    scdash.pl.coregulation : Draw the correlation between regulators' effects on all targets (Figure 2 of the DASH paper).

    Examples
    --------
    >>> scdash.pl.effects(adata, truth="truth", n_top=40)  # doctest: +SKIP
    """
    check_choice("order", order, ["staircase", "cluster", "given"])
    check_choice("regulators_on", regulators_on, ["rows", "columns"])
    cmap, limits = color_scale(scale)
    beside = {title: network for title, network in (("truth", truth), ("prior", prior)) if network is not None}
    names, matrices = networks(data, *beside.values(), key=key, genes=genes, values=values)
    if not any(matrix.nnz for matrix in matrices):
        raise ValueError("The network has no edge: there is nothing to draw.")
    rows, columns = _choose(names, matrices, regulators, targets, n_top)
    dense = [matrix[rows][:, columns].toarray() for matrix in matrices]
    by_row, by_column = _orders(dense, order)
    dense = [matrix[np.ix_(by_row, by_column)] for matrix in dense]
    labels = (names[rows[by_row]], names[columns[by_column]])
    if regulators_on == "columns":
        dense, labels = [matrix.T for matrix in dense], labels[::-1]
    with house():
        figure, axes = panels(len(dense), scale, size=_size(labels))
        sides = ("regulator", "target") if regulators_on == "rows" else ("target", "regulator")
        for i, (panel, side, matrix) in enumerate(zip(axes, ["model", *beside], dense, strict=True)):
            image, block = _draw(panel, matrix, cmap, limits if i == 0 else {})
            _name(panel, labels, sides, first=i == 0)
            if max(block) > 1:
                note = f"(each square shows the strongest of {block[0]} x {block[1]} effects)"
                panel.set_xlabel(f"{panel.get_xlabel()}\n{note}")
            drawn = f"{side}: {np.count_nonzero(matrix):,} edges"
            shared = [other for name, other in zip(["model", *beside], dense, strict=True) if name == "prior"]
            if i == 0 and shared:  # the prior stands beside it: say how many edges are novel
                drawn += f", {np.count_nonzero((matrix != 0) & (shared[0] == 0)):,} not in the prior"
            panel.set_title(drawn, loc="left")
            if i == 0 or not _only_signs(matrix):
                _scale(panel, image, values if i == 0 else "weight", matrix)
    return finish(figure, axes, "effects", scale)


def _choose(
    names: pd.Index,
    matrices: list[sparse.csr_array],
    regulators: Sequence[str] | None,
    targets: Sequence[str] | None,
    n_top: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns to draw: those asked for, else those with an effect, at most the strongest."""
    check_least("n_top", n_top, 1)
    rows = None if regulators is None else positions(regulators, names, argument="regulators")
    columns = None if targets is None else positions(targets, names, argument="targets")
    most = n_top or MOST_CLUSTERED
    if rows is None:
        within = matrices if columns is None else [matrix[:, columns] for matrix in matrices]
        rows = strongest(strengths(within, 1), most)
    if columns is None:
        columns = strongest(strengths([matrix[rows] for matrix in matrices], 0), most)
    if regulators is None:  # with few columns some of the strongest rows would be empty
        rows = rows[strengths([matrix[:, columns] for matrix in matrices], 1)[rows] > 0]
    if not len(rows) or not len(columns):
        raise ValueError("None of the genes asked for has an effect in the network: choose other genes.")
    return rows, columns


def _orders(dense: list[NDArray[Any]], order: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # each panel weighs the same, whatever the units of its weights
    together = np.sum([matrix / (np.abs(matrix).max(initial=0.0) or 1.0) for matrix in dense], axis=0)
    if order == "given":
        return np.arange(together.shape[0]), np.arange(together.shape[1])
    if order == "cluster":
        return cluster_order(together), cluster_order(together.T)
    return staircase_order(together)


def _size(labels: tuple[pd.Index, pd.Index]) -> tuple[float, float]:
    """Return inches a panel: room for names where there are few genes, an image where there are many."""
    height, width = (
        float(np.clip(1.4 + 0.16 * len(side), 3.2, 9.5)) if len(side) <= _MAX_LABELS else 4.6 for side in labels
    )
    down, across = (room(side) if len(side) <= _MAX_LABELS else 0.0 for side in labels)
    return max(width, 3.6) + 0.6 + down, height + across


def _draw(ax: Axes, matrix: NDArray[Any], cmap: str | Colormap, limits: dict[str, Any]) -> tuple[Any, tuple[int, int]]:
    shown, block = strongest_in_blocks(matrix, _MAX_CELLS)
    # edges that are only signs are drawn a little inside the ends of the scale, where red and blue are bright
    norm = signed_norm(1.3 * matrix if _only_signs(matrix) else matrix, **limits)
    extent = (0, shown.shape[1] * block[1], shown.shape[0] * block[0], 0)
    image = ax.imshow(shown, cmap=cmap, norm=norm, aspect="auto", interpolation="nearest", extent=extent)
    ax.set(xlim=(0, matrix.shape[1]), ylim=(matrix.shape[0], 0))
    ax.spines[:].set_visible(True)
    return image, block


def _name(ax: Axes, labels: tuple[pd.Index, pd.Index], sides: tuple[str, str], *, first: bool) -> None:
    """Name few genes one by one, and say how many there are of many."""
    for axis, names, side in ((ax.yaxis, labels[0], sides[0]), (ax.xaxis, labels[1], sides[1])):
        named = names if len(names) <= _MAX_LABELS else names[:0]
        shown = first or axis is ax.xaxis
        axis.set_ticks(np.arange(len(named)) + 0.5, ticks(named) if shown else [""] * len(named))
        axis.set_tick_params(length=0, labelsize=8 if len(named) <= 40 else 7)
        if shown:
            axis.set_label_text(side if len(named) else f"{len(names):,} {side}s")
    ax.tick_params(axis="x", labelrotation=90)


def _only_signs(matrix: NDArray[Any]) -> bool:
    return bool(np.isin(matrix, (-1.0, 0.0, 1.0)).all())


def _scale(ax: Axes, image: Any, values: str, matrix: NDArray[Any]) -> None:
    """Draw the colour bar; arrows at its ends say that there are effects beyond."""
    beyond = (bool(matrix.min() < image.norm.vmin), bool(matrix.max() > image.norm.vmax))
    color_bar(image, ax, "effect (weight)" if values == "weight" else "relative contribution", beyond)
