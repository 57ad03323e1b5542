"""The fits of all data and of every fold, as training on whole trajectories takes them up."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash.regression.linear_field import Field
from scdash.regression.linear_fits import Linear, spread
from scdash.regression.problems import Problem, Setup
from scdash.regression.products import add_products


@dataclass(frozen=True)
class PartFit:
    """The fit of all the data, or of what one fold leaves."""

    sees: NDArray[np.bool_]  # (trajectories, times - 1), intervals that were fitted
    field: Field
    support: Any  # CSR (n, n) of booleans: edges of the linear fit at a weaker penalty, and regulators in products
    states: Floats  # (trajectories, times, n); genes that do not change have their mean over time


def make_parts(
    linear: Linear, wider: list[Any], problems: list[Problem], setup: Setup, slope: float
) -> tuple[tuple[PartFit, ...], float]:
    """Return the fit of every problem, with products where they are offered, and the error of these on held-out rows.

    `linear`: linear fits of all problems. `wider`: effects (targets, regulators) of every problem at a weaker penalty,
    for their edges. `problems`, `setup`, `slope`: the data and its folds, and what they share.
    """
    fields, error = [linear.field(number, setup, slope) for number in range(len(problems))], float("nan")
    if setup.settings.products:
        for problem, field in zip(problems, fields, strict=True):
            problem.look_ahead(setup, field)
        fields, error = add_products(linear, problems, setup, slope)
    parts = []
    for number, (problem, field) in enumerate(zip(problems, fields, strict=True)):
        mean = problem.data.states[problem.keep & problem.data.real].mean(axis=0)
        states = problem.data.states.copy()
        states[..., problem.constant] = problem.states[..., problem.constant]
        parts.append(
            PartFit(
                problem.sees,
                replace(field, bias=np.where(field.rates == 0, mean, field.bias)),
                all_edges(field, spread(linear.effects[number], setup), spread(wider[number], setup)),
                states,
            )
        )
    return tuple(parts), error


def all_edges(field: Field, *linear: Any) -> Any:
    """Return every edge of a field and of some linear fits, CSR (n, n) of booleans; products count for their genes."""
    found = sum(abs(sp.csr_array(part)) for part in (field.effects, *linear))
    if field.pairs is not None and len(field.pairs):
        ends = (np.repeat(np.arange(len(field.pairs)), 2), field.pairs.ravel())
        genes = sp.csr_array((np.ones(field.pairs.size), ends), shape=(len(field.pairs), len(field.bias)))
        found = found + abs(field.product_effects) @ genes
    found = sp.csr_array(found)
    found.eliminate_zeros()
    return found.astype(bool)
