"""Folds: every state is held out once, test states never, and stacks see what their fold sees."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scdash._data import TimeSeries
from scdash.resampling.fold_series import TEST, VALIDATION, make_folds, stack_examples


def series(n_trajectories, rows=5, names=None, split=None, origin=None):
    names = names or [f"s{i}" for i in range(n_trajectories)]
    total = n_trajectories * rows
    return TimeSeries(
        states=np.random.default_rng(0).random((total, 3)),
        times=np.tile(np.arange(rows, dtype=float), n_trajectories),
        trajectory=np.repeat(np.arange(n_trajectories), rows),
        names=tuple(names),
        split=np.zeros(total, np.int8) if split is None else np.repeat(split, rows).astype(np.int8),
        genes=pd.Index(["a", "b", "c"]),
        origin=origin,
    )


def test_whole_trajectories_are_held_out_once_each():
    data = series(10, split=[0] * 8 + [1, 2])
    folds = make_folds(data, 3, 0)
    held = np.stack([fold.split == VALIDATION for fold in folds])
    np.testing.assert_array_equal(held.sum(0), np.repeat([1] * 9 + [0], 5))
    assert all((fold.split[-5:] == TEST).all() for fold in folds)
    for fold in folds:
        assert all(len(np.unique(fold.split[fold.trajectory == k])) == 1 for k in range(10))


def test_few_trajectories_lose_windows():
    folds = make_folds(series(1, rows=12), 4, 0)
    held = np.stack([fold.split == VALIDATION for fold in folds])
    np.testing.assert_array_equal(held.sum(0), 1)
    assert all((np.diff(np.flatnonzero(row)) == 1).all() for row in held)


def test_resampled_trajectories_take_no_part_where_their_original_is_held_out():
    drawn = series(6, names=["a", "a#1", "b", "b#1", "c", "c#1"], origin=np.array([0, 0, 2, 2, 4, 4]))
    folds = make_folds(drawn, 3, 0)
    for fold in folds:
        label = {name: set(fold.split[fold.trajectory == k]) for k, name in enumerate(fold.names)}
        for parent in "abc":
            assert label[f"{parent}#1"] == ({TEST} if label[parent] == {VALIDATION} else {0})


def test_stacked_examples_are_those_of_each_fold():
    data = series(6)
    folds = make_folds(data, 3, 0)
    stacked = stack_examples(folds, lambda s: s.windows(1), repeats=2)
    assert stacked.member.shape == (6, len(stacked))
    for model in range(6):
        rows = folds[model % 3].windows(1)
        mine = stacked.start.numpy()[stacked.member[model]]
        assert {tuple(x) for x in mine} == {tuple(x) for x in data.states[rows[:, 0]]}


def test_too_few_folds():
    with pytest.raises(ValueError, match="n_folds must be at least 1"):
        make_folds(series(4), 0, 0)


def test_one_fold_is_the_split_itself():
    data = series(4)
    assert make_folds(data, 1, 0) == [data]


def test_whole_trajectories_are_dealt_out_in_an_order_that_follows_the_seed():
    folds = make_folds(series(10), 3, 7)
    order = np.random.default_rng([7, 2]).permutation(10)
    for k, fold in enumerate(folds):
        assert sorted(set(fold.trajectory[fold.split == VALIDATION])) == sorted(order[k::3])
        assert fold.split.dtype == np.int8


def test_as_many_trajectories_as_folds_are_held_out_whole():
    assert all((fold.split == VALIDATION).sum() == 5 for fold in make_folds(series(3), 3, 0))


def test_windows_are_equal_parts_of_the_time_from_the_first_state_to_the_last():
    """Times 10, 11, 12, 18, 20: the first quarter ends at 12.5, the second at 15, the third at 17.5."""
    data = series(1)
    data = replace(data, times=np.array([10.0, 11.0, 12.0, 18.0, 20.0]))
    held = [np.flatnonzero(fold.split == VALIDATION).tolist() for fold in make_folds(data, 4, 0)]
    assert held == [[0, 1, 2], [], [], [3, 4]]


def test_stacked_windows_are_as_long_as_the_shortest_of_the_folds():
    folds = make_folds(series(6), 2, 0)
    lengths = iter((2, 3))
    stacked = stack_examples(folds, lambda s: s.windows(next(lengths)), repeats=1)
    assert stacked.times.shape[1] == folds[0].windows(2).shape[1]
