"""What trajectories that were left out say of models: errors from their first state to their end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scdash.dynamics.whole_trajectories.folds import Fold
from scdash.dynamics.whole_trajectories.pruning import Candidate
from scdash.dynamics.whole_trajectories.selection import Errors
from scdash.training.rollouts import GeneWise, errors_from_start


def held_out_errors(model: GeneWise, fold: Fold, longest_step: float = math.inf) -> Errors:
    """Return the mean squared error of every held-out trajectory from its first state, over that of the mean state.

    Steps of the solver are a quarter of those that were trained with, which are not longer than `longest_step`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        errors = errors_from_start(model, fold.held, fold.start, fold.weights, substeps=4, longest_step=longest_step)
        errors = errors / fold.constant_error
    return np.where(np.isfinite(errors), errors, np.inf)


def held_out_error(model: GeneWise, fold: Fold) -> float:
    """Return the mean of `held_out_errors` over the trajectories of a fold."""
    return float(held_out_errors(model, fold).mean())


@dataclass(frozen=True)
class Evaluated:
    """What held-out trajectories say of the models of a path."""

    path: list[Candidate]  # of the first fold
    errors: Errors  # (models, folds)
    cases: Errors  # (models, trajectories)
    edges: NDArray[np.int64]  # (models,), mean over folds

    @classmethod
    def of(cls, paths: Sequence[list[Candidate]], folds: Sequence[Fold], longest_step: float) -> Self:
        """Evaluate the models of a path on what the folds leave out, one path for every fold."""
        found = [
            np.array([held_out_errors(one.model, fold, longest_step) for one in path])
            for path, fold in zip(paths, folds, strict=True)
        ]
        edges = np.array([[one.edges for one in path] for path in paths]).T.mean(axis=1).astype(np.int64)
        return cls(
            paths[0], np.stack([part.mean(axis=1) for part in found], axis=1), np.concatenate(found, axis=1), edges
        )

    def rows(self, stage: str, weight: float, *, mixed: bool) -> list[dict[str, Any]]:
        """Return a row of `Choice.table` for every model."""
        found: list[dict[str, Any]] = []
        for one, errors, edges in zip(self.path, self.errors, self.edges, strict=True):
            row = {"stage": stage, "prior_weight": weight, "mixed_starts": mixed}
            row |= {"epochs": one.epochs, "level": one.level}
            row |= {"edges": int(edges), "error": float(errors.mean())}
            found.append(row | {f"fold {k + 1}": value for k, value in enumerate(errors)})
        return found
