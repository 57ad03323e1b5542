"""Predicted against observed perturbations of a screen: mean changes gene by gene, or cells on a UMAP."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Unpack

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scdash._core.display import SHOWN, first_names
from scdash._core.drawing import PALETTE
from scdash._core.errors import check_choice, unknown
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import logger
from scdash.pl.shared.labels import cut, name_points
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.style import FAINT, MUTED, Drawn, bare, finish, house, panels

MOST = 9  # panels drawn unasked
WIDEST = 34  # letters of a title above a panel
MOST_FAR = 4  # targets off the axes whose changes are written


@drawing
def perturbation(
    adata: AnnData,
    predicted: AnnData,
    *,
    kind: Literal["change", "cells"] | None = None,
    perturbations: Sequence[str] | None = None,
    key: str = "dynamics",
    ncols: int = 3,
    n_labels: int = 5,
    size: float = 8,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw predicted against observed perturbations, one panel each.

    "change": predicted against observed mean change from control, one dot a gene. Targets of the intervention are
    left out of the correlation, which they would flatter, and of the axes, which they would stretch: one that lies
    beyond is a hollow mark on the frame, with its observed and predicted change in the corner. Titles say whether a
    perturbation was fitted, so that its agreement is no test, or held out. "cells": predicted, observed and control
    cells on their common UMAP.

    Parameters
    ----------
    adata
        AnnData with the fit of a screen.
    predicted
        AnnData of `scdash.tl.predict_perturbations`; with `n_cells=` for "cells".
    kind
        See above; None: what `predicted` holds.
    perturbations
        Which to draw; default all predicted ones (for "change": that were observed), at most nine. Where they are predicted at
        times, "GENE, 3" is the one at time 3.
    key
        The `key_added` of the fit.
    ncols
        Panels a row.
    n_labels
        Genes named per panel, those with the largest observed change.
    size
        Size of the dots.

    See Also
    --------
    scdash.tl.predict_perturbations : Predict the mean, or cells, of unseen single and combined perturbations from a fit of a screen.

    Examples
    --------
    >>> cells = scdash.tl.predict_perturbations(adata, ["G001", "G001+G002"], n_cells=50)  # doctest: +SKIP
    >>> scdash.pl.perturbation(adata, cells)  # doctest: +SKIP
    """
    entry = require_fit(adata, key)
    genes_of(adata, entry, key)
    if "screen" not in entry:
        raise ValueError(f"uns[{key!r}] is no fit of a screen; pl.perturbation compares perturbations of a screen.")
    if not isinstance(predicted, AnnData) or "perturbation" not in predicted.obs:
        raise TypeError(
            "predicted must be the AnnData that scdash.tl.predict_perturbations returns, found "
            f"{type(predicted).__name__}: scdash.tl.predict_perturbations(adata, ['GENE', ...])."
        )
    found = "cells" if "source" in predicted.obs else "change"
    if kind not in (None, "change", "cells"):
        raise unknown("kind", kind, ("change", "cells"))
    if kind not in (None, found):
        raise ValueError(f"kind={kind!r} needs predict_perturbations(adata, ...{', n_cells=50' * (kind == 'cells')}).")
    known = _known(predicted, found)
    chosen = known[:MOST] if perturbations is None else list(perturbations)
    if perturbations is None:
        _say_not_drawn(dict.fromkeys(_labels(predicted)) if found == "change" else known, known)
    for name in chosen:
        check_choice("perturbation", name, known)
    if not chosen:
        raise ValueError("predicted: none of its perturbations was observed in the screen; nothing to compare.")
    with house():
        figure, axes = panels(len(chosen), page, ncols=ncols, size=(2.8, 2.8))
        for panel, name in zip(axes, chosen, strict=True):
            if found == "change":
                _draw_change(panel, predicted, name, size)
            else:
                _draw_cells(panel, predicted, name, size)
        axes[0].legend(fontsize=6, loc="upper left")
        if found == "change":
            for panel, name in zip(axes, chosen, strict=True):
                _name_genes(panel, predicted, name, n_labels)
    return finish(figure, axes, "perturbation", page)


def _known(predicted: Any, kind: str) -> list[str]:
    """Return the perturbations that can be drawn, in the order of the prediction."""
    labels = np.asarray(_labels(predicted))
    if kind == "cells":
        return list(dict.fromkeys(labels[predicted.obs["source"] == "predicted"]))
    observed = np.isfinite(np.asarray(predicted.layers["observed_change"])).all(axis=1)
    return list(dict.fromkeys(labels[observed]))


def _say_not_drawn(asked: Iterable[str], known: Sequence[str]) -> None:
    """Log which predictions are not drawn, because nothing was observed to compare them with or panels are too many."""
    without = [name for name in asked if name not in known]
    if without:
        listed = first_names(without, SHOWN)
        logger.info("    not drawn, because the screen has nothing observed to compare with: %s", listed)
    if len(known) > MOST:
        logger.info("    %d of %d predictions are drawn; name others with perturbations=", MOST, len(known))


def _unit(predicted: Any) -> str:
    """Return the unit of the times in titles, where it is known."""
    return f" {predicted.uns['time_unit']}" if "time" in predicted.obs and "time_unit" in predicted.uns else ""


def _labels(predicted: Any) -> list[str]:
    """Return the name of every row: its perturbation, and its time where perturbations are predicted at times."""
    labels = predicted.obs["perturbation"].astype(str)
    if "time" not in predicted.obs:
        return list(labels)
    return [f"{label}, {time:g}" for label, time in zip(labels, predicted.obs["time"], strict=True)]


def _draw_change(ax: Axes, predicted: Any, name: str, size: float) -> None:
    row = _labels(predicted).index(name)
    x = np.asarray(predicted.layers["observed_change"])[row]
    y = np.asarray(predicted.layers["change"])[row]
    target = np.asarray(predicted.layers["target"])[row].astype(bool)
    low, high = _ends(x[~target], y[~target])
    ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=0)
    ax.scatter(x[~target], y[~target], s=size, color=PALETTE[0], label="other genes")
    beyond = target & ((np.minimum(x, y) < low) | (np.maximum(x, y) > high))
    for some, face, label in ((target & ~beyond, PALETTE[5], "targets"), (beyond, "none", "targets, off the axes")):
        if some.any():
            at = np.clip(x[some], low, high), np.clip(y[some], low, high)
            ax.scatter(*at, s=2.5 * size, fc=face, ec=PALETTE[5], marker="D", label=label, clip_on=False, zorder=3)
    if beyond.any():
        far = [f"{predicted.var_names[i]}: {x[i]:.2g}, {y[i]:.2g}" for i in np.flatnonzero(beyond)[:MOST_FAR]]
        far += ["..."] * (int(beyond.sum()) > MOST_FAR)
        ax.text(0.98, 0.03, "\n".join(far), transform=ax.transAxes, ha="right", fontsize=6, color=PALETTE[5])
    ax.set(xlim=(low, high), ylim=(low, high))
    r = np.corrcoef(x[~target], y[~target])[0, 1] if x[~target].std() * y[~target].std() > 0 else np.nan
    of, worth = f"{name}{_unit(predicted)}", f"({predicted.obs['status'].iloc[row]})  r = {r:.2f}"
    ax.set(
        title=f"{of} {worth}" if len(of) + len(worth) < WIDEST else f"{cut(of, WIDEST)}\n{worth}",
        xlabel="observed change",
        ylabel="predicted change",
    )


def _ends(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Return the ends of both axes: all of x and y, zero, and a margin."""
    both = np.concatenate([x, y, [0.0]])
    margin = 0.08 * max(float(np.ptp(both)), 1e-6)
    return float(both.min()) - margin, float(both.max()) + margin


def _name_genes(ax: Axes, predicted: Any, name: str, n_labels: int) -> None:
    """Name the genes with the largest observed change, targets left out; once all panels have their places."""
    row = _labels(predicted).index(name)
    x, y = (np.asarray(predicted.layers[layer], dtype=np.float64)[row] for layer in ("observed_change", "change"))
    target = np.asarray(predicted.layers["target"])[row].astype(bool)
    name_points(ax, x, y, np.asarray(predicted.var_names, dtype=str), np.where(target, 0, np.abs(x)), n_labels)


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
