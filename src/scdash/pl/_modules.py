"""The regulators and targets of modules as a heat map."""

from typing import Any, Unpack

import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap

from scdash._core.errors import check_choice, check_data
from scdash._core.tables import module_table
from scdash.pl.shared.labels import room, ticks
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.style import SIGNED, Drawn, finish, house, panels


@drawing
def modules(
    adata: AnnData,
    *,
    role: str = "target",
    n_genes: int = 60,
    key: str = "dynamics",
    cmap: str | Colormap = SIGNED,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw the weights of modules (rows) on their genes (columns), both clustered.

    Parameters
    ----------
    adata
        AnnData on which `scdash.tl.modules` has run.
    role
        "target" (A) or "regulator" (B).
    n_genes
        Genes drawn, those with the largest weights.
    key
        The `key_added` of the fit.
    cmap, title, figsize, ax, show, save, return_fig
        See :mod:`scdash.pl`.

    See Also
    --------
    scdash.tl.modules : Name the regulators and targets of every module, and test them for gene sets.

    Examples
    --------
    >>> scdash.tl.modules(screen, n_modules=3)
    >>> ax = scdash.pl.modules(screen)
    """
    check_choice("role", role, ("target", "regulator"))
    check_data(adata)
    members = module_table(adata, key)
    table = members[members["role"] == role].pivot_table(
        index="module", columns="gene", values="weight", fill_value=0.0
    )
    if table.empty:
        raise ValueError(f"role={role!r}: no module has such genes; lower n_sd in scdash.tl.modules.")
    top = table.abs().max().sort_values(ascending=False, kind="stable").index[:n_genes]
    table = table[top]
    table = table.iloc[_order(table.to_numpy()), _order(table.to_numpy().T)]
    with house():
        height = max(2.5, 0.16 * len(table)) + room(table.columns, 6)
        figure, axes = panels(1, page, size=(max(4.0, 0.14 * table.shape[1]), height))
        limit = float(np.abs(table.to_numpy()).max())
        image = axes[0].imshow(table, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto")
        axes[0].set_xticks(range(table.shape[1]), ticks(table.columns), rotation=90, fontsize=6)
        axes[0].set_yticks(range(len(table)), [f"module {m}" for m in table.index], fontsize=6)
        axes[0].set_xlabel(f"{role} genes")
        figure.colorbar(image, ax=axes[0], label=f"weight on {role}s")
    return finish(figure, axes, "modules", page)


def _order(matrix: np.ndarray[Any, Any]) -> Any:
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(matrix) < 3:
        return np.arange(len(matrix))
    return leaves_list(linkage(matrix, "average", optimal_ordering=len(matrix) < 200))
