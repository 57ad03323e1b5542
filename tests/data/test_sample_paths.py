"""Samples that name their predecessors become trajectories in which every interval stands once."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from scdash._data import default_split, series_from_states
from scdash._data.time_series.observations import Samples
from scdash._data.time_series.sample_paths import read_sample_paths

SAMPLES = Samples("before", "minutes")
FORK = {"b": ("a", 5), "c": ("b", 5), "d": ("c", 10), "e": ("b", 20), "f": ("e", 20), "g": ("e", 5)}


def design(links, starts=("a",), **columns):
    """Return samples whose X is their number, from the predecessor and the interval of each."""
    names = [*starts, *links]
    obs = pd.DataFrame(
        {
            "before": [links[name][0] if name in links else None for name in names],
            "minutes": [float(links[name][1]) if name in links else np.nan for name in names],
            **columns,
        },
        index=names,
    )
    return AnnData(np.arange(2.0 * len(names)).reshape(-1, 2), obs=obs)


def chains_of(adata, samples=SAMPLES):
    """Return the names of the samples of every trajectory, in order of time, by the name of the trajectory."""
    paths = read_sample_paths(adata, samples)
    table = pd.DataFrame({"row": paths.row, "of": paths.trajectory.astype(str), "time": paths.time[paths.row]})
    return {
        name: list(adata.obs_names[part["row"]]) for name, part in table.sort_values("time").groupby("of", sort=False)
    }


def test_a_trajectory_goes_on_with_what_lasts_longest_and_the_others_begin_at_the_fork():
    assert chains_of(design(FORK)) == {"f": list("abef"), "d": list("bcd"), "g": list("eg")}


def test_what_lasts_longest_counts_all_that_follows_and_not_the_next_interval_alone():
    links = {"b": ("a", 1), "c": ("b", 10), "d": ("b", 1), "e": ("d", 8), "f": ("e", 8)}
    assert chains_of(design(links)) == {"f": list("abdef"), "c": list("bc")}


def test_times_are_the_sums_of_the_intervals():
    adata = design(FORK)
    assert dict(zip(adata.obs_names, read_sample_paths(adata, SAMPLES).time, strict=True)) == {
        "a": 0, "b": 5, "c": 10, "d": 20, "e": 25, "f": 45, "g": 30,
    }  # fmt: skip


@given(st.lists(st.integers(-1, 40), min_size=2, max_size=40), st.randoms())
def test_every_interval_stands_in_one_trajectory_whatever_the_order_of_rows(parents, random):
    names = [f"s{k}" for k in range(len(parents))]
    links = {names[k]: (names[p % k], 1 + k % 3) for k, p in enumerate(parents) if p >= 0 and k}
    adata = design(links, [name for name in names if name not in links])
    adata = adata[random.sample(list(adata.obs_names), adata.n_obs)].copy()
    steps = [pair for chain in chains_of(adata).values() for pair in zip(chain[:-1], chain[1:], strict=True)]
    assert sorted(steps) == sorted((before, name) for name, (before, _) in links.items())


def groups_of(adata):
    paths = read_sample_paths(adata, SAMPLES)
    return dict(zip(paths.trajectory.astype(str), paths.group.astype(str), strict=True))


def test_what_follows_one_successor_of_the_first_fork_is_left_out_together():
    found = groups_of(design(FORK))
    assert found["f"] == found["g"] != found["d"]


def test_with_five_starts_whole_trees_are_left_out():
    links = {f"{k}{end}": (f"{k}", 1) for k in range(5) for end in "xy"}
    found = groups_of(design(links, [str(k) for k in range(5)]))
    assert all(found[f"{k}x"] == found[f"{k}y"] for k in range(5)) and len(set(found.values())) == 5
    four = groups_of(design({k: v for k, v in links.items() if v[0] != "4"}, list("0123")))
    assert len(set(four.values())) == 8


def test_held_out_trajectories_are_whole_groups():
    links = {f"{k}{end}": (f"{k}", 1) for k in range(20) for end in "xyz"}
    adata = design(links, [str(k) for k in range(20)])
    paths = read_sample_paths(adata, SAMPLES)
    series = series_from_states(
        adata.X[paths.row], ["p", "q"], paths.time[paths.row], paths.trajectory, group=paths.group
    )
    splits = pd.DataFrame({"split": series.split, "group": series.group[series.trajectory]})
    assert (splits.groupby("group")["split"].nunique() == 1).all() and set(splits["split"]) == {0, 1, 2}
    assert len(np.unique(default_split(series.trajectory))) == 3  # what would have cut groups


def test_samples_alone_take_no_part_and_the_log_says_so(caplog):
    adata = design(FORK, ["a", "steady", "other"])
    with caplog.at_level("INFO", logger="scdash"):
        paths = read_sample_paths(adata, SAMPLES)
    assert "2 of 9 samples have neither a predecessor nor a successor" in caplog.text
    assert not np.isin(paths.row, adata.obs_names.get_indexer(["steady", "other"])).any()
    assert np.isnan(paths.time[adata.obs_names.get_indexer(["steady", "other"])]).all()


def test_names_may_stand_in_a_column_and_intervals_have_units():
    adata = design(FORK)
    adata.obs["name"] = adata.obs_names
    adata.obs["minutes"] = [None if np.isnan(m) else f"{m:g} min" for m in adata.obs["minutes"]]
    adata.obs_names = [f"chip{k}" for k in range(adata.n_obs)]
    paths = read_sample_paths(adata, Samples("before", "minutes", sample_key="name"))
    assert paths.unit == "minutes" and sorted(paths.trajectory.cat.categories) == ["d", "f", "g"]


@pytest.mark.parametrize(
    ("links", "starts", "message"),
    [
        ({"b": ("aa", 1)}, "a", "'b' was measured after 'aa', which is no sample of adata.*Did you mean 'a'"),
        (
            {"b": ("c", 1), "c": ("d", 1), "d": ("b", 1), "e": ("a", 1)},
            "a",
            "circle: 'b' after 'c' after 'd' after 'b'",
        ),
        ({"b": ("b", 1)}, "a", "circle: 'b' after 'b'"),
        ({"b": ("a", 0)}, "a", "'b' has a predecessor and the interval 0 .*larger than 0"),
        ({"b": ("a", -3)}, "a", "'b' has a predecessor and the interval -3"),
        ({"b": ("a", np.nan)}, "a", "'b' has a predecessor and no interval"),
        ({"b": (None, 4)}, "a", r"'b' has an interval \(4\) and no predecessor"),
    ],
)
def test_errors_name_the_sample(links, starts, message):
    with pytest.raises(ValueError, match=message):
        read_sample_paths(design(links, starts), SAMPLES)


def test_errors_name_columns_and_repeated_names():
    adata = design(FORK)
    with pytest.raises(KeyError, match="predecessor_key='befor' is not a column.*'before'"):
        read_sample_paths(adata, Samples("befor", "minutes"))
    adata.obs["name"] = "x"
    with pytest.raises(ValueError, match="more than once"):
        read_sample_paths(adata, Samples("before", "minutes", sample_key="name"))
