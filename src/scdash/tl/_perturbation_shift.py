"""`perturbation_shift`: where an intervention pushes every cell."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from scdash._core.fit_record import stamp
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit, require_timed_fit
from scdash._core.labels import check_key
from scdash._core.logging import progress_bar, step
from scdash._core.process_state import guarded
from scdash._data import as_dense, expression, log_missing, obs_column, read_labels, sanitise, writable
from scdash.networks import count_targets, module_from_entry, named_levels, warn_of_interventions
from scdash.networks.influences.of_fit import longest_trajectory
from scdash.networks.intervention_levels import Kind
from scdash.networks.interventions import held_at, intervene
from scdash.networks.velocity_layer import layer_megabytes, over_all_genes

ROWS = 1024
SHARE = 0.1  # of the longest fitted trajectory: far enough to see, near enough to stay local


@guarded
def perturbation_shift(
    adata: AnnData,
    genes: str | Iterable[str] | Mapping[str, float],
    *,
    kind: Kind = "knockout",
    level: float | None = None,
    duration: float | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    key: str = "dynamics",
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Predict for every cell how an intervention moves it within a short time, beside going on without it.

    The arrows of `scdash.pl.perturbation_shift`. Cells differ from the smoothed states that a model is fitted on; trust
    averages over cells more than any single one.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    genes, kind, level
        As in `scdash.tl.perturb`.
    duration
        Time that passes, in the unit of `scdash.tl.predict`'s times; None: a tenth of the longest fitted trajectory.
    groupby
        `obs` column (lineage, cell type) to average the shift over; cells without a label are in no average.
    layer
        Layer of expression; None: the one that was fitted; "X": X.
    key
        The `key_added` of the fit.
    key_added
        Name of the result; None: `f"{key}_shift"`.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `layers[key_added]` : float32 (n_obs, n_vars)
        State with the genes held minus state without, after `duration`. Sparse where some genes were not modelled, as
        the velocity of `scdash.tl.fit_dynamics`.
    `var[f"{key_added}_genes"]` : bool
        Genes that were modelled.
    `uns[key_added]` : dict
        `params` (with `n_targets`: how many genes each held gene regulates), and with `groupby` the `table` of mean
        shifts: `group`, `gene`, `change`, `sd` (over cells), `n_cells`, by size within a group, the held genes left out.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.pl.perturbation_shift : Draw where an intervention pushes the cells, on an embedding.

    Examples
    --------
    >>> gene = scdash.get.perturbable_genes(adata)["gene"].iloc[0]
    >>> scdash.tl.perturbation_shift(adata, gene)
    >>> adata.layers["dynamics_shift"].shape == adata.shape
    True
    """
    entry: Any = (
        require_fit(adata, key) if duration is not None else require_timed_fit(adata, key, "name duration, such as 1.0")
    )
    name = check_key(f"{key}_shift" if key_added is None else key_added)
    genes_of(adata, entry, key, every=True)
    model = module_from_entry(entry)
    read = FitSettings.of(entry, key).layer_of(adata, layer)
    values = expression(adata, layer=read, genes=model.genes, min_cells=1)
    groups = None if groupby is None else read_labels(obs_column(adata, groupby, "groupby"))
    span = SHARE * longest_trajectory(entry) if duration is None else float(duration)
    columns = pd.Index(adata.var_names).get_indexer(pd.Index(model.genes, dtype=object))
    shift = np.empty((adata.n_obs, len(columns)), dtype=np.float32)
    held_genes: list[int] = []
    with step(f"shift of {adata.n_obs} cells") as added, progress_bar(adata.n_obs, "cells") as bar:
        for rows, block in values.blocks(ROWS):
            x = as_dense(block, np.float64)
            levels = named_levels(model, entry, genes, kind, level, torch.as_tensor(x))
            held, target = held_at(x, levels)
            held_genes = list(levels)
            both = np.concatenate([target, x]), np.concatenate([held, np.zeros_like(held)])
            moved, unchanged = np.split(intervene(model, both[0], span, both[1], both[0]), 2)
            shift[rows] = moved - unchanged
            bar.update(len(x))
        warn_of_interventions(entry, held_genes)
        params: dict[str, Any] = {"genes": list(model.genes[held_genes]), "kind": kind, "duration": span, "key": key}
        params |= {"layer": read, "n_targets": count_targets(entry)[held_genes]}
        result: dict[str, Any] = {"params": params}
        if groups is not None:
            log_missing(groups.isna().to_numpy(), len(groups), groupby or "")
            free = np.delete(np.arange(len(columns)), held_genes)
            result["table"] = _by_group(shift[:, free], groups, model.genes[free])
        clean = sanitise(stamp(result))
        out = writable(adata, copy=copy)
        out.layers[name] = over_all_genes(shift, columns, adata.n_vars)
        out.var[f"{name}_genes"] = np.isin(np.arange(adata.n_vars), columns)
        out.uns[name] = clean
        size = layer_megabytes(adata.n_obs, len(columns), adata.n_vars)
        added.append(f"added layers[{name!r}], shift of every cell ({size:.1f} MB); var['{name}_genes'], uns[{name!r}]")
    return out if copy else None


def _by_group(shift: Any, groups: Any, genes: Any) -> pd.DataFrame:
    parts = []
    for group in groups.dropna().unique():
        chosen = shift[(groups == group).to_numpy()]
        part = pd.DataFrame({"group": group, "gene": genes, "change": chosen.mean(0), "sd": chosen.std(0)})
        part["n_cells"] = len(chosen)
        parts.append(part.sort_values("change", key=abs, ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True)
