"""Fits of samples that name their predecessors: the same as of labelled courses where nothing branches, and complete where it does."""

import anndata
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._data import TimeSeries
from scdash.dynamics.state_pairs.regression_fits import on_all_but_test
from scdash.dynamics.state_pairs.report import _error_lines
from scdash.dynamics.whole_trajectories.states import folds_of_states
from scdash.regression import TransitionSettings, fit_transitions
from scdash.resampling.fold_series import make_folds

from .data import time_courses

SAMPLES = scdash.Samples("before", "interval")
QUICK = {"progress": False, "rng": 0}


def with_predecessors(adata):
    """Return labelled courses with the sample before every sample, and the time since it."""
    adata = adata.copy()
    adata.obs["before"], adata.obs["interval"] = None, np.nan
    for _, part in adata.obs.sort_values("time").groupby("trajectory", observed=True):
        adata.obs.loc[part.index[1:], "before"] = part.index[:-1]
        adata.obs.loc[part.index[1:], "interval"] = np.diff(part["time"])
    return adata


def branching(trunks=2, branches=4, seed=0):
    """Return courses of which `branches` each begin at a common third sample, in random order; two samples stand alone."""
    whole = with_predecessors(
        time_courses(n_genes=10, n_trajectories=trunks * branches, n_test=0, n_edges=15, rng=seed)
    )
    gone, obs = [], whole.obs
    for k, (_, part) in enumerate(obs.groupby("trajectory", observed=True)):
        names = list(part.sort_values("time").index)
        if k % branches == 0:
            trunk = names
        else:
            obs.loc[names[3], "before"] = trunk[2]
            gone += names[:3]
    alone = gone[-2:]
    obs.loc[alone, "before"], obs.loc[alone, "interval"] = None, np.nan
    adata = whole[~whole.obs_names.isin(gone[:-2])].copy()
    adata = adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()
    adata.obs = adata.obs[["before", "interval"]].assign(interval=adata.obs["interval"].astype(float))
    return adata, alone


@pytest.fixture(scope="module")
def forked():
    adata, alone = branching()
    scdash.tl.fit_dynamics(adata, observations=SAMPLES, **QUICK)
    return adata, alone


def test_courses_that_do_not_branch_give_the_fit_of_labelled_ones():
    adata = with_predecessors(time_courses())
    other = adata.copy()
    scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="trajectory", split_key="split", **QUICK)
    scdash.tl.fit_dynamics(other, observations=SAMPLES, split_key="split", **QUICK)
    a, b = (one.varp["dynamics_grn"].toarray() for one in (adata, other))
    order = [scdash.get.grn(one).set_index(["source", "target"])["score"].sort_index() for one in (adata, other)]
    np.testing.assert_allclose(a != 0, b != 0)
    assert np.corrcoef(a[a != 0], b[a != 0])[0, 1] > 0.999
    assert np.corrcoef(*[one.reindex(order[0].index).fillna(0) for one in order])[0, 1] > 0.99


def test_every_interval_is_learned_from_once_and_times_follow_from_intervals(forked):
    adata, alone = forked
    series = adata.uns["dynamics"]["series"]
    assert len(series["time"]) - len(np.unique(series["trajectory"])) == adata.obs["before"].notna().sum()
    time = adata.obs["dynamics_position"]
    assert time[alone].isna().all() and time.drop(index=alone).notna().all()
    follows = adata.obs["before"].notna()
    before = time[adata.obs.loc[follows, "before"]].to_numpy()
    np.testing.assert_allclose(time[follows] - before, adata.obs.loc[follows, "interval"])


def test_results_work_and_survive_a_file(forked, tmp_path):
    adata, alone = forked
    assert adata.layers["dynamics_velocity"].shape == adata.shape
    assert len(scdash.get.grn(adata, candidates=True)) == 90
    assert "left-out trajectories" in scdash.get.report(adata).attrs["summary"]
    adata.write_h5ad(tmp_path / "fit.h5ad")
    read = anndata.read_h5ad(tmp_path / "fit.h5ad")
    for split in ("test", "validation"):
        a, b = (scdash.tl.predict(one, split=split) for one in (adata, read))
        np.testing.assert_array_equal(a.X, b.X)
    found = scdash.tl.predict(read, start=[read.obs["before"].dropna().iloc[0]], times=[1.0, 2.0])
    assert np.isfinite(found.obs["position"]).all()
    arguments = scdash.get.settings(read)
    assert arguments["observations"] == SAMPLES and "time_key" not in arguments
    again = read.copy()
    scdash.tl.fit_dynamics(again, **arguments)
    np.testing.assert_array_equal(again.varp["dynamics_grn"].toarray(), adata.varp["dynamics_grn"].toarray())


def test_refits_read_the_samples_as_the_fit_did(forked):
    adata = forked[0].copy()
    table = scdash.tl.stability(adata, n_repeats=2, training=scdash.Training(max_epochs=0))
    assert len(table)
    path = scdash.tl.sparsity_path(
        adata, lambdas=[0.1, 1.0], model="mlp", sparsity="cnode", training=scdash.Training(max_epochs=2), progress=False
    )
    assert len(path) == 2


def test_the_figure_and_the_report_speak_of_samples(forked):
    """Samples are neither cells nor bins, and where every test window is one step, two errors are the same and told once."""
    figure = scdash.pl.trends(forked[0], return_fig=True)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "observed" in words and "model" in words
    assert not any("cell" in word or "bin" in word for word in words)
    errors = pd.DataFrame({"predictor": ["phoenix", "constant"], "test_mse": [0.1, 0.2]})
    whole = _error_lines(errors.assign(rollout_mse=[0.1, 0.3]).set_index("predictor"), "test_mse")
    assert [line.split(" (")[0] for line in whole] == [
        "Prediction of the next step on test states", "Multi-step prediction of whole test time windows",
    ]  # fmt: skip
    one_step = _error_lines(errors.assign(rollout_mse=errors["test_mse"]).set_index("predictor"), "test_mse")
    assert len(one_step) == 1 and "every test time window is one step): phoenix 0.1, constant 0.2" in one_step[0]


def series_in_groups(groups):
    rng = np.random.default_rng(0)
    states = rng.random((len(groups), 5, 4))
    rows = len(groups) * 5
    return TimeSeries(
        states.reshape(rows, 4),
        np.tile(np.arange(5.0), len(groups)),
        np.repeat(np.arange(len(groups)), 5),
        tuple(f"t{k}" for k in range(len(groups))),
        np.zeros(rows, np.int8),
        pd.Index(list("abcd")),
        group=np.array(groups),
    )


def test_folds_leave_out_whole_groups():
    groups = [0, 1, 2, 0, 1, 2, 2, 0]
    series = series_in_groups(groups)
    for fold in make_folds(series, 3, 0):
        held = np.array([(fold.split[fold.trajectory == k] == 1).any() for k in range(len(groups))])
        assert len({tuple(np.array(groups)[held])} - {()}) == 1 and len(set(np.array(groups)[held])) == 1
    settings = on_all_but_test(TransitionSettings.for_time_courses(), series)
    assert settings.folds == 3
    fit = fit_transitions(series, settings=settings)
    held = [set(np.array(groups)[~part.sees[:, :4].any(axis=1)]) for part in fit.parts[1:]]
    assert sorted(map(tuple, held)) == [(0,), (1,), (2,)]
    assert {fold.kind for fold in folds_of_states(fit)} == {"left-out trajectories"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_key": "interval"}, "time_key would have no effect"),
        ({"trajectory_key": "before"}, "trajectory_key would have no effect"),
        ({"batch_key": "before"}, "batch_key is for cells"),
    ],
)
def test_what_follows_from_the_samples_is_not_given_again(options, message):
    adata, _ = branching()
    with pytest.raises(ValueError, match=message):
        scdash.tl.fit_dynamics(adata, observations=SAMPLES, **QUICK, **options)
    assert "dynamics" not in adata.uns
