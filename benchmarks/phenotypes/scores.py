"""The score of `tl.perturbation_scores`, other forms of it, and what needs no model of dynamics, for every factor."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.phenotypes import propagation
from benchmarks.phenotypes.data import edges_of

OURS = "perturbation score"
BASELINES = ("mean expression", "signed change", "absolute change", "out-strength of the network",
             "propagation, against the flow", "propagation, size")  # fmt: skip
FORMS = ("held back along the path", "distance in ranges of genes", "held back in ranges of genes",
         "distance with the gene itself", "direct effect on velocities")  # fmt: skip


def all_scores(adata: Any, prior: str, factors: list[str]) -> pd.DataFrame:
    """Return a row for each factor and a column for each score; large values should mean that the factor is required."""
    import scdash

    scdash.tl.perturbation_scores(adata, genes=factors)
    table = scdash.get.perturbation_scores(adata).set_index("gene").loc[factors]
    found = pd.DataFrame({OURS: table["score"].fillna(0.0), FORMS[0]: -table["along_path"].fillna(0.0)})
    x = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X, dtype=np.float64)
    place = adata.var_names.get_indexer(factors)
    found["mean expression"] = x.mean(axis=0)[place]
    found["signed change"], found["absolute change"] = table["change"], table["change"].abs()
    found["out-strength of the network"] = np.asarray(abs(adata.varp["dynamics_grn"]).sum(axis=1)).ravel()[place]
    found["propagation, against the flow"], found["propagation, size"] = propagated(adata, x, prior, place)
    return found.assign(**other_forms(adata.uns["dynamics"], factors))


def propagated(
    adata: Any, x: NDArray[np.float64], prior: str, place: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores of a propagation over the edges of the prior, or of all factors where there is none."""
    allowed = np.zeros((adata.n_vars, adata.n_vars), dtype=bool)
    edges = edges_of(prior, adata.var_names)
    if edges is None:
        allowed[place] = True
    else:
        source, target = (adata.var_names.get_indexer(edges[name]) for name in ("source", "target"))
        known = (source >= 0) & (target >= 0)
        allowed[source[known], target[known]] = True
    time = adata.obs["pseudotime"].to_numpy(dtype=float)
    return propagation.scores(x, time, allowed, place)


def other_forms(entry: Any, factors: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return forms of the score that were compared with the one that the package has, averaged over batches."""
    from scdash._core.trajectories import lineage_paths
    from scdash.networks import module_from_entry
    from scdash.networks.influences.of_fit import gene_range
    from scdash.networks.interventions import intervene

    model, unit = module_from_entry(entry), gene_range(entry)[1]
    names = np.asarray(entry["genes"]).astype(str)
    held_genes = pd.Index(names).get_indexer(factors)
    held = np.zeros((len(factors) + 1, len(names)), dtype=bool)
    held[np.arange(len(factors)), held_genes] = True
    others = ~held[:-1]
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FORMS[1:]}

    def shift(start: NDArray[np.float64], duration: float) -> NDArray[np.float64]:
        ends = intervene(model, np.repeat(start[None], len(held), axis=0), duration, held, np.zeros((len(held), 1)))
        return ends[:-1] - ends[-1]

    for path in lineage_paths(entry, None):
        for states, duration in zip(path.states, path.durations, strict=True):
            way, moved = states[-1] - states[0], shift(states[0], duration)
            in_ranges, way_in_ranges = moved / unit, way / unit
            ranges_length = np.sqrt((others * way_in_ranges**2).sum(axis=1))
            found[FORMS[1]].append(np.sqrt((in_ranges**2 * others).sum(axis=1)) / ranges_length)
            found[FORMS[2]].append(-(in_ranges * others) @ way_in_ranges / ranges_length**2)
            found[FORMS[3]].append(np.linalg.norm(moved, axis=1) / np.linalg.norm(way))
            found[FORMS[4]].append(_direct(model, states, held_genes))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def _direct(model: Any, states: NDArray[np.float64], held: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean absolute effect of a loss on the velocities of all other genes along a trajectory."""
    with torch.no_grad():
        x = torch.as_tensor(states, dtype=model.minimum.dtype)
        base, found = model(0.0, x), np.zeros(len(held))
        for k, gene in enumerate(held):
            lost = x.clone()
            lost[:, gene] = 0
            change = (model(0.0, lost) - base).abs()
            change[:, gene] = 0
            found[k] = float(change.sum(dim=1).mean())
    return found
