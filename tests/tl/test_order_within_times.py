"""Cells at few sampled times that a pseudotime orders inside each: bins, times, left-out times, and clear refusals."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash
from scdash.dynamics.call import FitCall
from scdash.dynamics.whole_trajectories.folds import make_folds

HOURS = (0, 6, 24, 48, 96)
THIRDS = {
    0: (-2, 0, 2),
    6: (4, 6, 12),
    24: (18, 24, 32),
    48: (40, 48, 64),
    96: (80, 96, 112),
}  # two thirds of half a gap
QUICK = {
    "training": scdash.Training(max_epochs=3),
    "validation": scdash.Validation(null_models=False),
    "progress": False,
}


def asynchronous(cells=30, genes=8, seed=0, times=HOURS):
    """Cells that are ahead of their sampled time or behind it; `order` says how far they are."""
    rng = np.random.default_rng(seed)
    hour = np.repeat(times, cells).astype(float)
    place = hour / max(times) + rng.uniform(-0.1, 0.1, len(hour))
    mean = 1 + np.outer(1 - np.exp(-3 * place), np.linspace(-1, 2, genes))
    values = np.clip(mean + rng.normal(0, 0.1, (len(hour), genes)), 0, None)
    adata = sc.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(len(hour))], [f"g{i}" for i in range(genes)]
    adata.obs["hours"], adata.obs["order"] = hour, place
    return adata


def ordered(**more):
    return scdash.Cells(pseudotime_key="order", **more)


def fit(adata, **options):
    scdash.tl.fit_dynamics(adata, **({"time_key": "hours", "observations": ordered()} | QUICK | options))
    return adata.uns["dynamics"]


def original(entry):
    return np.asarray(entry["series"]["trajectory"]) == np.asarray(entry["series"]["origin"])


def problem_of(adata, **options):
    call = FitCall(**({"time_key": "hours", "observations": ordered(couplings="none")} | QUICK | options))
    asked = call.settle()
    return call.read(adata, asked, call.options(asked, 0)).problem


@pytest.fixture(scope="module")
def fitted():
    adata = asynchronous()
    fit(adata)
    return adata


def test_a_sampled_time_is_three_states_in_the_order_of_the_pseudotime(fitted):
    entry = fitted.uns["dynamics"]
    rows = original(entry)
    times = np.concatenate([THIRDS[hour] for hour in HOURS])
    np.testing.assert_allclose(np.asarray(entry["series"]["time"])[rows], times)
    rank = fitted.obs.groupby("hours")["order"].rank().to_numpy() - 1
    expected = [
        fitted.X[(fitted.obs["hours"] == hour).to_numpy() & (rank // 10 == part)].mean(axis=0)
        for hour in HOURS
        for part in range(3)
    ]
    np.testing.assert_allclose(np.asarray(entry["series"]["states"])[rows], np.stack(expected), rtol=1e-4)
    at = np.asarray(fitted.obs["dynamics_position"])
    np.testing.assert_allclose(at[(fitted.obs["hours"] == 24).to_numpy() & (rank < 10)], 18)


def test_the_number_of_bins_of_a_sampled_time_is_asked_for():
    entry = fit(asynchronous(), observations=ordered(n_bins=2))
    times = np.asarray(entry["series"]["time"])[original(entry)]
    np.testing.assert_allclose(times[2:6], [4.5, 10.5, 19.5, 30])


def test_another_order_gives_another_fit_and_none_the_fit_of_the_means():
    adata, shuffled, plain = (asynchronous() for _ in range(3))
    rng = np.random.default_rng(1)
    shuffled.obs["order"] = shuffled.obs.groupby("hours")["order"].transform(rng.permutation)
    fit(adata)
    fit(shuffled)
    fit(plain, observations="auto")
    assert (adata.varp["dynamics_grn"] != shuffled.varp["dynamics_grn"]).nnz
    assert (adata.varp["dynamics_grn"] != plain.varp["dynamics_grn"]).nnz


@pytest.mark.parametrize("n_bins", [2, 3])
def test_times_at_which_the_pseudotime_does_not_vary_are_one_state_at_their_time(n_bins):
    adata = asynchronous()
    early = (adata.obs["hours"] < 48).to_numpy()
    adata.obs.loc[early, "order"] = 0.0
    series = problem_of(adata, observations=ordered(couplings="none", n_bins=n_bins)).series.originals()
    assert len(series) == 3 + 2 * n_bins
    unit = (series.times[2] - series.times[1]) / (24 - 6)
    np.testing.assert_allclose(np.diff(series.times)[:2] / unit, [6, 18])


def test_only_the_order_of_the_pseudotime_counts():
    adata, other = asynchronous(), asynchronous()
    other.obs["order"] = np.exp(5 * other.obs["order"]) + 100 * other.obs["hours"]
    first, second = (problem_of(one).series for one in (adata, other))
    np.testing.assert_array_equal(first.states, second.states)
    np.testing.assert_array_equal(first.times, second.times)


@pytest.mark.parametrize("couplings", ["ot", "none"])
def test_all_bins_of_a_sampled_time_are_left_out_together(couplings):
    if couplings == "ot":
        pytest.importorskip("ot")
    adata, other = asynchronous(), asynchronous()
    late = (other.obs["hours"] == 24).to_numpy()
    other.X[late] = other.X[late][:, ::-1]
    problems = [problem_of(one, observations=ordered(couplings=couplings)) for one in (adata, other)]
    folds = [make_folds(one) for one in problems]
    assert [len(part) for part in folds] == [3, 3]
    learned = [
        part[1].train.states * one.units.range + one.units.minimum for part, one in zip(folds, problems, strict=True)
    ]
    np.testing.assert_allclose(learned[0], learned[1], atol=1e-5)
    np.testing.assert_array_equal(folds[0][1].train.intervals, folds[1][1].train.intervals)
    fold, series = folds[0][1], problems[0].series.originals()
    np.testing.assert_allclose(fold.held.states[0], series.states[5:9], rtol=1e-6)
    np.testing.assert_allclose(fold.start[0], series.states[5], rtol=1e-6)
    first, last = series.states[5], series.states[9]
    share = (np.array(THIRDS[24]) - 12) / (40 - 12)
    np.testing.assert_allclose(fold.interpolated[0], first + share[:, None] * (last - first), rtol=1e-6)


def test_groups_of_related_cells_have_the_times_of_their_cells():
    pytest.importorskip("ot")
    problem = problem_of(asynchronous(), observations=ordered())
    (related,) = problem.related
    series = problem.series.originals()
    unit = series.times[-1] / (112 + 2)
    times = related.times / unit - 2
    bootstraps = len(problem.series.names) - 1
    assert times.shape == related.states.shape[:2] == (3 * bootstraps, 5)
    assert (np.diff(times, axis=1) > 0).all()
    low, high = (np.array([THIRDS[hour][k] for hour in HOURS]) for k in (0, 2))
    assert ((times >= low) & (times <= high)).all()
    assert np.ptp(times, axis=0).min() > 0.1


def test_given_couplings_are_of_whole_sampled_times():
    adata = asynchronous()
    couplings = {pair: np.ones((30, 30)) for pair in pairwise(HOURS)}
    problem = problem_of(adata, observations=ordered(couplings=couplings))
    (related,) = problem.related
    assert related.states.shape == (3 * 64, 5, 8)
    times = related.times * (112 + 2) / problem.series.times.max() - 2
    means = [np.mean(THIRDS[hour]) for hour in HOURS]  # whatever cells a group begins with, it goes to all others alike
    np.testing.assert_allclose(np.median(times, axis=0), means, atol=1e-9)


def test_the_unit_is_kept_and_changes_no_fit():
    hours, days = asynchronous(), asynchronous()
    days.obs["hours"] = days.obs["hours"] / 24
    for adata in (hours, days):
        fit(adata)
    np.testing.assert_allclose(
        days.varp["dynamics_grn"].toarray(), 24 * hours.varp["dynamics_grn"].toarray(), rtol=1e-3, atol=1e-6
    )
    texts = asynchronous(times=(0, 24, 48))
    texts.obs["day"] = (texts.obs["hours"] / 24).map("D{:g}".format).astype("category")
    entry = fit(texts, time_key="day")
    assert entry["params"]["time_unit"] == "days"
    times = np.asarray(entry["series"]["time"])[original(entry)]
    np.testing.assert_allclose(times[3:6], [2 / 3, 1, 4 / 3])


def test_batches_have_bins_at_the_same_times():
    adata = asynchronous(cells=60)
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    problem = problem_of(adata, batch_key="batch")
    series = problem.series.originals()
    runs = list(series.each())
    assert [len(rows) for rows in runs] == [15, 15]
    np.testing.assert_array_equal(series.times[runs[0]], series.times[runs[1]])
    assert [len(fold.held) for fold in make_folds(problem)] == [2, 2, 2]


def test_a_split_is_of_whole_sampled_times():
    adata = asynchronous()
    adata.obs["split"] = np.where(adata.obs["hours"] == 48, "test", "train")
    problem = problem_of(adata, split_key="split")
    assert (problem.series.originals().split == 2).sum() == 3
    assert len(make_folds(problem)) == 2
    rank = adata.obs.groupby("hours")["order"].rank()
    adata.obs["split"] = np.where((adata.obs["hours"] == 48) & (rank <= 10), "test", "train")
    refused(adata, ValueError, "different splits", split_key="split")
    held = problem_of(asynchronous(), validation=scdash.Validation(null_models=False, hold_out=0.2)).series.originals()
    assert (held.split.reshape(5, 3) == held.split.reshape(5, 3)[:, :1]).all()
    assert (held.split == 2).any()


def test_lineages_by_weights_have_a_pseudotime_each_or_one_for_all():
    adata = asynchronous(cells=40)
    side = np.arange(adata.n_obs) % 2 == 0
    weights = np.column_stack([side | (adata.obs["hours"] < 24), ~side | (adata.obs["hours"] < 24)]).astype(float)
    adata.obsm["fates"] = pd.DataFrame(weights, index=adata.obs_names, columns=["x", "y"])
    places = np.column_stack([adata.obs["order"], -adata.obs["order"]])
    adata.obsm["orders"] = pd.DataFrame(places, index=adata.obs_names, columns=["x", "y"])
    one, each = (
        problem_of(
            adata, trajectory_key="fates", observations=scdash.Cells(pseudotime_key=key, couplings="none")
        ).series.originals()
        for key in ("order", "orders")
    )
    x, y = list(one.each())
    np.testing.assert_array_equal(one.states[x], each.states[x])
    assert not np.allclose(one.states[y], each.states[y])


def test_later_functions_order_the_cells_again(fitted, caplog):
    again = asynchronous()
    scdash.tl.fit_dynamics(again, **scdash.get.settings(fitted) | {"progress": False})
    assert (again.varp["dynamics_grn"] != fitted.varp["dynamics_grn"]).nnz == 0
    adata = fitted.copy()
    caplog.clear()
    scdash.tl.sparsity_path(adata, sparsity="l0", training=scdash.Training(max_epochs=2), model="mlp", progress=False)
    assert "15 bins of sampled times of 1 trajectory" in caplog.text


def refused(adata, error, message, **options):
    before = adata.copy()
    with pytest.raises(error, match=message):
        fit(adata, **options)
    assert not adata.uns and not adata.varp and not adata.layers and list(adata.obs) == list(before.obs)


def test_a_pseudotime_that_orders_nothing_is_refused():
    adata = asynchronous()
    adata.obs["order"] = 1.0
    refused(adata, ValueError, r"obs\['order'\] is constant")
    adata.obs["order"] = adata.obs["hours"]
    refused(adata, ValueError, "does not vary among the cells of any sampled time")
    adata.obs["order"] = np.where(np.arange(adata.n_obs) == 3, np.inf, np.arange(adata.n_obs))
    refused(adata, ValueError, "infinite for 1 of")
    refused(adata, KeyError, "pseudotime_key='palantir'", observations=scdash.Cells(pseudotime_key="palantir"))


@pytest.mark.parametrize(("spread", "warned"), [(0.01, False), (2.0, True)])
def test_the_log_warns_where_cells_of_consecutive_times_overlap(caplog, spread, warned):
    adata = asynchronous()
    rng = np.random.default_rng(0)
    adata.obs["order"] = adata.obs["hours"] / 96 + spread * rng.uniform(-1, 1, adata.n_obs)
    problem_of(adata)
    assert ("go back and forth" in caplog.text) == warned
    assert not warned or "In 4 of 4 intervals" in caplog.text


def test_too_few_cells_for_the_bins_are_refused():
    refused(asynchronous(cells=12), ValueError, "n_bins=2 or fewer|Lower n_bins")


def test_a_pseudotime_beside_a_pseudotime_is_refused():
    adata = asynchronous()
    adata.obs["hours"] = np.linspace(0, 1, adata.n_obs)
    refused(adata, ValueError, "pseudotime_key")
    few = asynchronous()[:40].copy()
    few.obs["hours"] = np.arange(40.0)
    refused(few, ValueError, "pseudotime_key", observations=scdash.Cells(pseudotime_key="order"))
