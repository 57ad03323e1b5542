"""How much measured velocities count in the regression and in training: chosen by cells that are left out, 0 included."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.parallel import spread_all
from scdash._data import VelocityRows
from scdash.dynamics.whole_trajectories.evaluation import held_out_errors
from scdash.dynamics.whole_trajectories.folds import Fold
from scdash.dynamics.whole_trajectories.measured_velocity import slopes_at
from scdash.dynamics.whole_trajectories.one_fit import Ingredients, dense_candidates, with_training
from scdash.dynamics.whole_trajectories.selection import best, clearly_better
from scdash.dynamics.whole_trajectories.start import regression_starts
from scdash.regression import Field
from scdash.training.rollouts import GeneWise

WEIGHTS = (0.0, 0.1, 0.3, 1.0)  # of all velocities beside all transitions


@dataclass(frozen=True)
class VelocityChoice:
    """The weight that cells left out have chosen, and what it was chosen by."""

    weight: float
    table: pd.DataFrame  # of every weight: `weight`, `start_cosine`; where it was trained: `cosine`, `error`, `chosen`
    agreement: float  # cosine of velocities left out with the slopes of the trajectories that are learned from

    def lines(self, cosine: float) -> list[str]:
        """Say what was chosen; `cosine` is that of the fitted models with the velocities left out."""
        tried = ", ".join(f"{weight:g}" for weight in self.table["weight"])
        without = float(self.table["cosine"].iloc[0])
        found = [
            f"Velocity: weight {self.weight:g} beside the transitions, chosen among {tried} by cells that were left out: the "
            f"cosine with their velocities is {cosine:.2f} after pruning, {without:.2f} without measured velocities (before "
            f"pruning), and {self.agreement:.2f} for the trajectories' own direction."
        ]
        if self.agreement <= 0:
            found.append(
                "WARNING: the measured velocities do not point along the order of time. Look at its direction (the root of "
                "pseudotime), or at the velocities."
            )
        return found


def choose_velocity_weight(
    made_of: Ingredients, folds: Sequence[Fold], *, progress: bool | None = None
) -> VelocityChoice | None:
    """Return the weight of measured velocities, or None where there are none.

    Weights are tried in the order in which the regression predicts velocities that are left out, the best first. Taken is
    the first that is `worth_its_weight` once a model was trained with it; 0 if there is none.
    """
    used = [fold for fold in folds if fold.held_velocity is not None and fold.train.velocity is not None]
    if not used:
        return None
    pieces = [(made_of, fold) for fold in used]
    found = spread_all(_start_cosines, pieces, "choosing the weight of velocities", progress=progress)
    starts = np.array(found).mean(axis=0)
    table = pd.DataFrame({"weight": WEIGHTS, "start_cosine": starts})
    table = table.assign(cosine=np.nan, error=np.nan, chosen=False)
    none = _trained(made_of, used, 0.0, progress=progress)
    table.loc[0, ["cosine", "error"]] = none.mean(axis=0)
    chosen = 0
    for place in sorted(range(1, len(WEIGHTS)), key=lambda k: -starts[k]):
        trained = _trained(made_of, used, WEIGHTS[place], progress=progress)
        table.loc[place, ["cosine", "error"]] = trained.mean(axis=0)
        if worth_its_weight(trained, none):
            chosen = place
            break
    table.loc[chosen, "chosen"] = True
    return VelocityChoice(WEIGHTS[chosen], table, float(np.mean([_agreement(fold) for fold in used])))


def worth_its_weight(trained: NDArray[np.float64], none: NDArray[np.float64]) -> bool:
    """Return whether velocities that are left out are predicted, and clearly better than without measured ones.

    Given are cosine and error (folds, 2) of models trained with a weight, and without velocities. The cosine must also be
    clearly above 0: a layer of noise, which nothing predicts, is learned from else wherever chance favours it. Trajectories that
    are left out must not be predicted clearly worse.
    """
    with_them, without = -trained[:, 0], -none[:, 0]
    better = clearly_better(with_them, without) and clearly_better(with_them, np.zeros(len(with_them)))
    return better and not clearly_better(none[:, 1], trained[:, 1])


def _start_cosines(made_of: Ingredients, fold: Fold) -> list[float]:
    """Return for every weight the cosine of the regression with velocities that are left out."""
    starts = regression_starts(fold.train, WEIGHTS, regulators=made_of.regulators, regressions=made_of.regressions)
    assert fold.held_velocity is not None
    return [velocity_cosine(start, fold.held_velocity) for start in starts]


def _trained(
    made_of: Ingredients, folds: Sequence[Fold], weight: float, *, progress: bool | None
) -> NDArray[np.float64]:
    """Return cosine and error (folds, 2) of the dense model at the number of epochs that is best for trajectories."""
    pieces = [(with_training(made_of, velocity_weight=weight), fold.train, 1.0, made_of.epochs) for fold in folds]
    paths = spread_all(dense_candidates, pieces, "choosing the weight of velocities", progress=progress)
    step = made_of.settings.longest_step
    errors = np.array(
        [
            [held_out_errors(one.model, fold, step).mean() for one in path]
            for path, fold in zip(paths, folds, strict=True)
        ]
    )
    place = best(errors.T)
    cosines = [
        velocity_cosine(path[place].model, fold.held_velocity)
        for path, fold in zip(paths, folds, strict=True)
        if fold.held_velocity is not None
    ]
    return np.stack([cosines, errors[:, place]], axis=1)


def _agreement(fold: Fold) -> float:
    """Return the cosine of velocities that are left out with the slopes of the trajectories that are learned from."""
    assert fold.held_velocity is not None
    return mean_cosine(slopes_at(fold.held_velocity.states, fold.train), fold.held_velocity)


def velocity_cosine(model: GeneWise, rows: VelocityRows) -> float:
    """Return the mean cosine of the model's velocity with measured ones; see `mean_cosine`."""
    genes = len(model.bias)
    products = model.weights[:, genes:] if len(model.pairs) else None
    field = Field(model.weights[:, :genes], model.bias, model.rates, 1.0, model.pairs, products)
    return mean_cosine(field.velocity(rows.states), rows)


def mean_cosine(made: NDArray[np.floating[Any]], rows: VelocityRows) -> float:
    """Return the mean over rows of the cosine of velocities (rows, genes) with measured ones.

    Every gene is divided by the root mean square of its measured velocity, and counts by its reliability.
    """
    size = np.sqrt((rows.velocities**2).mean(axis=0))
    unit = np.divide(np.sqrt(rows.reliability), size, out=np.zeros(len(size)), where=size > 0)
    made, seen = made * unit, rows.velocities * unit
    sizes = np.linalg.norm(made, axis=1) * np.linalg.norm(seen, axis=1)
    return float(np.mean((made * seen).sum(axis=1) / np.maximum(sizes, 1e-300)))
