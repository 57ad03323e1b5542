"""The verdict from errors over folds alone: what is clear, what is not, and what was not tested."""

import numpy as np
import pytest

from scdash.dynamics.reporting.verdict import compare, verdict_of

FOLDS = 6
NOISE = np.array([0.03, -0.02, 0.04, -0.01, 0.0, -0.04])
OURS = 0.3 + 0.1 * np.arange(FOLDS)  # folds differ far more than models do on one fold


def sets(*gains, noise=0.1):
    """Return null models whose errors exceed ours by some log ratios, on every fold with a little noise."""
    return np.stack([OURS * np.exp(gain + noise * np.roll(NOISE, k)) for k, gain in enumerate(gains)])


def test_a_gain_that_is_the_same_on_every_fold_is_clear_however_much_folds_differ():
    found = compare(OURS, sets(0.05))
    assert found.outcome == "better" and found.gain == pytest.approx(0.05) and found.number == 1
    assert found.null_error == pytest.approx(sets(0.05).mean())
    assert np.isnan(found.set_error)


def test_a_few_null_models_that_are_far_off_do_not_hide_that_all_are_worse():
    """Errors of random sets are skewed: on the scale of errors the worst of them would make any gain look like noise."""
    found = compare(OURS, sets(0.8, 0.9, 1.0, 1.9))
    assert found.outcome == "better"
    means = sets(0.8, 0.9, 1.0, 1.9).mean(axis=1)
    assert means.mean() - OURS.mean() < 2 * means.std(ddof=1) * np.sqrt(1 + 1 / 4)


def test_an_error_of_zero_is_compared():
    nothing = np.zeros(FOLDS)
    assert compare(nothing, sets(0.1)).outcome == "better"
    assert compare(nothing, [nothing]).outcome == "not tested"  # the same fit


def test_a_gain_that_differs_between_folds_is_none():
    once = OURS + np.array([0.6, 0, 0, 0, 0, 0])
    assert compare(OURS, once).outcome == "not distinguished"
    assert compare(OURS, OURS - 0.05 + NOISE).outcome == "not distinguished"
    assert compare(OURS, OURS + NOISE).outcome == "not distinguished"


def test_the_model_has_to_stand_out_from_null_models_that_differ_among_themselves():
    """The model is one draw of regulators, and a lucky draw is better on every fold, too."""
    apart = sets(0.02, 0.10, 0.18, 0.26)
    found = compare(OURS, apart)
    assert found.gain > 2 * found.fold_error  # over folds alone it would be clear
    assert found.set_error == pytest.approx(np.std([0.02, 0.10, 0.18, 0.26], ddof=1) * np.sqrt(1 + 1 / 4))
    assert found.outcome == "not distinguished"
    assert compare(OURS, sets(0.13, 0.14, 0.15, 0.14)).outcome == "better"


@pytest.mark.parametrize(
    ("ours", "nulls"),
    [
        (OURS, []),
        (OURS, [OURS]),  # the same fit
        (OURS, [OURS * (1 + 1e-10), OURS]),
        (OURS, [np.full(FOLDS, np.inf)]),
        (np.full(FOLDS, np.nan), sets(0.1)),
        (OURS[:1], sets(0.1)[:, :1]),  # one fold decides nothing
    ],
)
def test_what_is_not_tested(ours, nulls):
    assert compare(ours, nulls).outcome == "not tested"


def test_null_models_that_diverge_do_not_count():
    found = compare(OURS, [np.full(FOLDS, np.inf), *sets(0.13, 0.14, 0.15)])
    assert found.number == 3 and found.outcome == "better"


def test_null_models_of_a_kind_may_be_fitted_on_a_fold_each():
    """Of halves of the same cells: what differs is then the null model, and its spread counts in full."""
    each = np.full((4, FOLDS), np.nan)
    each[range(4), range(4)] = OURS[:4] * np.exp([0.10, 0.11, 0.12, 0.11])
    found = compare(OURS, each)
    assert found.gain == pytest.approx(0.11) and found.number == 4 and found.outcome == "better"
    assert found.set_error == pytest.approx(np.std([0.10, 0.11, 0.12, 0.11], ddof=1) * np.sqrt(1.25))
    each[3, 3] = OURS[3] * np.exp(0.01)
    assert compare(OURS, each).outcome == "not distinguished"
    best = verdict_of(
        OURS, {"shuffled time": each[0], "no network": OURS * np.exp(0.05)}, prior_used=None, trajectories=False
    )
    assert best.best_null == "no network"  # by the difference to the model on the same folds


CLEAR = {
    "no network": OURS * np.exp(0.2),
    **{f"random regulators {k}": row for k, row in enumerate(sets(0.1, 0.11, 0.1))},
}
OTHERS = {"shuffled time": OURS * np.exp(0.4), "constant": np.ones(FOLDS), "mean trajectory": OURS * np.exp(-0.1)}


@pytest.mark.parametrize(
    ("changed", "trajectories", "supported"),
    [
        ({}, True, True),
        ({}, False, False),  # the other half of the cells tests no trajectory
        ({"no network": OURS}, True, False),
        ({f"random regulators {k}": OURS + NOISE * k for k in range(3)}, True, False),
    ],
)
def test_regulators_are_supported_by_left_out_trajectories_and_both_comparisons(changed, trajectories, supported):
    verdict = verdict_of(OURS, CLEAR | OTHERS | changed, prior_used=None, trajectories=trajectories)
    assert verdict.supports_network is supported


def test_every_kind_is_compared_with_its_own_null_models():
    priors = {f"shuffled prior {k}": row for k, row in enumerate(sets(0.05, 0.06))}
    verdict = verdict_of(OURS, CLEAR | OTHERS | priors, prior_used=True, trajectories=True)
    gains = (verdict.network.gain, verdict.regulators.gain, verdict.prior.gain, verdict.time.gain)
    assert gains == pytest.approx((0.2, 0.31 / 3, 0.055, 0.4))
    assert [found.number for found in (verdict.network, verdict.regulators, verdict.prior, verdict.time)] == [
        1,
        3,
        2,
        1,
    ]
    assert verdict.best_null.startswith("shuffled prior") and verdict.best_baseline == "mean trajectory"
    assert verdict.baselines.outcome == "not distinguished" and verdict.baselines.gain == pytest.approx(-0.1)
    assert verdict.supports_network  # a mean trajectory is no model of regulation: it is printed beside
    stored = verdict.as_dict()
    assert stored["network"] == "better" and stored["figures"]["network_gain"] == pytest.approx(0.2)
    assert all(type(value) is float for value in stored["figures"].values())


def test_a_prior_that_the_model_does_not_use_is_not_beaten():
    priors = {f"shuffled prior {k}": row for k, row in enumerate(sets(0.05, 0.06))}
    assert verdict_of(OURS, CLEAR | priors, prior_used=False, trajectories=True).prior.outcome == "not used"
    assert verdict_of(OURS, CLEAR, prior_used=None, trajectories=True).prior.outcome == "not tested"
    assert verdict_of(OURS, CLEAR, prior_used=None, trajectories=True).best_baseline == ""


def test_random_regulators_are_taken_for_better_than_random_ones_as_rarely_as_the_rule_says():
    """Exchangeable sets with effects of their own: over folds alone the rule would err far more often."""
    rng = np.random.default_rng(0)
    found, folds_alone = 0, 0
    for _ in range(2000):
        errors = 0.5 * np.exp(0.2 * rng.normal(size=(5, 1)) + 0.06 * rng.normal(size=(5, FOLDS)))
        one = compare(errors[0], errors[1:])
        found += one.outcome == "better"
        folds_alone += one.gain > 2 * one.fold_error
    assert found / 2000 < 0.08 < 0.3 < folds_alone / 2000
