"""What is held out by default, and where a fraction is asked for: cells that are chosen by folds, other cells, states."""

import numpy as np
import pytest

import scdash
from scdash.dynamics.inputs import read_inputs
from scdash.dynamics.options import FitOptions
from scdash.dynamics.whole_trajectories.settings import suits_whole_trajectories

from .data import cells_of, time_courses

NOTHING = dict.fromkeys(("layer", "mask_var", "trajectory_key", "split_key", "prior", "coregulation", "regulators"))
TRAIN, VALIDATION, TEST = 0, 1, 2


def splits(adata, **options):
    """Return the splits that rows of a series have."""
    settings = NOTHING | {"time_key": "time", "batch_key": None, "observations": "auto", "n_bins": None, "seed": 0}
    return set(np.unique(read_inputs(adata, **settings | options).observed.series.split))


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_cells_that_are_chosen_by_folds_hold_nothing_out_unless_asked(batches):
    how = {"batch_key": "batch", "n_bins": 12}
    assert splits(cells_of(batches), by_folds=True, **how) == {TRAIN}
    assert splits(cells_of(batches), by_folds=True, hold_out=0.2, **how) == {TRAIN, TEST}
    assert splits(cells_of(batches), **how) == {TRAIN, VALIDATION, TEST}
    assert splits(cells_of(batches), hold_out=0.2, **how) == {TRAIN, VALIDATION, TEST}


@pytest.mark.parametrize("by_folds", [True, False])
def test_time_courses_of_states_keep_their_default(by_folds):
    how = {"trajectory_key": "trajectory", "by_folds": by_folds}
    adata = time_courses()
    assert splits(adata, **how) == {TRAIN, VALIDATION, TEST}
    settings = NOTHING | {"time_key": "time", "batch_key": None, "observations": "auto", "n_bins": None, "seed": 0}
    few, many = (read_inputs(adata, hold_out=part, **settings | how).observed.series for part in (0.1, 0.3))
    assert (many.split == TEST).sum() > (few.split == TEST).sum()


def test_a_split_of_the_user_needs_validation_states_only_where_they_choose():
    adata = cells_of(4)
    adata.obs["split"] = np.where(adata.obs["batch"] == "b3", "test", "train")
    how = {"batch_key": "batch", "split_key": "split", "n_bins": 12}
    assert splits(adata, by_folds=True, **how) == {TRAIN, TEST}
    with pytest.raises(ValueError, match="leaves no validation state"):
        splits(adata, **how)


@pytest.mark.parametrize(("states", "trajectories"), [(4, 1), (3, 1), (4, 2)])
def test_a_course_that_is_too_short_to_leave_anything_out_is_named(states, trajectories):
    adata = time_courses()
    kept = adata.obs["trajectory"].isin(adata.obs["trajectory"].unique()[:trajectories])
    adata = adata[kept & (adata.obs.groupby("trajectory", observed=True).cumcount() < states)].copy()
    named = (
        f"{states * trajectories} states of {trajectories} traject.* are too few: one trajectory needs at least five"
    )
    with pytest.raises(ValueError, match=named):
        splits(adata, trajectory_key="trajectory", by_folds=True)


def test_a_fraction_beside_a_split_is_refused():
    adata = cells_of(4)
    adata.obs["split"] = "train"
    with pytest.raises(ValueError, match="hold_out.*'split'.*names what is held out"):
        splits(adata, batch_key="batch", split_key="split", n_bins=12, by_folds=True, hold_out=0.2)


@pytest.mark.parametrize(
    ("options", "suits"),
    [
        ({}, True),
        ({"sparsity": "none"}, True),
        ({"start": "random"}, False),
        ({"encoder": "modules"}, False),
        ({"model": "mlp"}, False),
        ({"sparsity": "l0"}, False),
        ({"sparsity": "posthoc"}, False),
        ({"training": {"max_epochs": 0}}, False),
    ],
)
def test_which_fits_are_chosen_by_folds(options, suits):
    assert suits_whole_trajectories(FitOptions(**options)) is suits


def test_a_fraction_to_hold_out_reaches_the_stored_split():
    states = time_courses()
    how = {"time_key": "time", "trajectory_key": "trajectory", "start": "random", "sparsity": "none"}
    how |= {"training": scdash.Training(max_epochs=1), "copy": True}
    shares = []
    for fraction in (0.1, 0.3):
        fit = scdash.tl.fit_dynamics(states, validation=scdash.Validation(hold_out=fraction), **how)
        shares.append((np.asarray(fit.uns["dynamics"]["series"]["split"]) == "test").mean())
    assert 0 < shares[0] < shares[1]


def test_a_fraction_to_hold_out_is_refused_beside_a_split():
    with pytest.raises(ValueError, match="hold_out of Validation would have no effect.*split_key='split'"):
        scdash.tl.fit_dynamics(time_courses(), split_key="split", validation=scdash.Validation(hold_out=0.2))
