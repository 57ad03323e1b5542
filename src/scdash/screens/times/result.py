"""The result of a call that asks for perturbations at times: one row for every perturbation and time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.types import TimesOrTexts
from scdash._data.screen import Screen
from scdash.screens.forward import NETWORK
from scdash.screens.predictors import Predictor, warn_unsettled
from scdash.screens.statistics import Floats
from scdash.screens.times.predictions import TimedPredictor, read_times, say_outside


def predicted_at_times(
    entry: Mapping[str, Any],
    network: Predictor,
    labels: Sequence[str],
    parsed: Screen,
    n_targets: NDArray[np.int64],
    times: TimesOrTexts,
    *,
    best: bool,
) -> AnnData:
    """Return the predictions of perturbations at times; `best` or by the network alone.

    Raises TypeError, ValueError if the fit knows no times, or those asked for cannot be read.
    """
    if "times" not in entry["screen"]:
        raise ValueError(
            "times: this fit was made without time_key and knows no times; leave times out, or fit with time_key."
        )
    predictor = TimedPredictor.of(entry, network)
    unit = _unit(entry)
    asked = read_times(times, unit)
    say_outside(asked, predictor.values, unit)
    rows = parsed.cells[1:]
    targets, kinds = parsed.targets[rows], [parsed.kinds[r] for r in rows]
    solved = network.solve(targets, tuple(kinds))
    warn_unsettled(solved.converged)
    control_at = {time: predictor.control(time) for time in asked}
    table: list[tuple[str, float, str, str, int, bool]] = []
    change, observed, control = [], [], []
    for i, label in enumerate(labels):
        for time in asked:
            name = predictor.name(targets[i], kinds[i], time) if best else NETWORK
            change.append(predictor.change(name, solved.values[i], targets[i], kinds[i], time))
            control.append(control_at[time])
            seen, status = _observed(entry, predictor, targets[i], kinds[i], time)
            observed.append(seen)
            table.append((label, time, name, status, int(n_targets[i]), bool(solved.converged[i])))
    columns = ["perturbation", "time", "predictor", "status", "n_targets", "converged"]
    obs = pd.DataFrame(table, columns=columns, index=[f"{row[0]}_t{row[1]:g}" for row in table])
    obs = obs.astype({"predictor": "category", "status": "category"})
    _say_predictors(obs["predictor"])
    result = AnnData(
        (np.stack(control) + np.stack(change)).astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index([str(g) for g in entry["genes"]])),
    )
    result.layers["change"] = np.stack(change).astype(np.float32)
    result.layers["observed_change"] = np.stack(observed).astype(np.float32)
    result.layers["target"] = np.repeat(targets, len(asked), axis=0)
    if unit is not None:
        result.uns["time_unit"] = unit
    return result


def _unit(entry: Mapping[str, Any]) -> str | None:
    unit = entry["screen"]["times"].get("unit")
    return None if unit is None or str(unit) == "" else str(unit)


def _observed(
    entry: Mapping[str, Any], predictor: TimedPredictor, targets: NDArray[np.bool_], kind: str, time: float
) -> tuple[Floats, str]:
    """Return the observed change at a time, NaN for none, and whether the perturbation was fitted, held out or neither."""
    nothing = np.full(len(targets), np.nan)
    if predictor.number_of(targets, kind) is not None:
        found = predictor.observed(targets, kind, time)
        return (nothing if found is None else found), "fitted"
    held, number = entry["screen"].get("held_out"), predictor.number(time)
    if held is not None:
        same = (sp.csr_matrix(held["targets"]).toarray() != 0) == targets
        at = np.flatnonzero(same.all(axis=1) & (np.asarray(held["kinds"]).astype(str) == kind))
        if len(at):
            known = number is not None and "change_by_time" in held
            return (np.asarray(held["change_by_time"], dtype=float)[at[0], number] if known else nothing), "held out"
    return nothing, "not observed"


def _say_predictors(names: pd.Series) -> None:
    """Log what predicts, where it is not the network."""
    for name, count in names.astype(str).value_counts().items():
        if name != NETWORK:
            logger.info(
                "    %d of %d rows are predicted by: %s; predictor='network' predicts all by the network",
                count,
                len(names),
                name,
            )
