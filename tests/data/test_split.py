"""Which rows are held out where the user names no split: each count, place and error."""

import numpy as np
import pytest

from scdash._data.split import TEST, TRAIN, VALIDATION, default_split, split_codes


def trajectories(number: int, rows: int = 3) -> np.ndarray:
    return np.repeat(np.arange(number), rows)


def held(split: np.ndarray, trajectory: np.ndarray, code: int) -> list[int]:
    return np.unique(trajectory[split == code]).tolist()


def test_labels_become_codes_in_the_order_train_validation_test() -> None:
    codes = split_codes(["test", "train", "validation", "train"])
    assert codes.tolist() == [TEST, TRAIN, VALIDATION, TRAIN] == [2, 0, 1, 0] and codes.dtype == np.int8


def test_labels_that_are_none_of_them_are_named() -> None:
    with pytest.raises(ValueError, match=r"Unknown label in split 'trian'\. Did you mean 'train'\?.*validation.*test"):
        split_codes(["train", "trian"])
    assert split_codes(["train", np.nan]).tolist() == [TRAIN, -1]  # a row without a label takes no part
    with pytest.raises(ValueError, match=r"^obs\['fold'\] holds no 'train' observation\.$"):
        split_codes(["test", "validation"], "obs['fold']")
    with pytest.raises(ValueError, match=r"^split holds no 'train' observation\.$"):
        split_codes(["test"])


@pytest.mark.parametrize(
    ("number", "fraction", "each"), [(20, 0.1, 2), (20, 0.2, 4), (5, 0.1, 1), (3, 0.1, 1), (26, 0.1, 3), (4, 0.9, 1)]
)
def test_a_fraction_of_whole_trajectories_is_held_out_for_validation_and_again_for_test(
    number: int, fraction: float, each: int
) -> None:
    """At least one each, and never more than half of those that can be spared (here all but one)."""
    trajectory = trajectories(number)
    split = default_split(trajectory, fraction=fraction)
    assert split.dtype == np.int8 and len(split) == len(trajectory)
    sides = [held(split, trajectory, code) for code in (VALIDATION, TEST)]
    assert [len(side) for side in sides] == [each, each]
    assert [int((split == code).sum()) for code in (VALIDATION, TEST)] == [3 * each, 3 * each]  # whole ones
    assert not set(sides[0]) & set(sides[1])


def test_the_default_fraction_is_a_tenth_and_the_default_draw_is_that_of_seed_0() -> None:
    trajectory = trajectories(40)
    assert len(held(default_split(trajectory), trajectory, TEST)) == 4
    np.testing.assert_array_equal(default_split(trajectory), default_split(trajectory, rng=0))
    assert (default_split(trajectory, rng=1) != default_split(trajectory, rng=0)).any()


def test_the_trajectories_that_are_held_out_follow_the_seed_and_not_their_order() -> None:
    """The first in a random order stays in training, the next ones are for validation and test."""
    trajectory = trajectories(10)
    order = np.random.default_rng(3).permutation(10)
    split = default_split(trajectory, rng=3)
    assert held(split, trajectory, VALIDATION) == [order[1]] and held(split, trajectory, TEST) == [order[2]]


def test_codes_need_not_be_consecutive() -> None:
    trajectory = np.repeat([2, 5, 9, 11], 3)
    split = default_split(trajectory)
    assert len(held(split, trajectory, VALIDATION)) == len(held(split, trajectory, TEST)) == 1


def test_one_trajectory_of_every_lineage_stays_in_training() -> None:
    trajectory, kinds = trajectories(8, 2), np.array([0, 0, 0, 0, 0, 0, 1, 2])
    for seed in range(20):
        split = default_split(trajectory, stratum=np.repeat(kinds, 2), fraction=0.3, rng=seed)
        assert set(kinds[held(split, trajectory, TRAIN)]) == {0, 1, 2}
        assert len(held(split, trajectory, TEST)) == 2 == len(held(split, trajectory, VALIDATION))


def test_what_belongs_together_is_held_out_together_and_every_lineage_stays_in_training() -> None:
    trajectory, kinds, batch = trajectories(8, 2), np.repeat([0, 1], 4), np.tile(np.arange(4), 2)
    for seed in range(20):
        split = default_split(trajectory, together=np.repeat(batch, 2), stratum=np.repeat(kinds, 2), rng=seed)
        for side in (VALIDATION, TEST):
            first, second = held(split, trajectory, side)
            assert second == first + 4
        assert set(kinds[held(split, trajectory, TRAIN)]) == {0, 1}
    alone = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 3])  # the last batch is the only one of the second lineage
    for seed in range(20):
        split = default_split(
            trajectories(5, 2), together=np.repeat(alone[1], 2), stratum=np.repeat(alone[0], 2), rng=seed
        )
        assert not split[-4:].any()


@pytest.mark.parametrize("number", [1, 2])
def test_with_fewer_than_two_to_spare_every_trajectory_loses_two_windows(number: int) -> None:
    """Of 100 rows the tenth around 45 % for validation and the tenth around 75 % for test; the ends stay."""
    split = default_split(trajectories(number, 100)).reshape(number, 100)
    for row in split:
        assert np.flatnonzero(row == VALIDATION).tolist() == list(range(40, 50))
        assert np.flatnonzero(row == TEST).tolist() == list(range(70, 80))
        assert (row == TRAIN).sum() == 80


def test_trajectories_of_fewer_than_five_rows_lose_none_and_longer_ones_at_least_one_a_side() -> None:
    split = default_split(np.repeat([0, 1], [4, 5]))
    assert split.tolist() == [0, 0, 0, 0, 0, 0, VALIDATION, TEST, 0]
    assert default_split(trajectories(1, 5), fraction=0.01).tolist() == [0, 0, VALIDATION, TEST, 0]
    assert default_split(trajectories(1, 10), fraction=0.2).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 0, 0]


def test_the_first_row_is_never_held_out() -> None:
    """Half of the rows around 45 % would begin before it; the first state is where predictions start."""
    split = default_split(trajectories(1, 6), fraction=0.9)
    assert split[0] == TRAIN and split[1] == VALIDATION


def test_without_a_fraction_nothing_is_held_out() -> None:
    assert not default_split(trajectories(10), fraction=None).any()
    assert not default_split(trajectories(1, rows=20), fraction=None).any()


@pytest.mark.parametrize("trajectory", [trajectories(10), trajectories(1, rows=20)])
def test_without_validation_the_same_is_held_out_for_test_and_the_rest_learned_from(trajectory: np.ndarray) -> None:
    both, test = default_split(trajectory, fraction=0.2), default_split(trajectory, fraction=0.2, validation=False)
    assert (both == VALIDATION).any() and test.dtype == np.int8
    np.testing.assert_array_equal(test, np.where(both == VALIDATION, TRAIN, both))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_that_holds_out_nothing_or_everything_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="hold_out must be a fraction between 0 and 1"):
        default_split(trajectories(10), fraction=fraction)
