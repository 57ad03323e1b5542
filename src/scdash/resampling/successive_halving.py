"""How far every setting of a grid is trained: all to the end, or ever fewer of them (successive halving)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash.training import TrainState

FACTOR = 3  # one setting in so many goes on from a rung: 3 or 4, near e, is what Li et al. (Hyperband, 2018) recommend
FINALISTS = 2  # settings that are trained to the end: the last choice is by the error that counts


class Trained(Protocol):
    """A stack of models after training: a row of `history` for every model and epoch."""

    @property
    def history(self) -> pd.DataFrame:
        """With `model`, `epoch`, `validation_loss` and `pruned`."""

    @property
    def validation_loss(self) -> tuple[float, ...]:
        """Of every model."""

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it."""

    @property
    def state(self) -> TrainState | None:
        """To go on from, where training was paused."""


# (models of the stack of all settings and folds, the state they go on from, the epoch to pause before) -> as trained
TrainModels = Callable[[Sequence[int], TrainState | None, int | None], Trained]


@dataclass(frozen=True)
class Rung:
    """After `epoch` epochs the best `settings` settings go on, the others stop."""

    epoch: int
    settings: int


@dataclass(frozen=True)
class Searched:
    """Error of every setting in every fold when it stopped, (settings, folds), for how many epochs, and who ended."""

    losses: NDArray[np.float64]
    epochs: NDArray[np.int64]
    finished: NDArray[np.bool_]


def plan_rungs(settings: int, max_epochs: int, alike: int, budget: float) -> tuple[Rung, ...]:
    r"""Return when how many settings go on, such that all epochs together are at most `budget` * `max_epochs`.

    Successive halving (Karnin, Koren & Somekh 2013): with :math:`n_0 > n_1 > \dots > n_k` settings left, every part
    between two rungs costs the same number of epochs c, so that few settings are trained for long. Settings are `alike`
    up to the first pruning, so that these epochs are trained once; the last :math:`n_k` go to the end E:

    .. math::

        r_i - r_{i-1} = c / n_{i-1}, \quad r_0 = a, \quad a + k c + n_k (E - r_k) = B E.

    A third goes on each time until two are left, or until those left can all be afforded. Where training is so short that
    a rung would fall before the first epoch after a pruning, or two rungs together, fewer go on. Nothing here depends on
    the data.
    """
    if not budget >= FINALISTS:
        raise ValueError(
            f"budget counts trainings to the end, and {FINALISTS} settings are trained to the end: give at least "
            f"{FINALISTS}, found {budget!r}."
        )
    if settings <= FINALISTS or alike + settings * (max_epochs - alike) <= budget * max_epochs:
        return ()
    for factor in range(FACTOR, max(settings, FACTOR) + 1):
        left = [settings]
        while left[-1] > FINALISTS:
            left.append(max(FINALISTS, ceil(left[-1] / factor)))
        for last in range(len(left), 1, -1):
            if (rungs := _equal_parts(left[:last], max_epochs, alike, budget)) is not None:
                return rungs
    least = 2 + (settings - 2 - alike) / max_epochs
    raise ValueError(
        f"budget={budget:g} does not train {settings} settings for an epoch after the first pruning (epoch {alike}) and "
        f"{FINALISTS} of them for all max_epochs={max_epochs}. Give at least {ceil(100 * least) / 100:g} or fewer settings, "
        "or leave budget out to train all of them to the end."
    )


def _equal_parts(left: Sequence[int], max_epochs: int, alike: int, budget: float) -> tuple[Rung, ...] | None:
    """Return the rungs at which `left` settings remain, None if these do not fit in between pruning and the end."""
    one = np.cumsum([1 / settings for settings in left[:-1]])  # r_i - a for c = 1
    rest = budget * max_epochs - alike - left[-1] * (max_epochs - alike)
    cost = rest / (len(left) - 1 - left[-1] * one[-1])
    epochs = [floor(alike + cost * fraction + 1e-9) for fraction in one]
    if not all(a < b for a, b in pairwise([alike, *epochs, max_epochs])):
        return None
    return tuple(Rung(epoch, settings) for epoch, settings in zip(epochs, left[1:], strict=True))


def train_settings(
    train: TrainModels, grid: Sequence[tuple[float, ...]], folds: int, *, alike: int, rungs: Sequence[Rung] = ()
) -> Searched:
    """Train every setting of `grid` in every fold; at each rung those with the lowest mean error go on, the others stop.

    Model s * folds + k of `train` is setting s in fold k. Before the first pruning settings do not differ, so that every
    fold is trained once for all of them. Settings that go on do so from their state: they end with the same numbers as
    without any rung.
    """
    # scores of earlier prunings are remembered only where the prior counts: that one can start all others
    lead = int(np.argmax([sum(setting) for setting in grid])) * folds
    trained = train(list(range(lead, lead + folds)), None, alike)
    if trained.interrupted:
        raise KeyboardInterrupt("interrupted before the first pruning: settings did not differ yet")
    left, state = np.arange(len(grid)), _paused(trained).of_models([*range(folds)] * len(grid))
    losses, epochs = np.full((len(grid), folds), np.nan), np.zeros(len(grid), np.int64)
    for until, going_on in (*((rung.epoch, rung.settings) for rung in rungs), (None, len(grid))):
        trained = train(_models(left, folds), state, until)
        last = until is None or trained.interrupted
        found = np.array(trained.validation_loss) if last else errors_since_pruning(trained)
        losses[left] = found.reshape(-1, folds)
        epochs[left] = trained.history.groupby("model")["epoch"].max().to_numpy().reshape(-1, folds).max(1) + 1
        if last:
            break
        kept = np.sort(np.argsort(losses[left].mean(1), kind="stable")[:going_on])
        state, left = _paused(trained).of_models(_models(kept, folds)), left[kept]
        logger.info("    epoch %d: %d settings go on: %s", until, len(left), _named([grid[int(s)] for s in left]))
    return Searched(losses, epochs, np.isin(np.arange(len(grid)), left))


def _paused(trained: Trained) -> TrainState:
    if trained.state is None:
        raise RuntimeError("training was to pause, but returned no state")
    return trained.state


def errors_since_pruning(trained: Trained) -> NDArray[np.float64]:
    """Return the lowest validation loss of every model since the last pruning, which settings are compared by at a rung.

    All have the same number of weights then, and have had the same time to recover from the loss of others: what differs
    is which weights each setting kept. The model that would be returned so far is no such measure: it may be from before
    the settings differed, there is none until a schedule has met its target, and one loss alone is noisy. Models that
    have stopped by themselves before the last pruning keep what they ended with.
    """
    history = trained.history
    recent = history[history["epoch"] >= history.loc[history["pruned"].astype(bool), "epoch"].max()]
    lowest = recent.groupby("model")["validation_loss"].min().reindex(range(len(trained.validation_loss)))
    found: NDArray[np.float64] = lowest.fillna(pd.Series(trained.validation_loss)).to_numpy(np.float64)
    return found


def _models(settings: NDArray[np.intp], folds: int) -> list[int]:
    return [int(setting) * folds + fold for setting in settings for fold in range(folds)]


def _named(settings: Sequence[tuple[float, ...]]) -> str:
    return ", ".join("(" + ", ".join(f"{value:g}" for value in setting) + ")" for setting in settings)
