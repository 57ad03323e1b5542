"""`perturbation_fates`: how a knockout changes where cells end."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from scdash._core.fit_record import stamp
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit
from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._data import as_dense, expression, log_missing, obs_column, read_labels, sanitise, writable
from scdash._data.terminal_states import read_terminal_states
from scdash.networks import (
    count_targets,
    module_from_entry,
    named_levels,
    warn_of_interventions,
    weights_of_models,
)
from scdash.networks.cellrank_calls import MISSING, fates_of_models, means_over_neighbours, table_of_fates
from scdash.networks.influences.of_fit import longest_trajectory
from scdash.networks.intervention_levels import Kind

FRACTION = 0.1  # of the longest fitted trajectory, in which effects run over several edges, as in `perturbation_shift`


@guarded
def perturbation_fates(
    adata: AnnData,
    genes: str | Iterable[str] | Mapping[str, float],
    *,
    terminal_states: str | tuple[str, Sequence[str]] | Mapping[str, Iterable[str]],
    groupby: str | None = None,
    kind: Kind = "knockout",
    level: float | None = None,
    duration: float | None = None,
    layer: str | None = None,
    key: str = "dynamics",
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Predict how the fates of cells change when some genes are knocked out, through CellRank.

    Each cell is followed by the model for a short time, without and with the genes held at a level. It starts at the mean of
    the cell and its neighbours in the graph: the model was fitted to means of cells, and of a single cell it mostly
    predicts that the cell's own noise is lost, which leads to no fate. CellRank's velocity kernel (Lange et al. 2022)
    turns both changes of state into probabilities to go to neighbouring cells, and a random walk is absorbed in the
    terminal states. Written is by how much the probability of each fate,

    .. math:: F = (I - Q)^{-1} S,

    with Q the steps between cells that are not terminal and S those into terminal states, differs between the two. The held
    genes themselves take no part in the kernel, so that what remains is what the network makes of them.

    A model that does not tell the branches apart says nothing about fates: look at the fates without intervention first.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to, with a graph of neighbours (:func:`scanpy.pp.neighbors`).
    genes, kind, level
        As in `scdash.tl.perturb`; several genes are held together.
    terminal_states
        Where cells end: an `obs` column with the name of the terminal state of every cell that is in one and no label for
        the others; a column and the labels of it that are terminal, `("clusters", ["Alpha", "Beta"])`; or a mapping from
        names of terminal states to names of cells. At least two states.
    groupby
        `obs` column (cell type, cluster) to average the changes over; None: all cells that are not terminal are one group.
    duration
        Time for which cells are followed, in the unit of `scdash.tl.predict`'s times; None: a tenth of the longest fitted
        trajectory.
    layer
        Layer of expression; None: the one that was fitted; "X": X.
    key
        The `key_added` of the fit. With `n_models > 1` the mean over its models is written, and their spread.
    key_added
        Name of the result; None: `f"{key}_fates"`.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `obsm[key_added]` : DataFrame (n_obs, states)
        Change of the probability of every fate, perturbed minus control, between -1 and 1.
    `obsm[f"{key_added}_control"]` : DataFrame (n_obs, states)
        Probability of every fate without intervention; rows sum to 1.
    `uns[key_added]` : dict
        `params` (with `n_targets`: how many genes each held gene regulates), and the `table` per start group and fate:
        `group`, `state`, `control`, `perturbed`, `change`, `sd` (standard deviation of the change over models; NaN with
        one) and `n_cells`. Cells of terminal states are in no group.

    Raises
    ------
    ImportError
        If CellRank is not installed (extra `velocity`).
    KeyError, ValueError
        If `terminal_states` names what is not there or fewer than two states, or if there is no graph of neighbours.

    See Also
    --------
    scdash.pl.perturbation_fates : Draw by how much a knockout changes the probability of every fate, for each group of cells.
    scdash.tl.perturbation_shift : Predict for every cell how an intervention moves it within a short time, beside going on without it.
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.

    Examples
    --------
    >>> ends = ("clusters", ["Alpha", "Beta"])
    >>> scdash.tl.perturbation_fates(adata, "Pax4", terminal_states=ends, groupby="clusters")  # doctest: +SKIP
    >>> adata.uns["dynamics_fates"]["table"].head()  # doctest: +SKIP
    """
    entry: Any = require_fit(adata, key)
    name = check_key(f"{key}_fates" if key_added is None else key_added)
    genes_of(adata, entry, key, every=True)
    terminal = read_terminal_states(adata, terminal_states)
    groups = None if groupby is None else read_labels(obs_column(adata, groupby, "groupby"))
    if "connectivities" not in adata.obsp:
        raise KeyError("adata.obsp has no 'connectivities': run scanpy.pp.neighbors(adata) first.")
    if find_spec("cellrank") is None:
        raise ImportError(MISSING)
    models = [module_from_entry(entry, weights) for weights in weights_of_models(entry)]
    names = models[0].genes
    read = FitSettings.of(entry, key).layer_of(adata, layer)
    values = expression(adata, layer=read, genes=names, min_cells=1)
    span = FRACTION * longest_trajectory(entry) if duration is None else float(duration)
    with step(f"fates of {adata.n_obs} cells, {len(models)} model{'s' if len(models) > 1 else ''}") as added:
        states = means_over_neighbours(as_dense(values.dense(), np.float64), adata.obsp["connectivities"])
        levels = named_levels(models[0], entry, genes, kind, level, torch.as_tensor(states))
        held = list(levels)
        control, perturbed = fates_of_models(adata, models, states, levels, span, terminal)  # (models, cells, states)
        warn_of_interventions(entry, held)
        if len(models) == 1:
            logger.info("    one model: no spread; fit with n_models=5 to see how far models agree")
        params: dict[str, Any] = {"genes": list(names[held]), "kind": kind, "duration": span}
        params |= {"key": key, "layer": read}
        params |= {"states": list(terminal.cat.categories), "groupby": groupby, "n_models": len(models)}
        params["n_targets"] = count_targets(entry)[held]
        if groups is not None:
            log_missing(groups.isna().to_numpy(), len(groups), groupby or "")
        table = table_of_fates(control, perturbed, groups, terminal)
        clean = sanitise(stamp({"params": params, "table": table}))
        out = writable(adata, copy=copy)
        columns = list(terminal.cat.categories)
        change = (perturbed - control).mean(axis=0)
        for slot, part in ((name, change), (f"{name}_control", control.mean(axis=0))):
            out.obsm[slot] = pd.DataFrame(part.astype(np.float32), index=out.obs_names, columns=columns)
        out.uns[name] = clean
        added.append(f"added obsm[{name!r}], change of the probability of every fate; uns[{name!r}], table of groups")
    return out if copy else None
