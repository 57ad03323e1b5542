"""Predicted against observed change of regimes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scdash._errors import unknown
from scdash._keys import require_fit
from scdash.pl._style import INK, MUTED, PALETTE, Drawn, finish, house, panels


def perturbation(
    adata: Any,
    predicted: Any,
    *,
    regimes: Sequence[str] | None = None,
    key: str = "dynamics",
    n_cols: int = 3,
    n_labels: int = 5,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw predicted against observed mean change from control, one panel a regime, one dot a gene.

    Targets of the intervention are drawn apart and left out of the correlation, which they would flatter.

    Parameters
    ----------
    adata
        AnnData with a fit of a screen: holds the observed changes.
    predicted
        AnnData of `scdash.tl.predict_perturbations`.
    regimes
        Which to draw; default all predicted ones that were observed, at most nine.
    key
        The `key_added` of the fit.
    n_cols
        Panels a row.
    n_labels
        Genes named per panel, those with the largest observed change.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    screen: Any = require_fit(adata.uns, key)["screen"]
    observed = {str(name): i for i, name in enumerate(screen["regimes"])}
    known = {str(p): i for i, p in enumerate(predicted.obs["perturbation"]) if str(p) in observed}
    chosen = list(known)[:9] if regimes is None else list(regimes)
    for name in chosen:
        if name not in known:
            raise unknown("regime", name, known)
    if not chosen:
        raise ValueError("predicted: none of its perturbations was observed in the screen; nothing to compare.")
    with house():
        figure, axes = panels(len(chosen), ax, n_cols=n_cols, size=(2.8, 2.8))
        for panel, name in zip(axes, chosen, strict=True):
            x = np.asarray(screen["change"])[observed[name]]
            y = np.asarray(predicted.layers["change"])[known[name]]
            target = np.asarray(predicted.layers["target"])[known[name]].astype(bool)
            ends = [min(x.min(), y.min(), 0), max(x.max(), y.max(), 0)]
            panel.plot(ends, ends, color=MUTED, linewidth=0.8, zorder=0)
            panel.scatter(x[~target], y[~target], s=8, color=PALETTE[0], label="other genes")
            panel.scatter(x[target], y[target], s=20, color=PALETTE[5], marker="D", label="targets")
            for i in np.argsort(-np.abs(np.where(target, 0, x)))[:n_labels]:
                panel.annotate(str(predicted.var_names[i]), (x[i], y[i]), fontsize=6, color=INK)
            r = np.corrcoef(x[~target], y[~target])[0, 1] if x[~target].std() * y[~target].std() > 0 else np.nan
            panel.set(title=f"{name}  r = {r:.2f}", xlabel="observed change", ylabel="predicted change")
        axes[0].legend()
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)
