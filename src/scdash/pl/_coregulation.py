"""Which regulators act alike: the correlation between their effects."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scdash.metrics.edge_lists import GRN
from scdash.pl.shared.labels import room, ticks
from scdash.pl.shared.options import drawing
from scdash.pl.shared.order import cluster_order, strengths, strongest
from scdash.pl.shared.points import color_bar
from scdash.pl.shared.read import networks, positions
from scdash.pl.shared.style import FAINT, ColorScale, Drawn, color_scale, finish, house, panels, signed_norm

_MAX_LABELS = 60


@drawing
def coregulation(
    data: GRN,
    *,
    key: str = "dynamics",
    truth: GRN | None = None,
    prior: GRN | None = None,
    genes: Sequence[str] | None = None,
    regulators: Sequence[str] | None = None,
    n_top: int | None = 100,
    **scale: Unpack[ColorScale],
) -> Drawn:
    """Draw the correlation between regulators' effects on all targets (Figure 2 of the DASH paper).

    Red pairs drive the same targets in the same direction, blue pairs in opposite directions; the diagonal, each regulator
    with itself, is left grey. The truth or the prior
    stands beside it with the same regulators in the same order, which comes from clustering all panels together.

    Parameters
    ----------
    data, key, truth, prior, genes
        As in :func:`scdash.pl.effects`.
    regulators
        Regulators to compare; default the `n_top` with the largest summed effects.
    n_top
        How many regulators to draw at most; None for all (up to 2,000).
    **scale
        Colours: `cmap`, `vmin`, `vmax`, `vcenter` (0), as scanpy names them. By default the scale is symmetric about zero and
        ends at the 98 % quantile of the correlations. Arrows at the ends of the colour bar say that there are larger ones.

    See Also
    --------
    scdash.tl.coregulation : Correlate the effects of every two regulators that share a target.
    scdash.pl.effects : Draw the network as a heat map: red where a regulator activates a target, blue where it represses it.

    Examples
    --------
    >>> ax = scdash.pl.coregulation(adata, n_top=5)
    """
    cmap, limits = color_scale(scale)
    beside = {title: network for title, network in (("truth", truth), ("prior", prior)) if network is not None}
    names, matrices = networks(data, *beside.values(), key=key, genes=genes)
    if regulators is not None:
        chosen = positions(regulators, names, argument="regulators")
    else:
        chosen = strongest(strengths(matrices, 1), min(n_top or 2000, 2000))
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} regulator with an effect found: two are needed to compare their effects.")
    related = [effect_correlation(matrix[chosen]) for matrix in matrices]
    order = cluster_order(np.hstack([np.nan_to_num(matrix) for matrix in related]))
    labels = names[chosen[order]]
    with house():
        inches = float(np.clip(1.4 + 0.15 * len(chosen), 3.6, 8.0)) if len(chosen) <= _MAX_LABELS else 4.6
        more = room(labels, 7) if len(labels) <= _MAX_LABELS else 0.0
        figure, axes = panels(len(related), scale, size=(inches + more, inches * 0.92 + more))
        pairs = np.concatenate([matrix[~np.eye(len(matrix), dtype=bool)] for matrix in related])
        norm = signed_norm(pairs, **limits, quantile=0.98)
        beyond = (bool(np.nanmin(pairs, initial=0) < norm.vmin), bool(np.nanmax(pairs, initial=0) > norm.vmax))
        for i, (panel, side, matrix) in enumerate(zip(axes, ["model", *beside], related, strict=True)):
            shown = matrix[np.ix_(order, order)]
            np.fill_diagonal(shown, np.nan)  # 1 by definition: it would be all that is seen
            image = panel.imshow(shown, cmap=cmap, norm=norm, aspect="auto")
            panel.set_facecolor(FAINT)
            silent = int(np.isnan(np.diag(matrix)).sum())
            panel.set_title(f"{side}{f' ({silent} without an effect, grey)' if silent else ''}", loc="left")
            panel.set_xlabel("regulator" if len(chosen) <= _MAX_LABELS else f"{len(chosen):,} regulators")
            panel.spines[:].set_visible(True)
            named = labels if len(labels) <= _MAX_LABELS else labels[:0]
            panel.set_xticks(range(len(named)), ticks(named), rotation=90, fontsize=7)
            panel.set_yticks(range(len(named)), ticks(named) if i == 0 else [""] * len(named), fontsize=7)
            panel.tick_params(length=0)
        axes[0].set_ylabel(axes[0].get_xlabel())
        color_bar(image, axes, "correlation between effects", beyond)
    return finish(figure, axes, "coregulation", scale)


def effect_correlation(effects: sparse.csr_array) -> NDArray[np.float64]:
    """Return Pearson's correlation between the rows of a sparse matrix without making it dense; NaN for zero rows."""
    n = effects.shape[1]
    mean = np.asarray(effects.sum(axis=1)).ravel() / n
    covariance = (effects @ effects.T).toarray() / n - np.outer(mean, mean)
    spread = np.sqrt(np.clip(np.diag(covariance), 0, None))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = covariance / np.outer(spread, spread)
    found[(spread == 0)[:, None] | (spread == 0)[None]] = np.nan
    return np.asarray(np.clip(found, -1, 1))
