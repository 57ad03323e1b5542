"""The path of regressions of cells: one rate and lag for all genes, a field for every penalty, and rows for measured velocities."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import VelocityRows
from scdash.regression.intervals import Trajectories
from scdash.regression.linear_field import Field
from scdash.regression.linear_fits import spread
from scdash.regression.penalty_choice import fit_paths
from scdash.regression.problems import Problem, Regression
from scdash.regression.production import softsign
from scdash.regression.settings import TransitionSettings
from scdash.regression.transitions import check_prior, make_setup


@dataclass(frozen=True)
class WeightedVelocity:
    """Rows with a velocity, and how much all of them count beside all transitions (1: as much)."""

    rows: VelocityRows
    weight: float


def with_velocity(
    regression: Regression, given: WeightedVelocity, regulators: NDArray[np.intp], rate: float, slope: float
) -> Regression:
    r"""Return a regression with rows for measured velocities beside its transitions.

    :math:`dx_i/dt = r (b_i + \sum_j S_{ij} \varphi(x_j) - x_i)` says that :math:`x_i + v_i / r` is linear in the
    regulators, as the production over an interval is. Its variance is that of :math:`x_i` plus that of :math:`v_i` over
    :math:`r^2`, and rows count by the inverse; their sum is the weight times that of the transitions.
    """
    rows = given.rows
    precision = rows.precision(rate)
    precision *= given.weight * regression.precision[regression.fit].sum() / precision.sum()
    new: Any = np.ones(len(rows), dtype=bool)
    return replace(
        regression,
        x=np.concatenate([regression.x, softsign(rows.states[:, regulators], slope)]),
        y=np.concatenate([regression.y, rows.states + rows.velocities / rate]),
        precision=np.concatenate([regression.precision, precision]),
        fit=np.concatenate([regression.fit, new]),
        held=np.concatenate([regression.held, ~new]),
    )


def path_of_fields(
    states: NDArray[np.floating[Any]],
    times: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *,
    lag: int,
    rate: float,
    prior: sp.csr_matrix | None,
    prior_weight: float,
    regulators: NDArray[np.integer[Any]] | None,
    settings: TransitionSettings,
    velocity: WeightedVelocity | None = None,
) -> list[Field]:
    """Return the field of every penalty of one path, fitted to padded trajectories, and to measured velocities if given.

    States are (trajectories, times, genes), times (trajectories, times); `rate` is per median interval.
    """
    data = Trajectories(
        states.astype(np.float64), times, lengths, np.ones(times.shape), np.arange(len(lengths), dtype=np.intp)
    )
    genes = data.states.shape[2]
    still = np.zeros(genes, dtype=bool)
    unit = 1 / float(np.median(np.diff(times, axis=1)[data.real[:, 1:]]))
    setup = make_setup(data, check_prior(prior, genes), regulators, settings, lag, still)
    problem = Problem(data, data.real[:, 1:], None, still, data.states, np.ones((1, 1)))
    regression, slope = problem.regression(setup, rate * unit, settings.slopes[0]), settings.slopes[0]
    if velocity is not None:
        regression = with_velocity(regression, velocity, setup.regulators, rate * unit, slope)
    paths = fit_paths(
        [regression],
        setup.targets,
        np.asarray(settings.lambdas),
        [setup.penalty(prior_weight)],
        setup.allowed,
        standardize=settings.standardize,
        mcp=settings.mcp,
        max_active=settings.max_active,
        stop=False,
    )
    found = []
    for place in range(len(paths.lambdas)):
        effects, intercept = paths.take(np.full(len(setup.targets), place), 0)
        found.append(Field(spread(effects, setup), intercept, np.full(genes, rate * unit), slope, None, None))
    return found
