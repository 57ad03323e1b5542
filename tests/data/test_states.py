"""Rows that are states, and what is held out of them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash._data import default_split, series_from_states

TIMES = np.tile([0.0, 2.0, 3.0], 4)
WHO = pd.Categorical(np.repeat(["p", "q", "r", "s"], 3), categories=["none", "s", "r", "q", "p"])
X = np.arange(24.0).reshape(12, 2)


def test_rows_are_sorted_by_trajectory_and_time_whatever_their_order():
    order = np.random.default_rng(0).permutation(12)
    split = np.repeat(["train", "test", "validation", "train"], 3)
    a = series_from_states(X, ["a", "b"], TIMES, WHO, split)
    b = series_from_states(sp.csr_matrix(X[order]), ["a", "b"], TIMES[order], WHO[order], split[order])
    for name in ("states", "times", "trajectory", "split"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.names == ("s", "r", "q", "p")  # the unused level is gone
    np.testing.assert_array_equal(a.states[:3], X[9:])
    np.testing.assert_array_equal(a.split, np.repeat([0, 1, 2, 0], 3))


def test_two_states_at_one_time_are_an_error_that_names_them():
    times = TIMES.copy()
    times[4] = 0.0
    with pytest.raises(ValueError, match="'q' has two states at time 0 .*pp.order_cells"):
        series_from_states(X, ["a", "b"], times, WHO)


def test_single_states_teach_nothing():
    with pytest.raises(ValueError, match="one state only"):
        series_from_states(X[:3], ["a", "b"], TIMES[:3], ["x", "y", "z"])


def test_lengths_and_labels_are_checked():
    with pytest.raises(ValueError, match="trajectory has 11 entries for 12"):
        series_from_states(X, ["a", "b"], TIMES, WHO[:11])
    with pytest.raises(ValueError, match="Unknown label in split 'val'"):
        series_from_states(X, ["a", "b"], TIMES, WHO, np.repeat(["train", "val"], 6))
    with pytest.raises(ValueError, match="no 'train'"):
        series_from_states(X, ["a", "b"], TIMES, WHO, np.repeat(["test", "validation"], 6))
    with pytest.raises(ValueError, match="2 columns but 3 genes"):
        series_from_states(X, ["a", "b", "c"], TIMES, WHO)


@given(st.integers(3, 200), st.integers(1, 6), st.integers(0, 5))
def test_whole_trajectories_are_held_out(trajectories, rows, seed):
    code = np.repeat(np.arange(trajectories), rows)
    split = default_split(code, rng=seed).reshape(trajectories, rows)
    assert (split == split[:, :1]).all()
    number = [int((split[:, 0] == k).sum()) for k in range(3)]
    wanted = max(1, round(0.1 * trajectories))
    assert number == [trajectories - 2 * wanted, wanted, wanted]


@given(st.integers(5, 100))
def test_one_trajectory_loses_two_inner_windows(rows):
    split = default_split(np.zeros(rows, np.int64))
    assert split[0] == 0 and split[-1] == 0
    for code in (1, 2):
        held = np.flatnonzero(split == code)
        assert len(held) == max(1, round(0.1 * rows))
        assert (np.diff(held) == 1).all()


def test_the_last_trajectory_of_a_lineage_stays_in_training():
    code = np.repeat(np.arange(6), 4)
    stratum = np.repeat([0, 1, 2, 2, 2, 2], 4)
    for seed in range(20):
        split = default_split(code, stratum=stratum, rng=seed)
        assert set(stratum[split == 0]) == {0, 1, 2}
        assert {1, 2} <= set(split)
    alone = default_split(np.repeat(np.arange(3), 20), stratum=np.repeat(np.arange(3), 20))
    for one in alone.reshape(3, 20):  # three lineages, one trajectory each: windows of each
        assert set(one) == {0, 1, 2}
