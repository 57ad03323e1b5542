"""Which fits are trained on whole trajectories, and with which settings."""

from dataclasses import replace
from typing import Any

from scdash._errors import unused
from scdash.dynamics.whole_fit import EPOCHS
from scdash.fitting._options import FitOptions, method_of
from scdash.training.whole_trajectories import WholeTrajectories

SETTINGS = ("learning_rate", "batch_size", "max_epochs")  # of `Training` that such a fit has
NEUTRAL = {"tau": 1.0, "solver": "rk4"}
LEARNING_RATE = 1e-2


def suits_whole_trajectories(options: FitOptions) -> bool:
    """Return whether a fit would be trained on whole trajectories if its rows were cells: gene-wise, from the regression.

    Methods with penalties or gates start from random weights.
    """
    return (
        options.start == "regression"
        and options.is_phoenix
        and options.encoder == "genes"
        and method_of(options).plain
        and not method_of(options).levels
        and options.training.get("max_epochs") != 0
        and options.checkpoint is None
    )


def follows_trajectories(options: FitOptions) -> bool:
    """Return whether a fit is trained on whole trajectories; settings that such a training does not have are refused."""
    if not (options.cells and suits_whole_trajectories(options)):
        return False
    given = {name: value for name, value in options.training.items() if NEUTRAL.get(name) != value}
    other = sorted(set(given) - set(SETTINGS))
    if other:
        raise unused(
            ", ".join(f"{name} of Training" for name in other),
            "cells that start from the regression are trained on whole trajectories, which has the settings "
            f"{', '.join(SETTINGS)}; start='random' has the others",
        )
    return True


def dense_epochs(options: FitOptions) -> tuple[int, ...]:
    """Return the numbers of dense epochs to choose among: none, and up to the user's bound."""
    most = options.training.get("max_epochs")
    return EPOCHS if most is None else (*(epochs for epochs in EPOCHS if epochs < most), int(most))


def whole_settings(options: FitOptions) -> WholeTrajectories:
    """Return the settings of training, with the user's own."""
    given: dict[str, Any] = {
        name: options.training[name] for name in ("learning_rate", "batch_size") if name in options.training
    }
    return replace(WholeTrajectories(learning_rate=LEARNING_RATE), **given)
