"""Changes of fate probabilities by a knockout, for each group of cells."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scdash._core.keys import require_result
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import named
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, finish, house, panels


@drawing
def perturbation_fates(
    adata: AnnData,
    *,
    key: str = "dynamics_fates",
    states: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw by how much a knockout changes the probability of every fate, for each group of cells.

    A panel for each terminal state, a row for each start group: red where the fate becomes more probable, blue where less.
    Whiskers are the standard deviation over models, where there are several; the grey number is the probability without
    intervention.

    Parameters
    ----------
    adata
        AnnData after `scdash.tl.perturbation_fates`.
    key
        Name of the result.
    states
        Terminal states to draw; None: all.
    groups
        Start groups to draw, from top to bottom; None: all.

    See Also
    --------
    scdash.tl.perturbation_fates : Predict how the fates of cells change when some genes are knocked out, through CellRank.
    scdash.pl.perturbation_shift : Draw where an intervention pushes the cells, on an embedding.

    Examples
    --------
    >>> axes = scdash.pl.perturbation_fates(adata)  # doctest: +SKIP
    """
    run = f"scdash.tl.perturbation_fates(adata, ..., key_added={key!r})"
    entry = require_result(adata, key, "params", "table", what="fates", run=run)
    table = entry["table"].astype({"group": str, "state": str})
    chosen = {
        "state": named("states", states, pd.unique(table["state"])),
        "group": named("groups", groups, pd.unique(table["group"])),
    }
    params = entry["params"]
    action = f"{', '.join(str(gene) for gene in np.atleast_1d(params['genes']))} {params['kind']}"
    reach = float((table["change"].abs() + table["sd"].fillna(0)).max()) * 1.1 or 1.0
    with house():
        size = (2.5, 1.1 + 0.28 * len(chosen["group"]))
        figure, axes = panels(len(chosen["state"]), page, ncols=5, size=size)
        for number, (panel, state) in enumerate(zip(axes, chosen["state"], strict=True)):
            rows = table[table["state"] == state].set_index("group").loc[chosen["group"]]
            _draw(panel, rows, reach, named=number % 5 == 0)
            panel.set_title(f"{action}: {state}" if number == 0 else state, loc="left", fontsize="medium")
            panel.set_xlabel("change of the probability\n(grey: without intervention)")
    return finish(figure, axes, "perturbation_fates", page)


def _draw(panel: Axes, rows: pd.DataFrame, reach: float, *, named: bool) -> None:
    """Draw the changes of one fate, a row for each group."""
    place = np.arange(len(rows))
    color = [REPRESSION if change < 0 else ACTIVATION for change in rows["change"]]
    panel.barh(place, rows["change"], color=color, height=0.6)
    if rows["sd"].notna().any():
        panel.errorbar(rows["change"], place, xerr=rows["sd"], fmt="none", ecolor=INK, elinewidth=1.0, capsize=2)
    for at, control in zip(place.tolist(), rows["control"], strict=True):
        panel.text(reach * 1.25, at, f"{control:.2f}", va="center", ha="right", color=MUTED, fontsize="small")
    panel.axvline(0, color=INK, lw=0.8)
    panel.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-reach, 1.3 * reach))
    panel.set_yticks(place, list(rows.index) if named else [""] * len(rows))
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(3))
