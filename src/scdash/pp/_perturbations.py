"""Which perturbations of a screen worked: a table of what was kept and why, and the cells that remain."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._data import Expression, as_dense, check_adata, expression, obs_column, read_labels, writable
from scdash._data.screen import Screen, parse_screen
from scdash.screens.selection import least_cells
from scdash.screens.targets import named_targets

UP = ("overexpression", "shift")
AGAINST = 1e-3  # p value of the opposite change from which a target is said to have moved against its kind
CONTRARY = "target moved against its kind"


@guarded
def filter_perturbations(
    adata: AnnData,
    *,
    perturbation_key: str = "perturbation",
    control: str | Sequence[str] = "control",
    separator: str = "+",
    kind: str | Mapping[str, str] = "overexpression",
    kind_key: str | None = None,
    symbols: str | None = None,
    max_p: float = 0.1,
    min_cells: int | None = None,
    require: Literal["all", "any"] = "all",
    unknown_targets: Literal["error", "drop", "keep"] = "error",
    layer: str | None = None,
    key_added: str = "perturbations",
    copy: bool = False,
) -> AnnData | None:
    """Keep the perturbations whose targets changed as intended, against control, and that have enough cells.

    One-sided Mann-Whitney test of every target gene (up for overexpression, down for knockout and knockdown); a
    perturbation is kept if `p < max_p` for all (or any) of its targets (Lin et al., appendix A.1).

    Parameters
    ----------
    adata
        Cells by genes, log-normalised.
    perturbation_key, control, separator, kind, kind_key, symbols, unknown_targets
        As in `scdash.models.PerturbODE`. With `unknown_targets="drop"` cells of such perturbations go; with "keep" they stay, and
        targets that are measured are tested.
    max_p
        Largest p value.
    min_cells
        Fewest cells of a perturbation; None: 10, or 1 where perturbations have fewer than three rows in the median.
    require
        Whether all targets of a combination must have changed.
    layer
        Layer to test instead of X.
    key_added
        Name of the table in `uns`.
    copy
        Return the filtered copy instead of filtering `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Cells of perturbations that were not kept, and unlabelled ones, are removed. Written:
    `uns[key_added]` : DataFrame
        one row a perturbation: `perturbation`, `cells`, `worst_p`, `log_change` (mean over targets, in the units of the
        data), `kept`, `reason` ("target moved against its kind" where the opposite change has p < 0.001, which the log
        warns of: a wrong `kind` looks like this).

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    Examples
    --------
    >>> adata = scdash.simulate.sergio(genes=20, n_perturbations=6, n_targets=1)
    >>> scdash.pp.filter_perturbations(adata)
    >>> list(adata.uns["perturbations"].columns)
    ['perturbation', 'cells', 'worst_p', 'log_change', 'kept', 'reason']
    """
    _check(require, max_p, min_cells, kind, kind_key)
    check_adata(adata, min_cells=1)
    check_key(key_added)
    if adata.isbacked and not copy:
        raise ValueError(
            "adata is backed: its cells cannot be removed on disk. copy=True returns the cells kept, in memory."
        )
    adata = adata if adata.isbacked else writable(adata, copy=copy)
    with step("filtering perturbations") as added:
        controls = (control,) if isinstance(control, str) else tuple(control)
        labels = read_labels(obs_column(adata, perturbation_key, "perturbation_key"), keep=controls)
        _, aliases, _ = named_targets(adata, labels, controls=controls, separator=separator, symbols=symbols)
        screen = parse_screen(
            labels,
            adata.var_names,
            control=control,
            separator=separator,
            kind=kind,
            kinds=None if kind_key is None else obs_column(adata, kind_key, "kind_key"),
            missing=unknown_targets,
            aliases=aliases,
        )
        min_cells = least_cells(screen, min_cells)
        targeted = np.flatnonzero(screen.targets.any(axis=0))
        if not len(targeted):
            raise ValueError(f"perturbation_key={perturbation_key!r}: no cell is perturbed.")
        values = expression(adata, layer=layer, genes=adata.var_names[targeted])
        table = _table(values, screen, targeted, max_p=max_p, min_cells=min_cells, require=require)
        kept = np.append(True, table["kept"].to_numpy())
        cells = (screen.cells >= 0) & kept[screen.cells]
        if not table["kept"].any():
            raise ValueError(
                f"No perturbation passes max_p={max_p} and min_cells={min_cells}; the reasons: "
                f"{table['reason'].value_counts().to_dict()}. Check kind={kind!r} and that X is not scaled."
            )
        adata = _subset(adata, cells)
        adata.uns[key_added] = table
        _warn_of_contrary(table, screen)
        added.append(f"kept {int(table['kept'].sum())} of {len(table)} perturbations, {int(cells.sum())} cells")
        added.append(f"added uns[{key_added!r}], what was kept and why")
    return adata if copy else None


def _subset(adata: AnnData, cells: NDArray[np.bool_]) -> AnnData:
    """Keep some cells: in place, or in memory where the cells are on disk."""
    if adata.isbacked:
        return adata[cells].to_memory()
    adata._inplace_subset_obs(cells)
    return adata


def _check(
    require: str, max_p: float, min_cells: int | None, kind: str | Mapping[str, str], kind_key: str | None
) -> None:
    """Raise for settings out of range, or two that say the same."""
    if require not in ("all", "any"):
        raise ValueError(f"require must be 'all' or 'any', found {require!r}.")
    if not 0 < max_p <= 1 or (min_cells is not None and min_cells < 1):
        raise ValueError(f"max_p must lie in (0, 1] and min_cells be positive, found {max_p!r} and {min_cells!r}.")
    if kind_key is not None and kind != "overexpression":
        raise ValueError(f"Give kind ({kind!r}) or kind_key ({kind_key!r}), not both.")


def _table(
    values: Expression, screen: Screen, targeted: NDArray[np.int64], *, max_p: float, min_cells: int, require: str
) -> pd.DataFrame:
    from scipy.stats import mannwhitneyu

    control, perturbed = _gather(values, screen, targeted)
    if control.shape[0] < 2:
        raise ValueError(f"control: only {control.shape[0]} control cell(s), at least 2 are needed.")
    rows, counts = [], screen.counts
    for r in range(1, screen.n_perturbations):
        here = np.flatnonzero(screen.targets[r, targeted])
        cells = perturbed[r]
        up = screen.kinds[r] in UP
        own = as_dense(control[:, here])
        p = [
            float(mannwhitneyu(cells[:, k], own[:, k], alternative="greater" if up else "less").pvalue)
            if len(cells)
            else 1.0
            for k in range(len(here))
        ]
        n = int(counts[r])
        tested = len(here) > 0
        worst = np.nan if not tested else max(p) if require == "all" else min(p)
        change = float((cells.mean(axis=0) - own.mean(axis=0)).mean()) if n and tested else np.nan
        kept = n >= min_cells and (not tested or worst < max_p)
        reason = "kept" if tested else "kept: target not measured"
        if not kept:
            against = tested and 1 - worst < AGAINST
            reason = "too few cells" if n < min_cells else CONTRARY if against else "target not changed"
        rows.append((screen.names[r], n, worst, change, kept, reason))
    return pd.DataFrame(rows, columns=["perturbation", "cells", "worst_p", "log_change", "kept", "reason"])


def _warn_of_contrary(table: pd.DataFrame, screen: Screen) -> None:
    """Warn of perturbations that were removed because their target moved the other way, as with a wrong `kind`."""
    found = table[table["reason"] == CONTRARY]
    if len(found):
        kinds = ", ".join(sorted({screen.kinds[screen.names.index(name)] for name in found["perturbation"]}))
        logger.warning(
            "    WARNING: %d of %d perturbations with a measured target are removed because the target moved against "
            "their kind (%s). If it is not the kind of your screen, pass kind='knockout', 'knockdown' or "
            "'overexpression'.",
            len(found),
            int(table["worst_p"].notna().sum()),
            kinds,
        )


def _gather(values: Expression, screen: Screen, targeted: NDArray[np.int64]) -> tuple[Any, list[NDArray[Any]]]:
    """Return the control cells (sparse if the data are), and every perturbation's cells x its own targets, from one pass."""
    control: list[Any] = []
    parts: list[list[NDArray[Any]]] = [[] for _ in range(screen.n_perturbations)]
    own = [np.flatnonzero(targets) for targets in screen.targets[:, targeted]]
    for rows, block in values.blocks():
        perturbation = screen.cells[rows]
        control.append(block[perturbation == 0])
        for r in np.unique(perturbation[perturbation > 0]):
            found = block[perturbation == r][:, own[r]]
            parts[r].append(as_dense(found))
    together = sp.vstack(control, format="csc") if sp.issparse(control[0]) else np.concatenate(control)
    return together, [np.concatenate(part) if part else np.zeros((0, len(own[r]))) for r, part in enumerate(parts)]
