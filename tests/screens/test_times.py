"""Screens sampled at several times: one network, one relaxation, errors of what was left out at each time."""

import logging

import anndata
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.models import PerturbODE, Transport
from scdash.screens.equilibrium.fit import fit_equilibrium
from scdash.screens.evidence import without_noise
from scdash.screens.fold_statistics import screen_statistics
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.times.errors import shares_of_folds, timed_forward
from scdash.screens.times.relaxation import Relaxation, fit_relaxation, products_of

from .timed import timed_screen

KNOCKOUT = PerturbODE(kind="knockout")


def timed(adata, **settings):
    """Return the changes of a screen at its times, as a fit reads them."""
    inputs = read_screen(adata, ScreenRequest(time_key="day", model=PerturbODE(kind="knockout", **settings)))
    return screen_statistics(inputs, 5, np.random.default_rng(0)).timed


def fitted(adata, key="day", **settings):
    return scdash.tl.fit_perturbode(adata, time_key=key, model=PerturbODE(kind="knockout", **settings), copy=True)


@pytest.fixture(scope="module")
def relaxing():
    return timed_screen()


@pytest.fixture(scope="module")
def fit(relaxing):
    return fitted(relaxing)


def test_equal_days_give_the_network_of_all_cells_together():
    """With the same responses at all times the fit is that of one screen whose days are batches."""
    adata = timed_screen(rate=np.inf)
    adata.obs["batch"] = adata.obs["day"].astype(str)
    days = fitted(adata)
    together = scdash.tl.fit_perturbode(adata, batch_key="batch", model=KNOCKOUT, copy=True)
    assert np.isinf(days.uns["dynamics"]["screen"]["times"]["rate"])
    for slot in ("grn", "sensitivity", "total_effect"):
        np.testing.assert_array_equal(
            days.varp[f"dynamics_{slot}"].toarray(), together.varp[f"dynamics_{slot}"].toarray()
        )
    np.testing.assert_array_equal(
        days.uns["dynamics"]["screen"]["change"], together.uns["dynamics"]["screen"]["change"]
    )


def test_what_moves_all_cells_of_a_time_changes_nothing(relaxing, fit):
    moved = relaxing.copy()
    rng = np.random.default_rng(3)
    number = pd.factorize(moved.obs["day"])[0]
    moved.X = moved.X + rng.uniform(0, 1, (4, moved.n_vars))[number]
    other = fitted(moved)
    np.testing.assert_allclose(other.varp["dynamics_grn"].toarray(), fit.varp["dynamics_grn"].toarray(), atol=1e-4)
    one, two = (a.uns["dynamics"]["screen"]["times"] for a in (fit, other))
    np.testing.assert_allclose(two["change"], one["change"], atol=1e-5)
    assert two["rate"] == one["rate"] and two["onset"] == one["onset"]


def test_the_relaxation_is_found(relaxing):
    found = timed(relaxing)
    truth = 1 - np.exp(-0.5 * (np.array([2, 3, 4, 5]) - 1.0))
    np.testing.assert_allclose(found.relaxation.at(found.times.values), truth / truth[-1], atol=0.05)
    response = relaxing.varm["response"].T * truth[-1]
    away = found.free[1:]
    pooled = found.pooled()[0][1:]
    assert np.sqrt(np.mean((pooled - response)[away] ** 2)) < np.sqrt(
        np.mean((found.change[1:, -1] - response)[away] ** 2)
    )


def test_shuffled_days_change_the_fit(relaxing, fit):
    shuffled = relaxing.copy()
    rng = np.random.default_rng(0)
    for label in shuffled.obs["perturbation"].unique():
        rows = np.flatnonzero(shuffled.obs["perturbation"] == label)
        shuffled.obs.iloc[rows, shuffled.obs.columns.get_loc("day")] = rng.permutation(
            shuffled.obs["day"].to_numpy()[rows]
        )
    other = fitted(shuffled)
    parts = [a.uns["dynamics"]["screen"]["times"]["part"] for a in (fit, other)]
    assert parts[0][0] < 0.6 and parts[1][0] > 0.8  # a response that has nothing to do with time is there at once
    assert np.abs(other.varp["dynamics_grn"].toarray() - fit.varp["dynamics_grn"].toarray()).max() > 0.01
    errors = [a.uns["dynamics"]["errors_by_time"] for a in (fit, other)]
    last = [e[(e["left_out"] == "time") & (e["time"] == 5)].set_index("predictor")["error"] for e in errors]
    assert last[0]["own response, relaxed"] < last[0]["change at the time before"]


def test_one_network_for_all_times(fit):
    assert [name for name in fit.varp if name.endswith("_grn")] == ["dynamics_grn"]
    edges = scdash.get.grn(fit)
    assert edges["source_perturbed"].dtype == bool and not edges.duplicated(["source", "target"]).any()
    told = scdash.tl.predict_perturbations(fit, ["G00"], times=[2, 3, 4, 5], predictor="network")
    mean = np.asarray(fit.uns["dynamics"]["screen"]["times"]["mean_change"])
    beside = (told.layers["change"] - mean)[:, ~told.layers["target"][0]]
    level = fit.uns["dynamics"]["screen"]["times"]["part"]
    np.testing.assert_allclose(beside, level[:, None] * beside[-1], atol=1e-5)  # the same response, relaxed


def test_own_perturbations_of_all_times_are_one_piece_of_evidence(relaxing):
    """Four times show an edge better than the last one alone."""
    last = relaxing[relaxing.obs["day"] == 5].copy()
    every = scdash.get.grn(fitted(relaxing)).set_index(["source", "target"])["interventional_z"]
    alone = scdash.get.grn(scdash.tl.fit_perturbode(last, model=KNOCKOUT, copy=True))
    alone = alone.set_index(["source", "target"])["interventional_z"]
    response = pd.DataFrame(relaxing.varm["response"].T, index=relaxing.var_names[:10], columns=relaxing.var_names)
    true = [(s, t) for s in response.index for t in response.columns if response.loc[s, t] != 0]
    assert np.median(every[true].abs()) > 1.2 * np.median(alone[true].abs())


def test_a_time_left_out_is_predicted_from_those_before(relaxing):
    early = relaxing[relaxing.obs["day"] < 5].copy()
    made = fitted(early)
    found = scdash.tl.predict_perturbations(made, list(relaxing.var_names[:10]), times=[5])
    assert set(found.obs["predictor"].astype(str)) == {"own response, relaxed"}
    whole = timed(relaxing)
    away, observed = whole.free[1:], whole.change[1:, 3]
    mse = {
        "ours": np.mean((found.layers["change"] - observed)[away] ** 2),
        "time before": np.mean((whole.change[1:, 2] - observed)[away] ** 2),
        "no change": np.mean(observed[away] ** 2),
    }
    assert mse["ours"] < min(mse["time before"], mse["no change"])


def test_a_perturbation_left_out_is_predicted_at_each_time(relaxing):
    made = fitted(relaxing, hold_out=("G03",))
    found = scdash.tl.predict_perturbations(made, ["G03", "G01"], times=[2, 5])
    assert list(found.obs["status"].astype(str)) == ["held out", "held out", "fitted", "fitted"]
    assert list(found.obs_names) == ["G03_t2", "G03_t5", "G01_t2", "G01_t5"]
    whole = timed(relaxing)
    np.testing.assert_allclose(found.layers["observed_change"][0], whole.change[4, 0], atol=1e-4)
    np.testing.assert_allclose(found.layers["observed_change"][3], whole.change[2, 3], atol=1e-4)
    # nothing of it is in the fit: other values of its cells give the same prediction
    other = relaxing.copy()
    rows = (other.obs["perturbation"] == "G03").to_numpy()
    other.X[rows] = other.X[rows][::-1] + 0.3
    again = scdash.tl.predict_perturbations(fitted(other, hold_out=("G03",)), ["G03"], times=[2, 5])
    np.testing.assert_array_equal(again.layers["change"], found.layers["change"][:2])


def test_errors_of_perturbations_left_out_do_not_use_them(relaxing):
    """The mean of the others at a time is without the fold."""
    stats, found = regressed(relaxing)
    for r in (1, 4):
        others = (stats.fold != stats.fold[r]) & (stats.fold >= 0)
        for t in range(4):
            by_hand = np.array(
                [stats.timed.change[others & stats.free[:, g], t, g].mean() for g in range(relaxing.n_vars)]
            )
            np.testing.assert_allclose(
                found.perturbations["mean of the other perturbations"][r, t], by_hand, atol=1e-12
            )
    assert np.isnan(found.times["own response, relaxed"][:, 0]).all()
    before = stats.timed.change[1:, 1]
    np.testing.assert_array_equal(found.times["change at the time before"][1:, 2], before)


def test_the_report_gives_errors_at_each_time(fit):
    table = fit.uns["dynamics"]["errors_by_time"]
    assert set(table[table["left_out"] == "perturbation"]["time"]) == {2, 3, 4, 5}
    assert set(table[table["left_out"] == "time"]["time"]) == {3, 4, 5}
    text = str(fit.uns["dynamics"]["report"])
    error = table[(table["left_out"] == "perturbation") & (table["time"] == 4)].set_index("predictor")["error"]
    assert f"4: {error['network']:.3g}, {error['mean of the other perturbations']:.3g}" in text
    assert "Sampled at 2, 3, 4, 5" in text and "Sampled at" in scdash.get.report(fit).attrs["summary"]


def test_results_survive_a_file_and_units_are_kept(relaxing, tmp_path):
    adata = relaxing.copy()
    adata.obs["stage"] = [f"D{day:g}" for day in adata.obs["day"]]
    made = fitted(adata, key="stage")
    made.write_h5ad(tmp_path / "fit.h5ad")
    back = anndata.read_h5ad(tmp_path / "fit.h5ad")
    numbers = scdash.tl.predict_perturbations(made, ["G00", "G00+G01"], times=[3, 6.5])
    texts = scdash.tl.predict_perturbations(back, ["G00", "G00+G01"], times=["72h", "D6.5"])
    np.testing.assert_array_equal(numbers.X, texts.X)
    assert list(texts.obs["time"]) == [3, 6.5, 3, 6.5]
    report = back.uns["dynamics"]["report"]
    assert "Sampled at 2 days" in report and " per day from " in report and "; 3 days: " in report
    assert texts.uns["time_unit"] == "days"
    figure = scdash.pl.perturbation(back, texts, return_fig=True)
    assert [ax.get_title().split("  ")[0] for ax in figure.axes] == ["G00, 3 days (fitted)"]
    with pytest.raises(ValueError, match="embryonic days"):
        scdash.tl.predict_perturbations(made, ["G00"], times=["E3"])
    with pytest.raises(TypeError, match="times must hold numbers"):
        scdash.tl.predict_perturbations(made, ["G00"], times=["soon"])
    with pytest.raises(ValueError, match="times must be finite"):
        scdash.tl.predict_perturbations(made, ["G00"], times=[np.nan])
    with pytest.raises(ValueError, match="n_cells"):
        scdash.tl.predict_perturbations(made, ["G00"], times=[3], n_cells=5)


def test_the_control_of_a_prediction_is_that_of_its_time(relaxing, fit):
    told = scdash.tl.predict_perturbations(fit, ["G00"], times=[3, 3.5, 9])
    control = [
        relaxing.X[(relaxing.obs["perturbation"] == "control") & (relaxing.obs["day"] == day)].mean(axis=0)
        for day in (3, 4, 5)
    ]
    wanted = [control[0], (control[0] + control[1]) / 2, control[2]]
    np.testing.assert_allclose(told.X - told.layers["change"], wanted, atol=1e-5)


def test_stability_and_baselines_read_the_times_of_the_fit(fit):
    adata = fit.copy()
    table = scdash.tl.stability(adata, n_repeats=3)
    assert len(table)
    scdash.tl.screen_baseline(adata, "ridge")
    assert adata.uns["ridge"]["params"]["sampled_time_key"] == "day"
    told = scdash.tl.predict_perturbations(adata, ["G00"], times=[3], key="ridge")
    assert np.isfinite(told.X).all()


def test_without_times_a_fit_is_as_before(relaxing):
    made = scdash.tl.fit_perturbode(relaxing, model=KNOCKOUT, copy=True)
    assert "times" not in made.uns["dynamics"]["screen"] and "errors_by_time" not in made.uns["dynamics"]
    with pytest.raises(ValueError, match="times: this fit was made without time_key"):
        scdash.tl.predict_perturbations(made, ["G00"], times=[3])


def test_fit_dynamics_passes_the_time_on(relaxing, fit):
    made = scdash.tl.fit_dynamics(relaxing, model=KNOCKOUT, perturbation_key="perturbation", time_key="day", copy=True)
    np.testing.assert_array_equal(made.varp["dynamics_grn"].toarray(), fit.varp["dynamics_grn"].toarray())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda a: a[a.obs["day"] == 3].copy(), ValueError, "time_key='day': all cells of the screen have one time"),
        (
            lambda a: a[~((a.obs["perturbation"] == "control") & (a.obs["day"] == 4))].copy(),
            ValueError,
            r"time_key='day': 1 of 4 times have fewer than 3 control cells.*4 \(0 control cells\)",
        ),
        (lambda a: with_days(a, a.obs["day"].map({2: "x", 3: "y", 4: "z", 5: "w"})), TypeError, "time_key: adata.obs"),
        (lambda a: with_days(a, a.obs["day"].to_numpy() > 3), TypeError, "time_key: adata.obs"),
        (lambda a: without_days(a), KeyError, "day"),
    ],
)
def test_wrong_times_are_refused_and_nothing_is_written(relaxing, change, error, text):
    adata = change(relaxing.copy())
    with pytest.raises(error, match=text):
        scdash.tl.fit_perturbode(adata, time_key="day", model=KNOCKOUT)
    assert not adata.uns and not adata.varp and not adata.layers


def with_days(adata, values):
    adata.obs["day"] = values
    return adata


def without_days(adata):
    del adata.obs["day"]
    return adata


def test_transport_refuses_times(relaxing):
    adata = relaxing.copy()
    with pytest.raises(ValueError, match="time_key is for PerturbODE\\(fit='equilibrium'\\)"):
        scdash.tl.fit_perturbode(adata, time_key="day", model=PerturbODE(fit=Transport(steps=10), kind="knockout"))
    assert not adata.uns


def test_a_perturbation_that_is_missing_at_a_time_is_warned_of_and_kept(relaxing, caplog):
    adata = relaxing[~((relaxing.obs["perturbation"] == "G02") & (relaxing.obs["day"] == 3))].copy()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        made = fitted(adata)
    assert "1 of 10 perturbations were not sampled at every time" in caplog.text and "G02 at 3" in caplog.text
    change = made.uns["dynamics"]["screen"]["times"]["change"]
    assert np.isnan(change[3, 1]).all() and np.isfinite(change[3, [0, 2, 3]]).all()
    found = scdash.tl.predict_perturbations(made, ["G02"], times=[3])
    assert np.isnan(found.layers["observed_change"]).all() and np.isfinite(found.X).all()


def test_cells_without_a_time_take_no_part(relaxing, fit):
    more = anndata.concat([relaxing, relaxing[:50].copy()], index_unique="-")
    more.obs["day"] = more.obs["day"].where(np.arange(more.n_obs) < relaxing.n_obs)
    made = fitted(more)
    np.testing.assert_array_equal(made.varp["dynamics_grn"].toarray(), fit.varp["dynamics_grn"].toarray())


def test_batches_and_guides_beside_times(relaxing):
    adata = relaxing.copy()
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    adata.obs["guide"] = adata.obs["perturbation"].astype(str) + "_" + adata.obs["batch"]
    adata.X[adata.obs["batch"] == "a", 12] += 0.7
    made = scdash.tl.fit_perturbode(
        adata, time_key="day", batch_key="batch", model=PerturbODE(kind="knockout", guide_key="guide"), copy=True
    )
    truth = timed(relaxing).change
    np.testing.assert_allclose(made.uns["dynamics"]["screen"]["times"]["change"], truth, atol=0.25)
    lost = adata[~((adata.obs["perturbation"] == "control") & (adata.obs["day"] == 3) & (adata.obs["batch"] == "a"))]
    with pytest.raises(ValueError, match="time_key and batch_key: 1 of 12 batches"):
        scdash.tl.fit_perturbode(lost.copy(), time_key="day", batch_key="batch", model=KNOCKOUT)


def test_a_relaxation_is_one_at_the_last_time_and_zero_before_its_onset():
    found = Relaxation(0.4, 1.0, 5.0)
    np.testing.assert_allclose(found.at(np.array([0.0, 1.0, 5.0])), [0, 0, 1])
    assert found.at(np.array([6.0]))[0] > 1
    np.testing.assert_array_equal(Relaxation(np.inf, 1.0, 5.0).at(np.array([2.0, 9.0])), 1)


def test_noise_alone_and_single_times_are_immediate():
    rng = np.random.default_rng(0)
    counts = np.full((3, 2), 10.0)
    counts[:, 1] = 0
    products, genes = products_of(rng.normal(size=(3, 2, 50)), np.ones((3, 50), bool))
    found = fit_relaxation(np.array([1.0, 2.0]), products, counts, genes)
    assert np.isinf(found.rate)


def regressed(adata):
    """Return the statistics that are fitted, and what the fit predicts of what was left out."""
    inputs = read_screen(adata, ScreenRequest(time_key="day", model=KNOCKOUT))
    stats = without_noise(screen_statistics(inputs, 5, np.random.default_rng(0)))
    return stats, timed_forward(fit_equilibrium(stats, progress=False).held_out, stats)


def test_a_time_is_predicted_without_its_own_changes(relaxing):
    """What perturbed cells are at a time does not enter its prediction, from the times before it, in the fit's table."""
    later = relaxing.copy()
    rows = ((later.obs["day"] == 4) & (later.obs["perturbation"] == "G01")).to_numpy()
    later.X[rows, 10:] += np.random.default_rng(1).normal(0, 2, later.n_vars - 10)
    one, two = (regressed(adata)[1].times["own response, relaxed"] for adata in (relaxing, later))
    np.testing.assert_allclose(two[:, 1:3], one[:, 1:3], atol=1e-8)
    assert np.abs(two[2, 3] - one[2, 3]).max() > 0.1  # day 5 is predicted from day 4, too


def test_the_share_of_the_network_is_that_of_the_other_folds(relaxing):
    stats = screen_statistics(
        read_screen(relaxing, ScreenRequest(time_key="day", model=KNOCKOUT)), 5, np.random.default_rng(0)
    )
    own = np.ones(stats.timed.change.shape)
    left = 0.5 * own
    held = stats.fold == 2
    left[held] = 5.0
    share, shares = shares_of_folds(own, left, stats)
    np.testing.assert_allclose(shares[held], 0.5)
    assert share > 0.5 and (shares[(stats.fold >= 0) & ~held] > 0.5).all()
    assert shares_of_folds(0 * own, left, stats)[0] == 1 and shares_of_folds(-own, left, stats)[0] == 0


def test_a_response_is_least_squares_over_times_and_worth_fewer_cells(relaxing):
    stats = screen_statistics(
        read_screen(relaxing, ScreenRequest(time_key="day", model=KNOCKOUT)), 5, np.random.default_rng(0)
    )
    found, level = stats.timed, stats.timed.relaxation.at(np.array([2.0, 3, 4, 5]))
    assert level[0] < 1
    for r in (1, 5):
        by_hand = np.linalg.lstsq(level[:, None], found.change[r], rcond=None)[0][0]  # as many cells at each time
        free = stats.free[r]
        np.testing.assert_allclose(stats.y[r, free], by_hand[free], atol=1e-10)
        np.testing.assert_allclose(stats.y[r, ~free], found.change[r].mean(axis=0)[~free], atol=1e-10)
        assert stats.rows[r] == pytest.approx(40 * (level**2).sum())
    assert stats.counts[1] == 160


def test_responses_are_shrunk_more_the_noisier_they_are(relaxing):
    """The posterior mean lies between nothing and least squares; where nothing but noise is there it is nothing."""
    found = timed(relaxing)
    still = timed(timed_screen(perturbed=10, rate=np.inf, noise=3.0, cells=10))
    for one, least, most in ((found, 0.9, 1.0), (still, 0.0, 0.9)):
        level, counts = one.relaxation.at(one.times.values), one.counts[1:].astype(float)
        weights = counts * level
        squares = np.einsum("pt,ptg->pg", weights, one.deviations()[1:]) / (weights * level).sum(axis=1)[:, None]
        ratio = (one.responses()[1:] * squares).sum() / (squares**2).sum()
        assert least <= ratio <= most


def test_only_what_the_network_predicts_is_said_to_change_nothing_without_an_edge(fit, caplog):
    adata = fit.copy()
    edges = adata.uns["dynamics"]["edges"]
    adata.uns["dynamics"]["edges"] = edges[edges["source"] != "G00"]
    for predictor in ("best", "network"):
        caplog.clear()
        told = scdash.tl.predict_perturbations(adata, ["G00"], times=[3, 5], predictor=predictor)
        assert told.obs["n_targets"].tolist() == [0, 0]
        assert ("have no target in the fitted network" in caplog.text) == (predictor == "network")


def test_what_is_not_drawn_is_said(fit, caplog):
    told = scdash.tl.predict_perturbations(fit, ["G00"], times=[3, 7])
    scdash.pl.perturbation(fit, told)
    assert "not drawn, because the screen has nothing observed to compare with: G00, 7\n" in caplog.text
    caplog.clear()
    scdash.pl.perturbation(fit, told, perturbations=["G00, 3"])
    assert "not drawn" not in caplog.text
    many = scdash.tl.predict_perturbations(fit, ["G00", "G01", "G02"], times=[2, 3, 4, 5])
    caplog.clear()
    assert len(scdash.pl.perturbation(fit, many)) == 9
    assert "9 of 12 predictions are drawn; name others with perturbations=" in caplog.text


def test_a_perturbation_at_two_times_has_two_panels(fit):
    told = scdash.tl.predict_perturbations(fit, ["G00"], times=[3, 5, 7])
    figure = scdash.pl.perturbation(fit, told, return_fig=True)
    titles = [ax.get_title().split("  ")[0] for ax in figure.axes]
    assert titles == ["G00, 3 (fitted)", "G00, 5 (fitted)"]  # nothing was observed at 7
    r = np.corrcoef(*(np.asarray(told.layers[name])[0, 1:] for name in ("observed_change", "change")))[0, 1]
    assert figure.axes[0].get_title().endswith(f"r = {r:.2f}")
