"""`perturb`: what the fitted model says about knockouts and overexpression."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.display import some_names
from scdash._core.drawing import not_below_observed, trajectory_colors
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import logger
from scdash._core.process_state import guarded
from scdash._core.time_axis import time_axis
from scdash._core.trajectories import StoredTrajectories
from scdash._core.types import StartLike, TimesLike
from scdash.networks import (
    count_targets,
    module_from_entry,
    named_levels,
    rollout,
    warn_of_interventions,
    weights_of_models,
)
from scdash.networks.intervention_levels import Kind
from scdash.networks.prediction_starts import start_states, time_grid
from scdash.tl._predict import paths_to_adata


@guarded
def perturb(
    adata: AnnData,
    genes: str | Iterable[str] | Mapping[str, float],
    *,
    kind: Kind = "knockout",
    level: float | None = None,
    start: StartLike | None = None,
    times: TimesLike | None = None,
    key: str = "dynamics",
    layer: str | None = None,
) -> AnnData:
    """Predict trajectories with some genes held at a level, beside the unperturbed ones.

    The genes are set to their level at the start and kept there (dx_i/dt = 0); all others follow the fitted dynamics.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    genes
        One gene, several, or a mapping from gene to the level it is held at.
    kind
        "knockout": held at 0; refused where the data of the fit have negative values, since 0 then does not mean that a
        gene is not expressed: name the level in `genes`. "knockdown": at `level` (default 0.5) times its start value.
        "overexpression": at `level` times the highest value that it has in the fitted trajectories (default 1). Both are
        measured from the lowest value of the gene where that is negative.
    level
        See `kind`; not for knockouts or mappings.
    start, times, layer
        As in `scdash.tl.predict`.
    key
        The `key_added` of the fit.

    Returns
    -------
    AnnData
        AnnData of shape (2 * starts * times, modelled genes): `X` predicted expression, `obs["condition"]` ("control",
        "perturbed"), `obs["trajectory"]`, `obs["time"]` and `obs["position"]` as in `scdash.tl.predict`. `uns["change"]`, a table sorted by size: gene, `control` and
        `perturbed` at the last time (mean over starts; as in figures at least 0 for genes, other than those held, that were nowhere
        observed below 0, which `X` need not be), `change`, `held`, `spread` (standard deviation of the change
        over replicate models; NaN with `n_models=1`), and `n_targets` (how many genes this gene regulates in the fitted
        network: a held gene with 0 changes nothing but itself, and the log warns). `layers["spread"]`: standard deviation of
        `X` over replicate models, with `n_models > 1`. `uns["observed"]`: the states of the fit, as `trajectory`,
        `time` and `states` (states, genes). `uns["perturbation"]`: a table `gene`,
        `level` of what was held. `uns["trajectory_colors"]`, where `adata.uns` has colours of the lineages.

    Raises
    ------
    KeyError
        If genes are not in the model; all of them are named, with near matches.
    NonFiniteError
        If a trajectory leaves the finite numbers.

    See Also
    --------
    scdash.tl.perturbation_scores : Score every regulator by how far its knockout (or overexpression) moves the end of a lineage.
    scdash.tl.perturbation_shift : Predict for every cell how an intervention moves it within a short time, beside going on without it.
    scdash.pl.knockout_trends : Draw genes over time without (solid) and with an intervention (dashed), as predicted by `scdash.tl.perturb`.
    scdash.pl.knockout_volcano : Draw how far an intervention changes every gene, against how certain the change is, as a volcano.

    Examples
    --------
    >>> knocked = scdash.tl.perturb(adata, "MYOD1")  # doctest: +SKIP
    >>> knocked.uns["change"].head()  # doctest: +SKIP
    """
    entry = require_fit(adata, key)
    genes_of(adata, entry, key)
    model = module_from_entry(entry)
    settings = FitSettings.of(entry, key)
    starts = start_states(adata, settings, entry, model, start, layer)
    grid = time_grid(entry, times)
    x, t = torch.as_tensor(starts.states, dtype=model.minimum.dtype), torch.as_tensor(grid.solved)
    held = named_levels(model, entry, genes, kind, level, x)
    warn_of_interventions(entry, held)
    replicates = [module_from_entry(entry, weights) for weights in weights_of_models(entry)[1:]]
    control, perturbed = rollout(model, x, t), rollout(model, x, t, held=held)
    others = [(rollout(m, x, t).numpy(), rollout(m, x, t, held=held).numpy()) for m in replicates]
    observed = _observed(entry)
    lowest = np.where(np.isin(np.arange(x.shape[1]), list(held)), -np.inf, observed["states"].min(axis=0))
    spread = [_mean_end(changed, lowest) - _mean_end(free, lowest) for free, changed in others]
    both = [
        paths_to_adata(path[grid.added :].numpy(), starts.names, grid.asked, model.genes, starts.position)
        for path in (control, perturbed)
    ]
    result = AnnData(
        X=np.concatenate([part.X for part in both]),
        obs=pd.concat(
            [part.obs.assign(condition=name) for part, name in zip(both, ("control", "perturbed"), strict=True)]
        ).set_axis([f"{c}_{n}" for c, part in zip("cp", both, strict=True) for n in part.obs_names]),
        var=both[0].var,
    )
    result.obs["condition"] = pd.Categorical(result.obs["condition"], categories=["control", "perturbed"])
    if len(others) > 1:
        result.layers["spread"] = np.concatenate([_spread(paths, grid.added) for paths in zip(*others, strict=True)])
    result.uns |= _for_figures(adata, entry, key, starts.names) | {"observed": observed}
    if len(starts.names) > 1:
        logger.info(
            "    uns['change'] is the mean over %s; name one as start for its own changes",
            some_names(starts.names, "starts"),
        )  # fmt: skip
    ends = {name: _mean_end(path.numpy(), lowest) for name, path in (("control", control), ("perturbed", perturbed))}
    result.uns["change"] = _change_table(model.genes, ends, held, spread, count_targets(entry))
    result.uns["perturbation"] = pd.DataFrame(
        {
            "gene": [str(model.genes[i]) for i in held],
            "level": [float(value.mean()) for value in held.values()],
        }
    )
    return result


def _for_figures(adata: AnnData, entry: Mapping[str, Any], key: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what figures show beside predictions: the axis of time, and stored colours of the starts."""
    axis = time_axis(adata, entry, key)
    found: dict[str, Any] = {"time_name": axis.name}
    if axis.fitted is not None and axis.own is not None:
        found["time_axis"] = pd.DataFrame({"fitted": axis.fitted, "shown": axis.own})
    colors = trajectory_colors(adata, FitSettings.of(entry, key).text("trajectory_key"), names)
    if colors is not None:
        found["trajectory_colors"] = [colors[name] for name in names]
    return found


def _spread(paths: Sequence[NDArray[np.float32]], added: int) -> NDArray[np.float32]:
    """Return the standard deviation over models, (starts * times, genes), in the order of `paths_to_adata`."""
    spread = np.std(paths, axis=0, ddof=1)[added:]
    return np.asarray(spread.swapaxes(0, 1).reshape(-1, spread.shape[-1]), dtype=np.float32)


def _observed(entry: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the states that the fit was made on, without those of resampled cells."""
    series = entry["series"]
    known = StoredTrajectories.of(series)
    rows = np.flatnonzero(known.name == known.origin)
    return {
        "trajectory": known.name[rows].astype(object),
        "time": np.asarray(series["time"], dtype=np.float64)[rows],
        "states": np.asarray(series["states"], dtype=np.float32)[rows],
    }


def _mean_end(path: NDArray[Any], lowest: NDArray[Any]) -> NDArray[Any]:
    """Return the mean over starts of the last states of `path` (times, starts, genes), as figures draw them."""
    return np.asarray(not_below_observed(path[-1], lowest).mean(axis=0))


def _change_table(
    genes: NDArray[Any],
    ends: Mapping[str, NDArray[Any]],
    held: Mapping[int, torch.Tensor],
    spread: list[np.ndarray[Any, Any]],
    n_targets: NDArray[np.int64],
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "gene": genes,
            **ends,
            "held": np.isin(np.arange(len(genes)), list(held)),
        }
    )
    table["change"] = table["perturbed"] - table["control"]
    table["spread"] = np.std([*spread], axis=0) if len(spread) > 1 else np.nan
    table["n_targets"] = n_targets
    order = table["change"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
