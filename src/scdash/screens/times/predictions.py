"""Predictions of a fitted screen at any times, of perturbations that it has seen and of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.types import TimesOrTexts
from scdash._data import parse_time, time_in_unit
from scdash.screens.baselines.best_predictor import BestPredictor
from scdash.screens.baselines.linear_model import linear_model, sum_of_singles
from scdash.screens.forward import LINEAR, NETWORK, OTHERS, SINGLES
from scdash.screens.predictors import Constant, Predictor
from scdash.screens.statistics import Floats
from scdash.screens.times.errors import BEFORE, PERTURBATION, RELAXED, TIME, best_at_times
from scdash.screens.times.relaxation import Relaxation
from scdash.screens.times.responses import TimedResponses

OBSERVED = "own response at the time, relaxed"
Known = tuple[tuple[int, ...], str]  # targets and kind of a perturbation


def stored_times(timed: TimedResponses) -> dict[str, Any]:
    """Return what predictions at times need, for `uns[key]["screen"]["times"]`."""
    every = np.ones(len(timed.change), bool)
    return {
        "values": timed.times.values,
        "unit": timed.times.unit,
        "rate": timed.relaxation.rate,
        "onset": timed.relaxation.onset,
        "part": timed.relaxation.at(timed.times.values),
        "change": timed.change.astype(np.float32),
        "cells": timed.counts,
        "control": timed.control,
        "mean_change": timed.mean_of(every),
        "mean_response": timed.response_of_mean(timed.mean_of(every)),
        "common_change": timed.common(),
        "common_response": timed.common_response(),
        "response": timed.responses(),
    }


def read_times(given: TimesOrTexts, unit: str | None) -> Floats:
    """Return the times of a call as numbers in the unit of the fit.

    Raises TypeError, ValueError if they cannot be read, or have a unit that the fit does not know.
    """
    several: list[object] = [given] if isinstance(given, str | float | int) or np.ndim(given) == 0 else list(given)
    read = parse_time(pd.Series(several), "times")
    if not len(several) or not np.isfinite(read.values).all():
        raise ValueError(f"times must be finite and at least one, found {several!r}.")
    return time_in_unit(read, unit, "times")


@dataclass(frozen=True)
class TimedPredictor:
    """Predicts changes at times from a stored fit; what predicts is chosen by what was left out in the fit."""

    network: Predictor
    best: BestPredictor
    stored: Mapping[str, Any]
    relaxation: Relaxation
    share: float
    errors: pd.DataFrame
    mean: Floats  # (genes,), mean response of the perturbations
    seen: Mapping[Known, int]  # numbers of the perturbations of the fit, the control being 0

    @classmethod
    def of(cls, entry: Mapping[str, Any], network: Predictor) -> Self:
        """Read a stored fit."""
        screen = entry["screen"]
        stored = screen["times"]
        targets = sp.csr_matrix(screen["targets"]).toarray() != 0
        kinds = [str(kind) for kind in screen["kinds"]]
        hidden = {str(name) for name in screen["unmeasured_targets"]["perturbation"]}
        told = [str(name) not in hidden for name in screen["perturbations"]]  # what they do is not all in their targets
        last = float(np.asarray(stored["values"])[-1])
        errors = entry.get("errors_by_time")
        return cls(
            network=network,
            best=BestPredictor.of(entry, network),
            stored=stored,
            relaxation=Relaxation(float(stored["rate"]), float(stored["onset"]), last),
            share=float(entry.get("network_share", 1.0)),
            errors=errors if isinstance(errors, pd.DataFrame) else pd.DataFrame({"left_out": [], "predictor": []}),
            mean=np.asarray(screen.get("mean_change", np.zeros(targets.shape[1])), dtype=float),
            seen={(tuple(np.flatnonzero(row)), kinds[r]): r for r, row in enumerate(targets) if row.any() and told[r]},
        )

    @property
    def values(self) -> Floats:
        """Times of the fit."""
        return np.asarray(self.stored["values"], dtype=float)

    def number(self, time: float) -> int | None:
        """Return the number of a sampled time, None for others."""
        near = np.flatnonzero(np.isclose(self.values, time, rtol=1e-9, atol=0))
        return int(near[0]) if len(near) else None

    def number_of(self, targets: NDArray[np.bool_], kind: str) -> int | None:
        """Return the number of a perturbation of the fit, None for others."""
        return self.seen.get((tuple(np.flatnonzero(targets)), kind))

    def observed(self, targets: NDArray[np.bool_], kind: str, time: float) -> Floats | None:
        """Return the observed change of a perturbation of the fit at a time, None where there is none."""
        row, number = self.number_of(targets, kind), self.number(time)
        if row is None or number is None or np.asarray(self.stored["cells"])[row, number] == 0:
            return None
        return np.asarray(np.asarray(self.stored["change"])[row, number], dtype=float)

    def name(self, targets: NDArray[np.bool_], kind: str, time: float) -> str:
        """Return what predicts a perturbation at a time."""
        row = self.number_of(targets, kind)
        if row is None:
            combined = bool(targets.sum() > 1)
            name = best_at_times(self.errors, PERTURBATION, combined=combined) or NETWORK
            return NETWORK if name == SINGLES and np.isnan(self._singles(targets, time)).any() else name
        if self.observed(targets, kind, time) is not None:
            return OBSERVED
        return best_at_times(self.errors, TIME) or RELAXED

    def change(self, name: str, solved: Floats, targets: NDArray[np.bool_], kind: str, time: float) -> Floats:
        """Return the change (genes,) that a predictor says; `solved` is the response that the network says."""
        if name in (OBSERVED, RELAXED, BEFORE):
            return self._of_own(name, targets, kind, time)
        mean, level = self._mean(time), self._level(time)
        if name == NETWORK:
            return np.where(targets, solved, mean + self.share * level * (solved - self.mean))
        if name == LINEAR:
            told = linear_model(self.best.observed, self.best.targets, targets[None], self.mean)[0]
            found = mean + level * (told - self.mean)
        elif name == SINGLES:
            found = self._singles(targets, time)
        else:
            found = mean if name == OTHERS else np.zeros(len(mean))
        constant = Constant(found, self.best.effect, self.network.centre, self.network.lowest)
        return np.asarray(constant.solve(targets[None], (kind,)).values[0])

    def control(self, time: float) -> Floats:
        """Return the state of the control at a time, between the sampled times on a line, outside as at the nearest."""
        states = np.asarray(self.stored["control"], dtype=float)
        return np.array([np.interp(time, self.values, gene) for gene in states.T])

    def _level(self, time: float) -> float:
        return float(self.relaxation.at(np.array([time]))[0])

    def _mean(self, time: float) -> Floats:
        number = self.number(time)
        if number is not None:
            return np.asarray(np.asarray(self.stored["mean_change"])[number], dtype=float)
        return np.asarray(self._level(time) * np.asarray(self.stored["mean_response"], dtype=float))

    def _of_own(self, name: str, targets: NDArray[np.bool_], kind: str, time: float) -> Floats:
        """Return what the perturbation's own changes say; its targets are at the level that they had at all times."""
        row, number, level = self.number_of(targets, kind), self.number(time), self._level(time)
        changes: Floats = np.asarray(np.asarray(self.stored["change"])[row], dtype=float)
        if name == BEFORE:
            sampled = np.flatnonzero(np.asarray(self.stored["cells"])[row] > 0)
            before = sampled[self.values[sampled] < time]
            last: Floats = changes[before[-1] if len(before) else sampled[0]]
            return last
        if name == OBSERVED and number is not None:
            common = np.asarray(self.stored["common_change"], dtype=float)[number]
        else:
            common = level * np.asarray(self.stored["common_response"], dtype=float)
        found = common + level * np.asarray(self.stored["response"], dtype=float)[row]
        level_of_targets = self.best.observed[row - 1 if row is not None else 0]
        whole: Floats = np.where(targets, level_of_targets, found)
        return whole

    def _singles(self, targets: NDArray[np.bool_], time: float) -> Floats:
        number = self.number(time)
        if number is None:
            changes = self._level(time) * self.best.observed
        else:
            changes = np.asarray(np.asarray(self.stored["change"])[1:, number], dtype=float)
        return np.asarray(sum_of_singles(changes, self.best.targets, targets[None])[0])


def say_outside(times: Floats, sampled: Floats, unit: str | None) -> None:
    """Log where times lie outside the sampled ones."""
    outside = times[(times < sampled[0]) | (times > sampled[-1])]
    if len(outside):
        logger.info(
            "    %s outside the sampled times (%g to %g%s): responses go on as they relaxed between these",
            ", ".join(f"{time:g}" for time in np.unique(outside)),
            sampled[0],
            sampled[-1],
            f" {unit}" if unit else "",
        )
