"""The start of cells that are not trained on whole trajectories: which regressions are averaged, and whether with the prior."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import TimeSeries
from scdash.dynamics.state_pairs.regression_fits import OFFERED, start_of_cells
from scdash.dynamics.whole_trajectories.one_fit import PRIOR_WEIGHT
from scdash.regression import Field
from scdash.regression.held_out_trajectories import HeldOutWindows, pooled, validation_folds
from scdash.regression.linear_field import integrate

GENES, STATES, TRAJECTORIES = 12, 16, 6


@pytest.fixture(scope="module")
def truth() -> sp.csr_array:
    """Two strong regulators of every gene, (target, regulator)."""
    rng = np.random.default_rng(0)
    effects = np.zeros((GENES, GENES))
    for gene in range(GENES):
        for regulator in rng.choice(np.setdiff1d(np.arange(GENES), [gene]), 2, replace=False):
            effects[gene, regulator] = rng.choice([-1.5, 1.5])
    return sp.csr_array(effects)


def series_of(truth: sp.csr_array, split: list[int]) -> TimeSeries:
    rng = np.random.default_rng(1)
    times = np.linspace(0, 8, STATES)
    field = Field(truth, np.full(GENES, 0.5), np.full(GENES, 0.6))
    states = integrate(field, rng.random((TRAJECTORIES, GENES)), times)
    states = states + 0.01 * rng.normal(size=states.shape)
    return TimeSeries(
        states=states.reshape(-1, GENES).astype(np.float32),
        times=np.tile(times, TRAJECTORIES),
        trajectory=np.repeat(np.arange(TRAJECTORIES), STATES),
        split=np.repeat(np.array(split, np.int8), STATES),
        names=tuple(f"t{k}" for k in range(TRAJECTORIES)),
        genes=np.array([f"g{k}" for k in range(GENES)]),
    )


@pytest.fixture(scope="module")
def series(truth: sp.csr_array) -> TimeSeries:
    return series_of(truth, [0, 0, 0, 0, 1, 1])


def test_regressions_and_prior_are_those_that_predict_held_out_windows_best(
    series: TimeSeries, truth: sp.csr_array
) -> None:
    fit = start_of_cells(series, sp.csr_matrix(truth), None)
    table = fit.table
    assert len(table) == 2 * len(OFFERED) and table["chosen"].sum() == 1
    assert table.loc[table["chosen"], "error"].item() == table["error"].min()
    assert fit.prior_weight == PRIOR_WEIGHT  # the prior is the truth
    folds = validation_folds(series)
    errors = []
    for fold in folds:
        alone = start_of_cells(fold, sp.csr_matrix(truth), None, fit)  # the same choice on what the fold learns from
        windows = HeldOutWindows.of(fold)
        errors.append(windows.error(lambda start, times, field=alone.field: integrate(field, start, times)[:, 1:]))
    found = np.array(errors)
    assert pooled(found[:, :1], found[:, 1])[0] == pytest.approx(table["error"].min(), rel=1e-6)


@pytest.mark.parametrize("step", [2, 7])
def test_edges_that_do_not_lower_the_error_are_not_used(series: TimeSeries, truth: sp.csr_array, step: int) -> None:
    """Edges of other targets; genes are correlated, so that some wrong priors help by chance and these do not."""
    order = np.roll(np.arange(GENES), step)
    wrong = sp.csr_matrix(truth.toarray()[order] * (truth.toarray() == 0))
    fit = start_of_cells(series, wrong, None)
    assert fit.prior_weight == 1
    alone = start_of_cells(series, None, None)
    assert len(alone.table) == len(OFFERED) and (alone.effects != fit.effects).nnz == 0


def test_a_start_like_another_takes_its_choices_and_sees_its_own_prior(series: TimeSeries, truth: sp.csr_array) -> None:
    fit = start_of_cells(series, sp.csr_matrix(truth), None)
    fewer = truth.toarray().copy()
    fewer[:4] = 0
    like = start_of_cells(series, sp.csr_matrix(fewer), None, fit)
    assert like.prior_weight == fit.prior_weight
    assert like.table["regressions"].tolist() == fit.table.loc[fit.table["chosen"], "regressions"].tolist()
    assert abs(like.effects - fit.effects)[:4].max() > 0 and abs(like.effects - fit.effects)[4:].max() == 0


def test_only_training_states_are_fitted_and_regulators_alone_act(truth: sp.csr_array) -> None:
    split = [0, 0, 0, 0, 2, 2]
    series = series_of(truth, split)
    changed = series_of(truth, split)
    changed.states[changed.split == 2] += 1.0
    regulators = np.array([0, 3, 5])
    first, other = (start_of_cells(one, sp.csr_matrix(truth), regulators) for one in (series, changed))
    assert (first.effects != other.effects).nnz == 0
    assert set(first.effects.tocoo().col) <= {0, 3, 5}
    assert first.table["chosen"].tolist()[0] and first.prior_weight == PRIOR_WEIGHT  # nothing was held out
