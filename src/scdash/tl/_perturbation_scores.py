"""`perturbation_scores`: which knockout moves the end of a lineage, and what it adds to the gene's expression."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.fit_record import stamp
from scdash._core.keys import genes_of, require_timed_fit
from scdash._core.logging import progress_bar, step
from scdash._core.process_state import guarded
from scdash._core.trajectories import LineagePath, lineage_paths
from scdash._data import all_genes, listed_names, sanitise, writable
from scdash.networks import (
    EndShift,
    count_targets,
    end_shift,
    held_levels,
    module_from_entry,
    warn_of_interventions,
    warn_of_negative_levels,
    weights_of_models,
)
from scdash.networks.intervention_levels import Kind


@guarded
def perturbation_scores(
    adata: AnnData,
    *,
    genes: Iterable[str] | None = None,
    kind: Kind = "knockout",
    level: float | None = None,
    trajectories: str | Iterable[str] | None = None,
    models: Literal["all", "main"] = "all",
    key: str = "dynamics",
    copy: bool = False,
) -> AnnData | None:
    r"""Score every regulator by how far its knockout (or overexpression) moves the end of a lineage.

    From the first fitted state of every trajectory of the lineage (of every batch, say), with the gene held, the model is
    integrated to the end of the trajectory. With :math:`d` the observed difference between the last and the first state,
    and :math:`\Delta` the difference that the intervention makes at the end, both in the units of the data and the gene
    itself left out of both,

    .. math:: \mathrm{score} = \lVert \Delta \rVert / \lVert d \rVert, \qquad
              \mathrm{along\_path} = \Delta \cdot d / \lVert d \rVert^2 ,

    averaged over the trajectories. A score of 0.1: the lineage ends a tenth of its own path away from where it would. The
    score has no direction, as the sign of a net effect that runs over many edges is far less certain than its size (it
    agrees less between batches, see :doc:`/concepts/evidence`); `along_path` has it (-0.1: held back by a tenth).

    A score mostly says how strongly the network lets a gene act, and a gene that is hardly expressed cannot act. The
    gene's own `expression` and `change` stand beside it, so that one sees what the network adds to them.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    genes
        Genes to hold, one at a time; None: the `regulators` of the fit, or all genes with a target where it named none.
    kind, level
        As in `scdash.tl.perturb`.
    trajectories
        Lineages, or trajectories (batches) of the fit; None: all. At most 20 lineages.
    models
        "all": the mean over the main and every replicate model, with their spread. "main": that alone.
    key
        The `key_added` of the fit.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `uns[f"{key}_perturbation_scores"]` : dict
        `table`: a row per gene and lineage with `gene`, `lineage`, `score`, `along_path`, `spread` (standard deviation of
        the score over models), `batch_spread` (over the `n_trajectories` of the lineage), `agreement` (fraction of models
        and trajectories with the sign of the mean `along_path`), `expression` (mean over the states of the lineage),
        `change` (from the first state to the last) and `n_targets`. Sorted by score. Genes without a target in the fitted
        network (`n_targets` is 0) have no score (NaN) and stand last, the most expressed first: that no edge was fitted
        does not mean that the gene has no effect. `params`, and `report`: what the model's error says about the scores.

    Raises
    ------
    KeyError
        If a gene is not in the model.
    NonFiniteError
        If a trajectory leaves the finite numbers.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.get.perturbation_scores : Return how far holding each gene moves the end of a lineage, the largest effects first, genes without a target last.
    scdash.pl.perturbation_scores : Draw the regulators whose knockout (or overexpression) moves the end of a lineage most, beside their expression.

    Examples
    --------
    >>> scdash.tl.perturbation_scores(adata)  # doctest: +SKIP
    >>> scdash.get.perturbation_scores(adata).head()  # doctest: +SKIP
    """
    entry: Any = require_timed_fit(adata, key)
    check_choice("models", models, ("all", "main"))
    names = np.asarray(entry["genes"]).astype(str)
    here = genes_of(adata, entry, key)
    degree = count_targets(entry)
    chosen = _chosen(entry, names, degree, genes)
    chosen = chosen[here.present[chosen]] if genes is None else chosen
    if genes is None and not (degree[chosen] > 0).any():
        raise ValueError("No gene of the fitted network has a target: there is nothing to perturb.")
    paths = lineage_paths(entry, trajectories)
    named = chosen if genes is not None else chosen[degree[chosen] > 0]  # of the others the report tells
    if kind == "knockout":
        warn_of_negative_levels(entry, named)
    warn_of_interventions(entry, named)
    weights = weights_of_models(entry)[: None if models == "all" else 1]
    with step(f"{kind} of {len(chosen)} genes, {len(paths)} lineages, {len(weights)} models") as added:
        with progress_bar(len(weights) * sum(len(path.states) for path in paths), "perturbations") as bar:
            parts = [
                _of_lineage(entry, path, weights, names, chosen, degree, kind, level, bar.update) for path in paths
            ]
        table = pd.concat(parts, ignore_index=True).sort_values(
            ["score", "expression"], ascending=False, kind="stable", na_position="last", ignore_index=True
        )
        report = _report(entry, table, len(weights))
        params = {"kind": kind, "level": level, "models": models}
        result = sanitise(stamp({"table": table, "params": params, "report": report}))
        target = writable(adata, copy=copy)
        target.uns[f"{key}_perturbation_scores"] = result
        added += [f"added uns[{f'{key}_perturbation_scores'!r}] (see scdash.get.perturbation_scores)", report]
    return target if copy else None


def _chosen(
    entry: Mapping[str, Any], names: NDArray[np.str_], degree: NDArray[np.int64], genes: Iterable[str] | None
) -> NDArray[np.int64]:
    """Return the numbers of the genes to hold: those named, else the regulators of the fit, else all with a target."""
    if genes is not None:
        return np.asarray(all_genes(listed_names(genes), names, "genes"), dtype=np.int64)
    regulators = entry["params"].get("regulators")
    if regulators is None:
        return np.flatnonzero(degree > 0)
    return np.flatnonzero(np.isin(names, np.asarray(regulators).astype(str)))


def _of_lineage(
    entry: Mapping[str, Any],
    path: LineagePath,
    weights: list[Any],
    names: NDArray[np.str_],
    chosen: NDArray[np.int64],
    degree: NDArray[np.int64],
    kind: Kind,
    level: float | None,
    done: Callable[[], object],
) -> pd.DataFrame:
    """Return the rows of one lineage."""
    able = degree[chosen] > 0
    distance = np.full((len(weights), len(path.states), len(chosen)), np.nan)  # models, trajectories, genes
    along = distance.copy()
    for m, one in enumerate(weights):
        for t, (states, duration) in enumerate(path.ends):
            found = _shift(entry, one, states, duration, names, chosen[able], kind, level)
            distance[m, t, able], along[m, t, able] = found
            done()
    expression = np.mean([states.mean(axis=0) for states in path.states], axis=0)
    change = np.mean([states[-1] - states[0] for states in path.states], axis=0)
    mean, missing = along.mean(axis=(0, 1)), np.full(len(chosen), np.nan)
    agreement = (np.sign(along) == np.sign(mean)).mean(axis=(0, 1))
    several, batches = len(weights) > 1, len(path.states) > 1
    return pd.DataFrame(
        {
            "gene": names[chosen],
            "lineage": path.name,
            "score": distance.mean(axis=(0, 1)),
            "along_path": mean,
            "spread": distance.mean(axis=1).std(axis=0, ddof=1) if several else missing,
            "batch_spread": distance.mean(axis=0).std(axis=0, ddof=1) if batches else missing,
            "n_trajectories": len(path.states),
            "agreement": np.where(able, agreement, np.nan) if several or batches else missing,
            "expression": expression[chosen],
            "change": change[chosen],
            "n_targets": degree[chosen],
        }
    )


def _shift(
    entry: Mapping[str, Any],
    weights: Any,
    states: NDArray[np.float64],
    duration: float,
    names: NDArray[np.str_],
    held: NDArray[np.int64],
    kind: Kind,
    level: float | None,
) -> EndShift:
    """Return the effects of holding each gene in one trajectory of one model."""
    if not len(held):
        return EndShift(np.zeros(0), np.zeros(0))
    model = module_from_entry(entry, weights)
    found = held_levels(model, entry, list(names[held]), kind, level, torch.as_tensor(states[:1]))
    return end_shift(model, states, duration, held, np.array([float(found[int(gene)][0]) for gene in held]))


def _report(entry: Mapping[str, Any], table: pd.DataFrame, n_models: int) -> str:
    """Say what the error of the model and the spread of the ensemble allow to conclude."""
    metrics = entry.get("metrics") or {}
    if "held_out_error" in metrics:  # over that of a constant, on what folds have left out
        worse = metrics["held_out_error"] >= 1
        line = f"Model: held-out error {metrics['held_out_error']:.3g} of a constant's."
    else:
        known = {name: metrics.get(name, float("nan")) for name in ("test_mse", "constant_mse", "no_change_mse")}
        worse = any(known["test_mse"] >= known[name] for name in ("constant_mse", "no_change_mse"))
        line = f"Model: {', '.join(f'{name} {value:.3g}' for name, value in known.items())}."
    if worse:
        line += " It predicts held-out states no better than a trivial predictor: do not rely on these scores."
    scored = table.dropna(subset="score")
    both = scored.groupby("lineage")[["score", "expression"]]
    related = np.array([part.corr("spearman").to_numpy()[0, 1] for _, part in both], dtype=np.float64)
    if len(scored) > 2 and np.isfinite(related).any():
        line += f" Rank correlation of score and expression of the gene: {np.nanmean(related):.2f}."
    idle = int((table["n_targets"] == 0).sum() / max(table["lineage"].nunique(), 1))
    if idle:
        line += f" {idle} genes have no target in the network, and no score: the model says nothing about what they do."
    if n_models == 1:
        return line + " One model, so no spread: fit with n_models > 1 before choosing a gene."
    clear = int((scored["score"] > 2 * scored["spread"]).sum())
    return (
        line + f" {clear} of {len(scored)} scores are more than twice their standard deviation over {n_models} models."
    )
