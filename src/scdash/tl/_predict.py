"""`predict`: trajectories of a fitted model from any start."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit, stored_key
from scdash._core.process_state import guarded
from scdash._core.types import StartLike, TimesLike
from scdash.dynamics.predictions import NETWORK, PredictorName, check_predictor, predict_split, predict_states
from scdash.networks import module_from_entry, rollout
from scdash.networks.prediction_starts import start_states, time_grid


@guarded
def predict(
    adata: "AnnData",
    start: StartLike | None = None,
    *,
    times: TimesLike | None = None,
    key: str | None = None,
    layer: str | None = None,
    missing_genes: Literal["raise", "mean"] = "raise",
    predictor: PredictorName = "network",
    split: Literal["train", "validation", "test"] | None = None,
) -> AnnData:
    """Predict expression over time with a fitted model of dynamics, or features of cells with a bottleneck network.

    Integrates dx/dt with steps of at most a quarter of the fastest relaxation time, halved until it no longer matters.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to; or a MuData that `scdash.tl.sbnn` or `scdash.tl.srrr` has
        written to: `start` are then the cells whose features are predicted, an AnnData of log expression.
    start
        Where to start: None (the first state of every trajectory the model was fitted on; the control of a screen), names of
        lineages or trajectories of the fit (their first states), names of observations, a boolean `obs` mask, an AnnData, a DataFrame (rows by genes) or an array (rows, modelled genes), in the units of
        the data.
    times
        Increasing times since the start, which is 0 whether or not it is among them: the state at 2 is the same for
        times=[2, 4] and times=[0, 2, 4]. In the unit of the fit's `time_key`; for cells in pseudotime in the model's
        time, which runs from 0 to 10: `obs[f"{key}_position"]` has the place of every cell on it. None: the times at which the fit has
        states, each since the first state of its own trajectory, so that predictions from the first states end where the
        trajectories do (of cells the states are the means of bins, the first and last of which lie half a bin inside the
        axis: with 20 bins at 0.25 and 9.75, and the times are 0, 0.5, ..., 9.5); for a screen, long enough to come to rest.
    key
        The `key_added` of the fit; None: "dynamics" for AnnData, for MuData "sbnn" or the only fit there is.
    layer
        Layer of `adata` (or of `start`, if that is an AnnData) to take start states from; None: the one that was
        fitted; "X": X.
    missing_genes
        For MuData: "raise", or "mean" to fill genes that `start` lacks with their training mean.
    predictor
        For cells: "network", the fitted model; one of the predictors without a network that the fit's report lists
        (`scdash.get.report`), which follow the training trajectories; or "best", the one of all these with the smallest
        error of whole validation windows, which the log names. A network is often not the best predictor of cells
        (:doc:`/concepts/evidence`). Starts other than None take their time and lineage from the training state nearest
        to them; a predictor without a network cannot be asked what a change of a gene would do.
    split
        Predict what the fit was evaluated by: every window of states of "test" (or "validation", "train"), whole, from the
        state before it and at its own times. Of cells these are the smoothed bins. Without `start` and `times`. `layers`
        then holds the `observed` states, `obs["window"]` the number of the window, `var["range"]` the unit of every
        gene in which errors are given, and `uns` the errors of the report again, `rollout_mse` and `next_step_mse`.

    Returns
    -------
    AnnData
        AnnData of shape (starts * times, modelled genes): `X` predicted expression, `obs["trajectory"]` the start's name,
        `obs["time"]` since the start, `obs["position"]` the place on the time axis of the fit, which is that of the start plus
        the time: of cells the axis of `obs[f"{key}_position"]`, so that a prediction stands beside the cells of the same
        position, else that of `time_key` (NaN for starts whose place is not known, such as arrays), `uns["predictor"]` the name of the predictor (dynamics alone),
        `uns["time_name"]` what an axis of `obs["time"]` is called.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    KeyError
        If the start lacks genes of the model.
    ValueError
        If `predictor` is unknown, or needs cells and the fit is of time courses or a screen; if `split` has no states.
    NonFiniteError
        If the trajectory leaves the finite numbers.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.get.model : Rebuild the fitted model from `adata.uns[key]`.

    Examples
    --------
    >>> future = scdash.tl.predict(adata, times=[0, 1, 2, 5])  # doctest: +SKIP
    """
    key = stored_key(adata, key)
    if hasattr(adata, "mod"):
        from scdash.paired.application import predict_mudata

        if predictor != NETWORK:
            raise ValueError(f"predictor={predictor!r} is for dynamics; a MuData has no time.")
        if split is not None or times is not None:
            raise ValueError("split and times are for dynamics; a MuData has no time.")
        return predict_mudata(adata, start, key=key, layer=layer, missing_genes=missing_genes)
    entry = require_fit(adata, key)
    if missing_genes != "raise":
        raise ValueError(
            f"missing_genes={missing_genes!r} is for MuData; a model of dynamics needs the state of every gene."
        )
    if split is not None:
        if start is not None or times is not None or predictor != NETWORK:
            raise ValueError(f"split={split!r} has its own starts and times: leave out start, times and predictor.")
        return predict_split(entry, split)
    check_predictor(predictor, entry, key)
    genes_of(adata, entry, key)
    model = module_from_entry(entry)
    settings = FitSettings.of(entry, key)
    starts = start_states(adata, settings, entry, model, start, layer)
    grid = time_grid(entry, times)
    if predictor == NETWORK:
        begin = torch.as_tensor(starts.states, dtype=model.minimum.dtype)
        path = rollout(model, begin, torch.as_tensor(grid.solved)).numpy()
        used: str = predictor
    else:
        path, used = predict_states(entry, model, starts.states, grid.solved, predictor, first=start is None)
    found = paths_to_adata(path[grid.added :], starts.names, grid.asked, model.genes, starts.position)
    found.uns |= {"predictor": used, "time_name": settings.time_name}
    return found


def paths_to_adata(
    path: NDArray[Any], names: list[str], grid: NDArray[np.float64], genes: NDArray[Any], position: NDArray[np.float64]
) -> AnnData:
    """Turn states (times, starts, genes) into an AnnData with one row per start and time."""
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, len(grid)), categories=list(dict.fromkeys(names))),
            "time": np.tile(grid, len(names)),
            "position": np.add.outer(position, grid).ravel(),
        },
        index=pd.Index([f"{name}_t{k}" for name in names for k in range(len(grid))]),
    )
    flat = path.transpose(1, 0, 2).reshape(-1, path.shape[2]).astype(np.float32, copy=False)
    return AnnData(X=flat, obs=obs, var=pd.DataFrame(index=pd.Index(genes)))
