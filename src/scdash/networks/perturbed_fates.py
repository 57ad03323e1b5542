"""Fates of cells that are followed by a model for a short time, without and with genes held at a level."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.networks.cellrank_calls import fate_probabilities
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.interventions import intervene

if TYPE_CHECKING:
    from anndata import AnnData


def fates_of_models(
    adata: "AnnData",
    models: Sequence[DynamicsModel],
    states: NDArray[np.float64],
    levels: Mapping[int, torch.Tensor],
    span: float,
    terminal: pd.Series,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of every fate (models, cells, fates), without and with genes held; CellRank sees no held gene."""
    moves = [_moves(one, states, levels, span) for one in models]
    free = np.delete(np.arange(states.shape[1]), list(levels))
    pairs = [(control[:, free], perturbed[:, free]) for control, perturbed in moves]
    found = fate_probabilities(_cells(adata, states[:, free]), pairs, terminal)
    control, perturbed = (np.stack(part) for part in zip(*found, strict=True))
    return control, perturbed


def means_over_neighbours(states: NDArray[np.float64], connectivities: Any) -> NDArray[np.float64]:
    """Return the mean state of every cell and its neighbours in a graph, (cells, genes)."""
    near = sp.csr_matrix(connectivities).astype(bool).astype(np.float64)
    near.setdiag(1.0)
    return np.asarray((near @ states) / near.sum(axis=1))


def _moves(
    model: DynamicsModel, states: NDArray[np.float64], levels: Mapping[int, torch.Tensor], span: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much every cell moves within a time, without and with the genes held."""
    held, target = np.zeros(states.shape, dtype=bool), states.copy()
    for column, one in levels.items():
        held[:, column], target[:, column] = True, one.numpy()
    free = intervene(model, states, span, np.zeros_like(held), states) - states
    return free, intervene(model, states, span, held, target) - states


def _cells(adata: "AnnData", states: NDArray[np.float64]) -> "AnnData":
    """Return the states with the graph of neighbours of the cells, and nothing else of the data."""
    import anndata as ad

    cells = ad.AnnData(states, obs=pd.DataFrame(index=adata.obs_names))
    cells.obsp["connectivities"] = adata.obsp["connectivities"].copy()
    cells.uns["neighbors"] = {"connectivities_key": "connectivities", "distances_key": "distances", "params": {}}
    if "distances" in adata.obsp:
        cells.obsp["distances"] = adata.obsp["distances"].copy()
    given = adata.uns.get("neighbors")
    if isinstance(given, Mapping) and isinstance(given.get("params"), Mapping):
        cells.uns["neighbors"]["params"] = dict(given["params"])
    return cells


def table_of_fates(
    control: NDArray[np.float64], perturbed: NDArray[np.float64], groups: pd.Series | None, terminal: pd.Series
) -> pd.DataFrame:
    """Return the mean fates of every start group, and the spread of their changes over models."""
    free = terminal.isna().to_numpy()
    labels = (
        pd.Series("all", index=range(len(free))) if groups is None else groups.astype(object).reset_index(drop=True)
    )
    rows = []
    for group in pd.unique(labels[free & labels.notna().to_numpy()]):
        own = free & (labels == group).to_numpy()
        before, after = control[:, own].mean(axis=1), perturbed[:, own].mean(axis=1)  # (models, states)
        for place, state in enumerate(terminal.cat.categories):
            change = after[:, place] - before[:, place]
            spread = float(change.std(ddof=1)) if len(change) > 1 else float("nan")
            figures = (float(before[:, place].mean()), float(after[:, place].mean()), float(change.mean()), spread)
            rows.append((str(group), str(state), *figures, int(own.sum())))
    return pd.DataFrame(rows, columns=["group", "state", "control", "perturbed", "change", "sd", "n_cells"])
