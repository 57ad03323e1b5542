"""Predicted against observed regimes of a screen: mean changes gene by gene, or cells on a UMAP."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from scdash._errors import unknown
from scdash._keys import require_fit
from scdash.pl._style import FAINT, INK, MUTED, PALETTE, Drawn, bare, finish, house, panels

MOST = 9  # panels drawn unasked


def perturbation(
    adata: Any,
    predicted: Any,
    *,
    kind: Literal["change", "cells"] | None = None,
    regimes: Sequence[str] | None = None,
    key: str = "dynamics",
    n_cols: int = 3,
    n_labels: int = 5,
    size: float = 8,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw predicted against observed regimes, one panel each.

    "change": predicted against observed mean change from control, one dot a gene. Targets of the intervention are
    drawn apart and left out of the correlation, which they would flatter. "cells": predicted, observed and control
    cells on their common UMAP.

    Parameters
    ----------
    adata
        AnnData with a fit of a screen: holds the observed changes.
    predicted
        AnnData of `scdash.tl.predict_perturbations`; with `n_cells=` for "cells".
    kind
        See above; None: what `predicted` holds.
    regimes
        Which to draw; default all predicted ones (for "change": that were observed), at most nine.
    key
        The `key_added` of the fit.
    n_cols
        Panels a row.
    n_labels
        Genes named per panel, those with the largest observed change.
    size
        Size of the dots.
    ax, show, return_fig
        See :mod:`scdash.pl`.

    Examples
    --------
    >>> cells = scdash.tl.predict_perturbations(adata, ["G001", "G001+G002"], n_cells=50)  # doctest: +SKIP
    >>> scdash.pl.perturbation(adata, cells)  # doctest: +SKIP
    """
    screen: Any = require_fit(adata.uns, key).get("screen")
    if screen is None:
        raise ValueError(f"uns[{key!r}] is no fit of a screen; pl.perturbation compares regimes of one.")
    found = "cells" if "source" in predicted.obs else "change"
    if kind not in (None, "change", "cells"):
        raise unknown("kind", kind, ("change", "cells"))
    if kind not in (None, found):
        raise ValueError(f"kind={kind!r} needs predict_perturbations(adata, ...{', n_cells=50' * (kind == 'cells')}).")
    known = _known(screen, predicted, found)
    chosen = known[:MOST] if regimes is None else list(regimes)
    for name in chosen:
        if name not in known:
            raise unknown("regime", name, known)
    if not chosen:
        raise ValueError("predicted: none of its perturbations was observed in the screen; nothing to compare.")
    with house():
        figure, axes = panels(len(chosen), ax, n_cols=n_cols, size=(2.8, 2.8))
        for panel, name in zip(axes, chosen, strict=True):
            if found == "change":
                _draw_change(panel, screen, predicted, name, n_labels, size)
            else:
                _draw_cells(panel, predicted, name, size)
        axes[0].legend(fontsize=6, loc="upper left")
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


def _known(screen: Any, predicted: Any, kind: str) -> list[str]:
    """Return the perturbations that can be drawn, in the order of the prediction."""
    labels = predicted.obs["perturbation"].astype(str)
    if kind == "cells":
        return list(dict.fromkeys(labels[predicted.obs["source"] == "predicted"]))
    observed = {str(name) for name in screen["regimes"]}
    return [label for label in dict.fromkeys(labels) if label in observed]


def _draw_change(ax: Axes, screen: Any, predicted: Any, name: str, n_labels: int, size: float) -> None:
    row = list(predicted.obs["perturbation"].astype(str)).index(name)
    x = np.asarray(screen["change"])[[str(r) for r in screen["regimes"]].index(name)]
    y = np.asarray(predicted.layers["change"])[row]
    target = np.asarray(predicted.layers["target"])[row].astype(bool)
    others = np.concatenate([x[~target], y[~target], [0.0]])
    margin = 0.15 * max(np.ptp(others), 1e-6)
    low, high = others.min() - margin, others.max() + margin
    ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=0)
    ax.scatter(x[~target], y[~target], s=size, color=PALETTE[0], label="other genes")
    # targets are set from outside and move most: the frame is that of the others, and they wait at its edge
    ax.scatter(*np.clip([x[target], y[target]], low, high), s=2.5 * size, color=PALETTE[5], marker="D", clip_on=False,
               label="targets (at the edge: beyond)")  # fmt: skip
    for i in np.argsort(-np.abs(np.where(target, 0, x)))[:n_labels]:
        ax.annotate(
            str(predicted.var_names[i]), (x[i], y[i]), (3, 3), textcoords="offset points", fontsize=6, color=INK
        )
    ax.set(xlim=(low, high), ylim=(low, high))
    r = np.corrcoef(x[~target], y[~target])[0, 1] if x[~target].std() * y[~target].std() > 0 else np.nan
    ax.set(title=f"{name}  r = {r:.2f}", xlabel="observed change", ylabel="predicted change")


def _draw_cells(ax: Axes, predicted: Any, name: str, size: float) -> None:
    place = np.asarray(predicted.obsm["X_umap"])
    label = predicted.obs["perturbation"].astype(str).to_numpy()
    source = predicted.obs["source"].astype(str).to_numpy()
    ax.scatter(place[:, 0], place[:, 1], s=0.5 * size, color=FAINT, linewidths=0)
    looks = (("control", MUTED, "o"), ("observed", PALETTE[0], "o"), ("predicted", PALETTE[5], "^"))
    for kind, color, marker in looks:
        at = (source == kind) & ((label == name) | (kind == "control"))
        if at.any():
            ax.scatter(place[at, 0], place[at, 1], s=size, color=color, marker=marker, linewidths=0, label=kind)
    seen = ((source == "observed") & (label == name)).any()
    ax.set_title(name if seen else f"{name} (not observed)")
    bare(ax)
