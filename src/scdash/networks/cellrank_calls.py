"""Fates of cells and how interventions change them, through CellRank; the one place that calls it, and mends what it needs."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.interventions import held_at, intervene

if TYPE_CHECKING:
    from anndata import AnnData

CONNECTIVITY = 0.2  # fraction of the kernel of mere similarity, which CellRank's own tutorials add to that of velocity
TOLERANCE = 1e-6  # of the linear solver
MISSING = 'perturbation_fates needs CellRank: pip install "scdash[velocity]".'


@contextmanager
def cellrank() -> Iterator[Any]:
    """Import CellRank and make it run, without a word, with the NumPy that is there.

    CellRank 2.0.7, the last for Python 3.11, calls `numpy.testing.assert_array_equal` by the argument names x and y, which
    NumPy 2.4 has taken away. Inside this block, and only there, both ways to call it work.
    """
    compare = np.testing.assert_array_equal

    def by_either_name(*args: Any, **kwargs: Any) -> None:
        if "x" in kwargs and "y" in kwargs:
            args = (kwargs.pop("x"), kwargs.pop("y"), *args)
        compare(*args, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import cellrank as cr
        except ImportError as error:
            raise ImportError(MISSING) from error
        level, cr.settings.verbosity = cr.settings.verbosity, 0
        np.testing.assert_array_equal = by_either_name
        try:
            yield cr
        finally:
            np.testing.assert_array_equal = compare
            cr.settings.verbosity = level


def fate_probabilities(
    cells: Any, moves: Sequence[tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]], terminal: pd.Series
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the probabilities (cells, states) to end in each terminal state, without and with an intervention.

    A cell goes to those neighbours that lie where it moves to (CellRank's `VelocityKernel`, correlation), and with a
    fifth of the weight to any neighbour; absorbed are the cells of a terminal state. Both kernels of a pair have the scale of
    the softmax that CellRank takes for the moves without the intervention, one over the median size of the correlations.
    Otherwise a difference of scales, which makes all steps more or less certain, would count as a change of fates.

    `cells`: AnnData with the states in `X` and the graph of neighbours. `moves`: pairs of changes of the states,
    (cells, genes) each: without and with the intervention. `terminal`: terminal state of every cell, categorical; NaN
    for the others.
    """
    found = []
    with cellrank() as cr:
        similar = cr.kernels.ConnectivityKernel(cells).compute_transition_matrix()
        cells.obsm["states"] = np.asarray(cells.X, dtype=np.float64)
        for free, held in moves:
            logits = _kernel(cr, cells, free, scale=1.0).logits
            scale = 1.0 / float(np.median(np.abs(logits.data)))
            kernels = [_kernel(cr, cells, move, scale=scale) for move in (free, held)]
            without, within = (_absorbed(cr, kernel, similar, terminal) for kernel in kernels)
            found.append((without, within))
    return found


def _kernel(cr: Any, cells: Any, move: NDArray[np.floating[Any]], *, scale: float) -> Any:
    """Return the velocity kernel of a move of every cell."""
    cells.obsm["moves"] = np.asarray(move, dtype=np.float64)
    kernel = cr.kernels.VelocityKernel(cells, attr="obsm", xkey="states", vkey="moves")
    return kernel.compute_transition_matrix(softmax_scale=scale, show_progress_bar=False, n_jobs=1, backend="threading")


def _absorbed(cr: Any, kernel: Any, similar: Any, terminal: pd.Series) -> NDArray[np.float64]:
    """Return the probabilities (cells, states) of a random walk to be absorbed in each terminal state."""
    estimator = cr.estimators.GPCCA((1 - CONNECTIVITY) * kernel + CONNECTIVITY * similar)
    estimator.set_terminal_states(terminal.copy())
    estimator.compute_fate_probabilities(
        show_progress_bar=False, n_jobs=1, backend="threading", use_petsc=False, tol=TOLERANCE
    )
    fates = estimator.fate_probabilities
    order = [list(fates.names).index(name) for name in terminal.cat.categories]
    return np.asarray(fates.X, dtype=np.float64)[:, order]


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
    held, target = held_at(states, levels)
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
