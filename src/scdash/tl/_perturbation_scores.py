"""`perturbation_scores`: which knock-out holds cells back from the end of their path."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scdash._core.fit_record import stamp
from scdash._core.process_state import guarded
from scdash._core.trajectories import StoredTrajectories
from scdash._data import all_genes, listed_names, sanitise
from scdash._errors import unknown
from scdash._keys import genes_of, require_fit
from scdash._logging import step
from scdash.networks import (
    DynamicsModel,
    count_targets,
    held_levels,
    module_from_entry,
    warn_of_interventions,
    warn_of_negative_levels,
)
from scdash.networks._interventions import intervene
from scdash.tl._influence import gene_range

Kind = Literal["knockout", "knockdown", "overexpression"]


@guarded
def perturbation_scores(
    adata: Any,
    *,
    genes: Iterable[str] | None = None,
    kind: Kind = "knockout",
    level: float | None = None,
    trajectories: str | Iterable[str] | None = None,
    models: Literal["all", "main"] = "all",
    key: str = "dynamics",
    copy: bool = False,
) -> Any:
    r"""Score every regulator by how far its knock-out (or over-expression) moves a lineage along its own path.

    From the first fitted state of a lineage, with the gene held, the model is integrated to the end of the lineage.
    With :math:`d` the observed difference between the last and the first state, in units of the genes' ranges, and
    :math:`\Delta` the difference that the intervention makes at the end, the gene itself left out of both,

    .. math:: \mathrm{score} = \Delta \cdot d / \lVert d \rVert^2 ,

    the share of the whole path by which the end moves: -0.1 means held back by a tenth.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    genes
        Genes to hold, one at a time; None: all with a target in the fitted network.
    kind, level
        As in `scdash.tl.perturb`.
    trajectories
        Lineages or trajectories of the fit; None: all but bootstraps, at most 20.
    models
        "all": the mean over the main and every replicate model, with their spread. "main": that alone.
    key
        The `key_added` of the fit.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    None, or the copy. Written:

    `uns[f"{key}_perturbation_scores"]` : dict
        `table`: a row per gene and trajectory with `gene`, `trajectory`, `score`, `spread` (standard deviation over
        models), `agreement` (share of models with the sign of the mean), `size` (root mean square of the change at the
        end, in ranges), `n_targets` (a gene with 0 has no edge to other genes, so that its score is
        0; the log warns), sorted by score. `params`, and `report`: what the model's error says about it.

    Raises
    ------
    KeyError
        If a gene is not in the model.
    NonFiniteError
        If a trajectory leaves the finite numbers.

    Examples
    --------
    >>> scdash.tl.perturbation_scores(adata)  # doctest: +SKIP
    >>> scdash.get.perturbation_scores(adata).head()  # doctest: +SKIP
    """
    entry: Any = require_fit(adata, key)
    if models not in ("all", "main"):
        raise unknown("models", models, ("all", "main"))
    names = np.asarray(entry["genes"]).astype(str)
    here = genes_of(adata, entry, key)
    degree = count_targets(entry)
    free = np.flatnonzero((degree > 0) & here.present)
    chosen = free if genes is None else all_genes(listed_names(genes), names, "genes")
    if not len(chosen):
        raise ValueError("No gene of the fitted network has a target: there is nothing to perturb.")
    paths = _paths(entry, trajectories)
    if kind == "knockout":
        warn_of_negative_levels(entry, chosen)
    warn_of_interventions(entry, chosen)
    weights = [entry["weights"]] + (list((entry.get("replicates") or {}).values()) if models == "all" else [])
    with step(f"{kind} of {len(chosen)} genes, {len(paths)} trajectories, {len(weights)} models") as added:
        parts = []
        for name, (states, duration) in paths.items():
            found = [
                _scores(module_from_entry(entry, one), entry, states, duration, chosen, names, kind, level)
                for one in weights
            ]
            parts.append(_table(name, found, names[chosen], degree[chosen]))
        table = pd.concat(parts, ignore_index=True).sort_values("score", kind="stable", ignore_index=True)
        report = _report(entry, table, len(weights))
        params = {"kind": kind, "level": level, "models": models}
        result = sanitise(stamp({"table": table, "params": params, "report": report}))
        target = adata.copy() if copy else adata
        target.uns[f"{key}_perturbation_scores"] = result
        added += [f"added uns[{f'{key}_perturbation_scores'!r}] (see scdash.get.perturbation_scores)", report]
    return target if copy else None


def _paths(entry: Any, trajectories: Any) -> dict[str, tuple[NDArray[np.float64], float]]:
    """Return the first and last state and the length of every trajectory wanted."""
    series = entry["series"]
    known = StoredTrajectories.of(series)
    available = known.all
    if trajectories is None:
        wanted = known.originals[:20]  # re-drawn cells are no lineages
    else:
        wanted = [trajectories] if isinstance(trajectories, str) else [str(name) for name in trajectories]
        for name in wanted:
            if name not in available:
                raise unknown("trajectory", name, available)
    states, times = np.asarray(series["states"], dtype=np.float64), np.asarray(series["time"], dtype=np.float64)
    found = {}
    for name in wanted:
        rows = known.rows(name)
        rows = rows[np.argsort(times[rows], kind="stable")]
        if len(rows) > 1:
            found[name] = (states[rows[[0, -1]]], float(times[rows[-1]] - times[rows[0]]))
    if not found:
        raise ValueError("No trajectory of the fit has two states.")
    return found


def _scores(
    model: DynamicsModel,
    entry: Any,
    states: NDArray[np.float64],
    duration: float,
    chosen: NDArray[np.int64],
    names: NDArray[Any],
    kind: Kind,
    level: float | None,
) -> NDArray[np.float64]:
    """Return score and size of the change for every gene held, (2, genes)."""
    start = torch.as_tensor(states[:1])
    levels = held_levels(model, entry, list(names[chosen]), kind, level, start)
    held = np.zeros((len(chosen) + 1, len(names)), dtype=bool)
    held[np.arange(len(chosen)), chosen] = True
    values = np.array([float(levels[int(column)][0]) for column in chosen] + [0.0])[:, None]
    ends = intervene(model, np.repeat(states[:1], len(held), axis=0), duration, held, values)
    unit = gene_range(entry)[1]
    change, path = (ends[:-1] - ends[-1]) / unit, (states[1] - states[0]) / unit
    others = ~held[:-1]
    length = (others * path**2).sum(1)
    score = np.divide((change * others) @ path, length, out=np.zeros(len(chosen)), where=length > 0)
    return np.stack([score, np.sqrt((change**2 * others).sum(1) / np.maximum(others.sum(1), 1))])


def _table(name: str, found: list[NDArray[np.float64]], genes: NDArray[Any], degree: NDArray[np.int64]) -> pd.DataFrame:
    scores, sizes = (np.stack([one[i] for one in found]) for i in range(2))
    mean = scores.mean(0)
    several = len(found) > 1
    return pd.DataFrame(
        {
            "gene": genes,
            "trajectory": name,
            "score": mean,
            "spread": scores.std(0, ddof=1) if several else np.full(len(genes), np.nan),
            "agreement": (np.sign(scores) == np.sign(mean)).mean(0) if several else np.full(len(genes), np.nan),
            "size": sizes.mean(0),
            "n_targets": degree,
        }
    )


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
    if n_models == 1:
        return line + " One model, so no spread: fit with n_models > 1 before choosing a gene."
    clear = int((table["score"].abs() > 2 * table["spread"]).sum())
    return line + f" {clear} of {len(table)} scores lie more than two standard deviations of {n_models} models from 0."
