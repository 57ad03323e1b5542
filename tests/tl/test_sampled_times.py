"""Cells at few sampled times: one state per time in the user's unit, times left out in turn, and clear refusals."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash
from scdash.dynamics.call import FitCall
from scdash.dynamics.whole_trajectories.folds import TIME_POINTS, make_folds

HOURS = (0, 6, 24, 48, 96)
SHORT = {"training": scdash.Training(max_epochs=3), "progress": False}
QUICK = SHORT | {"validation": scdash.Validation(null_models=False)}


def sampled(cells=24, genes=8, seed=0, times=HOURS):
    rng = np.random.default_rng(seed)
    hour = np.repeat(times, cells)
    place = hour / max(times)
    mean = 1 + np.outer(1 - np.exp(-3 * place), np.linspace(-1, 2, genes))
    values = np.clip(mean + rng.normal(0, 0.2, (len(hour), genes)), 0, None)
    adata = sc.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(len(hour))], [f"g{i}" for i in range(genes)]
    adata.obs["hours"] = hour.astype(float)
    return adata


@pytest.fixture(scope="module")
def fitted():
    adata = sampled()
    scdash.tl.fit_dynamics(adata, time_key="hours", **SHORT)
    return adata


def original(entry):
    return np.asarray(entry["series"]["trajectory"]) == np.asarray(entry["series"]["origin"])


def test_every_sampled_time_is_one_state_with_the_mean_of_its_cells(fitted):
    entry = fitted.uns["dynamics"]
    rows = original(entry)
    np.testing.assert_allclose(np.asarray(entry["series"]["time"])[rows], HOURS)
    means = np.stack([fitted.X[fitted.obs["hours"] == hour].mean(axis=0) for hour in HOURS])
    np.testing.assert_allclose(np.asarray(entry["series"]["states"])[rows], means, rtol=1e-4)
    np.testing.assert_allclose(fitted.obs["dynamics_position"], fitted.obs["hours"])


def test_times_are_left_out_in_turn_and_compared_with_their_neighbours(fitted):
    entry = fitted.uns["dynamics"]
    assert entry["params"]["judged_by"] == TIME_POINTS
    table = scdash.get.report(fitted).set_index("predictor")
    assert {"model", "no network", "shuffled time", "linear interpolation of the neighbours"} <= set(table.index)
    assert sum(str(name).startswith("fold") for name in table.columns) == len(HOURS) - 2
    assert "left-out time points" in entry["report"]
    assert not entry["verdict"]["supports_network"]


def test_the_level_of_pruning_is_the_best_one(fitted):
    params = fitted.uns["dynamics"]["params"]
    pruned = params["choices"][params["choices"]["stage"] == "pruned"]
    assert params["chosen"]["level"] == int(pruned.loc[pruned["error"].idxmin(), "level"])


def test_errors_of_all_times_are_fractions_of_the_same():
    folds = make_folds(problem_of(sampled(), observations=scdash.Cells(couplings="none")))
    assert len({fold.constant_error for fold in folds}) == 1
    assert folds[0].constant_error > 0


def problem_of(adata, **options):
    call = FitCall(time_key="hours", **(QUICK | options))
    asked = call.settle()
    return call.read(adata, asked, call.options(asked, 0)).problem


@pytest.mark.parametrize("couplings", ["ot", "none"])
def test_nothing_of_a_left_out_time_is_learned_from(couplings):
    if couplings == "ot":
        pytest.importorskip("ot")
    adata, other = sampled(), sampled()
    late = (other.obs["hours"] == 24).to_numpy()
    other.X[late] = np.random.default_rng(5).permuted(other.X[late], axis=1)[:, ::-1]
    first, second = (problem_of(one, observations=scdash.Cells(couplings=couplings)) for one in (adata, other))
    folds = [make_folds(one) for one in (first, second)]
    learned = [
        part[1].train.states * one.units.range + one.units.minimum
        for part, one in zip(folds, (first, second), strict=True)
    ]
    assert learned[0].shape == learned[1].shape
    own = len(
        first.series.names
    )  # the means and their re-drawings; groups of cells depend on the axes of all that are kept
    np.testing.assert_allclose(learned[0][:own], learned[1][:own], atol=1e-5)
    np.testing.assert_allclose(learned[0][own:], learned[1][own:], atol=1e-5)
    assert not np.allclose(folds[0][1].held.states, folds[1][1].held.states)


def test_a_line_between_the_neighbours_is_drawn_in_real_time():
    problem = problem_of(sampled(), observations=scdash.Cells(couplings="none"))
    fold = make_folds(problem)[0]
    states = problem.series.originals().states
    np.testing.assert_allclose(fold.interpolated[0, 0], states[0] + (states[2] - states[0]) * 6 / 24, rtol=1e-6)
    np.testing.assert_allclose(fold.start[0], states[0], rtol=1e-6)
    np.testing.assert_allclose(fold.held.states[0, 1], states[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "unit", "factor"),
    [
        (lambda h: h, None, 1),
        (lambda h: pd.to_timedelta(h, unit="h"), "hours", 1),
        (lambda h: h.map("{:g}h".format), "hours", 1),
        (lambda h: (h / 24).map("D{:g}".format), "days", 1 / 24),
        (lambda h: (h / 24).map("day {:g}".format).astype("category"), "days", 1 / 24),
        (lambda h: pd.Series(pd.Categorical(h.astype(int), ordered=True), index=h.index), None, 1),
    ],
)
def test_times_as_users_hold_them_keep_their_unit(make, unit, factor):
    adata = sampled(times=(0, 24, 48, 96))
    adata.obs["when"] = np.asarray(make(adata.obs["hours"])) if factor == 0 else make(adata.obs["hours"])
    scdash.tl.fit_dynamics(adata, time_key="when", **QUICK)
    entry = adata.uns["dynamics"]
    assert entry["params"].get("time_unit") == unit
    np.testing.assert_allclose(np.asarray(entry["series"]["time"])[original(entry)], np.array([0, 24, 48, 96]) * factor)
    axes = scdash.pl.trends(adata, ["g0"], show=False)
    axis = axes[0] if isinstance(axes, (list, np.ndarray)) else axes
    assert axis.get_xlabel() == ("when" if unit is None else f"when ({unit})")
    ahead = scdash.tl.predict(adata, times=[24 * factor])
    assert ahead.n_obs == 1


def test_the_unit_changes_no_fit():
    hours, days = sampled(), sampled()
    days.obs["hours"] = days.obs["hours"] / 24
    for adata in (hours, days):
        scdash.tl.fit_dynamics(adata, time_key="hours", **QUICK)
    np.testing.assert_allclose(
        days.varp["dynamics_grn"].toarray(), 24 * hours.varp["dynamics_grn"].toarray(), rtol=1e-3, atol=1e-6
    )


def given(adata, times=HOURS):
    counts = [int((adata.obs["hours"] == hour).sum()) for hour in times]
    return {pair: np.ones(shape) for pair, shape in zip(pairwise(times), pairwise(counts), strict=True)}


def test_given_couplings_change_the_fit_and_are_asked_for_again():
    adata, without = sampled(), sampled()
    scdash.tl.fit_dynamics(adata, time_key="hours", observations=scdash.Cells(couplings=given(adata)), **QUICK)
    scdash.tl.fit_dynamics(without, time_key="hours", observations=scdash.Cells(couplings="none"), **QUICK)
    assert adata.uns["dynamics"]["params"]["couplings"] == "given"
    assert without.uns["dynamics"]["params"]["couplings"] == "none"
    assert (adata.varp["dynamics_grn"] != without.varp["dynamics_grn"]).nnz
    with pytest.raises(ValueError, match="couplings"):
        scdash.get.settings(adata)
    again = without.copy()
    scdash.tl.fit_dynamics(again, **scdash.get.settings(without) | {"progress": False})
    assert (again.varp["dynamics_grn"] != without.varp["dynamics_grn"]).nnz == 0


def refused(adata, error, message, **options):
    before = adata.copy()
    with pytest.raises(error, match=message):
        scdash.tl.fit_dynamics(adata, **({"time_key": "hours"} | QUICK | options))
    assert not adata.uns and not adata.varp and not adata.layers and list(adata.obs) == list(before.obs)


def test_bad_input_is_refused_and_nothing_is_written():
    adata = sampled()
    wrong = given(adata)
    wrong[0, 6] = wrong[0, 6][1:]
    refused(
        adata,
        ValueError,
        r"couplings\[\(0, 6\)\] has the shape \(23, 24\); needed is \(24, 24\)",
        observations=scdash.Cells(couplings=wrong),
    )
    refused(adata, ValueError, "couplings", observations=scdash.Cells(couplings="moscot"))
    refused(adata, ValueError, "n_bins", observations=scdash.Cells(n_bins=10))
    adata.obs["one"] = 3.0
    refused(adata, ValueError, "constant", time_key="one")
    adata.obs["bad"] = pd.Categorical(np.where(adata.obs["hours"] == 0, "start", "12 parsecs"))
    refused(adata, TypeError, "12 parsecs", time_key="bad")
    adata.obs["line"] = np.where(adata.obs["hours"] == 0, "a", "b")
    refused(adata, ValueError, "'a' has one time point only", trajectory_key="line")
    two = sampled(times=(0, 24))
    refused(two, ValueError, "No trajectory has three sampled times")
    for kept, cells in ((44, "4 cells"), (47, "1 cell")):
        few = sampled()[[*range(24), *range(kept, 120)]].copy()
        refused(few, ValueError, rf"has {cells} at time 6; .* needs 5\. Leave these cells out, e\.g\. adata = adata\[")


def test_couplings_without_a_use_are_refused():
    adata = sampled()
    refused(
        adata,
        ValueError,
        "couplings are for fits",
        observations=scdash.Cells(couplings="ot"),
        start="random",
        sparsity="none",
    )
    adata.obs["hours"] = np.linspace(0, 1, adata.n_obs)
    refused(adata, ValueError, "couplings", observations=scdash.Cells(couplings="ot"))


def test_a_model_without_folds_is_fitted_to_sampled_times():
    adata = sampled()
    scdash.tl.fit_dynamics(
        adata, time_key="hours", start="random", sparsity="none", training=scdash.Training(max_epochs=2), progress=False
    )
    entry = adata.uns["dynamics"]
    assert len(np.unique(np.asarray(entry["series"]["time"]))) == len(HOURS)


def test_batches_are_trajectories_and_a_time_is_left_out_of_all():
    adata = sampled(cells=30)
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    folds = make_folds(problem_of(adata, batch_key="batch", observations=scdash.Cells(couplings="none")))
    assert [len(fold.held) for fold in folds] == [2, 2, 2]
    scdash.tl.fit_dynamics(adata, time_key="hours", batch_key="batch", **QUICK)
    assert adata.uns["dynamics"]["params"]["judged_by"] == TIME_POINTS


def test_weights_of_lineages_go_with_sampled_times():
    adata = sampled()
    side = np.arange(adata.n_obs) % 2 == 0
    weights = np.column_stack([side | (adata.obs["hours"] < 24), ~side | (adata.obs["hours"] < 24)]).astype(float)
    adata.obsm["fates"] = pd.DataFrame(weights, index=adata.obs_names, columns=["x", "y"])
    scdash.tl.fit_dynamics(adata, time_key="hours", trajectory_key="fates", **QUICK)
    assert set(adata.uns["dynamics"]["lineages"]["lineage"]) == {"x", "y"}
