"""What the own perturbations of sources do to the network of a screen, to the ranking, and to predictions."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scdash
from scdash._data.screen import Screen, parse_screen
from scdash.screens.baselines.linear_model import linear_model, sum_of_singles
from scdash.screens.equilibrium.fit import fit_equilibrium
from scdash.screens.equilibrium.path import Penalties, Settings, solve
from scdash.screens.equilibrium.stable import LARGEST_RADIUS, loops, spectral_radius, stabilised
from scdash.screens.evidence import evidence, range_penalty, standard_errors, with_odds, without_noise
from scdash.screens.forward import NETWORK, OTHERS, SINGLES, best_predictor, forward, gene_sd, squared_errors
from scdash.screens.held_out import predict_changes
from scdash.screens.network import finished, shown
from scdash.screens.report import network_lines
from scdash.screens.statistics import assign_folds, perturbation_statistics

GENES = [f"g{i}" for i in range(12)]


def screen_of(network, labels, *, cells=40, noise=0.3, seed=0, change=-2.0, kind="knockout"):
    """Return statistics of a screen of a linear network without loops, (regulator, target)."""
    rng = np.random.default_rng(seed)
    d = len(network)
    total = np.linalg.inv(np.eye(d) - network)
    names = np.repeat(["control", *labels], cells)
    x = 4 + noise * rng.normal(size=(len(names), d))
    for label in labels:
        targets = [GENES.index(gene) for gene in label.split("+")]
        pushed = np.zeros(d)
        pushed[targets] = change
        x[names == label] += pushed @ total
    screen = parse_screen(names, pd.Index(GENES[:d]), kind=kind)
    return perturbation_statistics(x, screen, assign_folds(screen, 5, np.random.default_rng(0)))


def fitted(stats):
    quiet = without_noise(stats)
    penalty = np.repeat(range_penalty(quiet)[:, None], len(stats.centre), 1)
    return fit_equilibrium(quiet, Penalties(penalty), progress=False)


def rank(score, pair):
    return int((np.abs(score) > np.abs(score[pair])).sum())


@pytest.fixture(scope="module")
def siblings():
    """g0 moves g1 to g5; none of these does anything, and each gene was perturbed once."""
    network = np.zeros((12, 12))
    network[0, 1:6] = [1.0, 0.9, 0.8, 0.7, 0.6]
    return network, fitted(screen_of(network, GENES))


def test_siblings_come_after_their_common_source(siblings):
    network, fit = siblings
    true = [rank(fit.score, (0, t)) for t in range(1, 6)]
    joined = [rank(fit.score, (a, b)) for a in range(1, 6) for b in range(1, 6) if a != b]
    assert max(true) < min(joined)
    assert set(zip(*np.nonzero(fit.model.weights), strict=True)) == {(0, t) for t in range(1, 6)}


def test_an_indirect_effect_that_the_network_explains_comes_after_the_direct_ones():
    network = np.zeros((12, 12))
    network[0, 1], network[1, 2], network[2, 3] = 0.9, 0.9, 0.9
    fit = fitted(screen_of(network, GENES))
    direct = [rank(fit.score, pair) for pair in ((0, 1), (1, 2), (2, 3))]
    indirect = [rank(fit.score, pair) for pair in ((0, 2), (1, 3), (0, 3))]
    assert max(direct) < min(indirect)
    marginal = np.abs(fit.evidence.total_z)
    assert marginal[0, 2] > 10 > np.abs(fit.evidence.direct_z[0, 2])  # the own perturbation alone shows it


@pytest.mark.parametrize("seed", range(3))
def test_a_ranking_is_never_empty_and_noise_makes_no_network(seed):
    fit = fitted(screen_of(np.zeros((12, 12)), GENES, seed=seed))
    off = ~np.eye(12, dtype=bool)
    assert (fit.score[off] != 0).all()
    assert (fit.model.weights != 0).sum() <= 2  # a false discovery rate of 5 %


def test_the_report_counts_edges_that_are_more_than_chance_among_all_pairs(siblings):
    """One pair in 22 lies beyond two standard errors by chance; of a network of such pairs none passes the false discovery rate."""
    network, fit = siblings
    stats = without_noise(screen_of(network, GENES))
    line = network_lines(fit, stats)[0]
    assert (
        "shows 5 of them beyond two standard errors, beside the other regulators, and 5 at a false discovery rate of 5 %"
        in line
    )
    assert "among all 132 pairs of a perturbed gene and another" in line
    z = np.random.default_rng(0).normal(size=(12, 12)) * ~np.eye(12, dtype=bool)
    z[np.abs(z) > 3] = 0.5  # 3.5 would pass
    z[3, 4] = 3.0
    weights = np.where(np.abs(z) > 2, 1.0, 0.0)
    chance = replace(fit, evidence=replace(fit.evidence, direct_z=z), model=replace(fit.model, weights=weights))
    number = int((np.abs(z) > 2).sum())
    assert number > 3
    assert (
        f"shows {number} of them beyond two standard errors, beside the other regulators, and 0 at a"
        in network_lines(chance, stats)[0]
    )
    z[3, 4] = 4.0
    assert "and 1 at a false discovery rate of 5 % (|direct_z| from 4.0)" in network_lines(chance, stats)[0]


def test_only_edges_that_their_own_perturbation_shows_stay(siblings):
    network, _ = siblings
    stats = without_noise(screen_of(network, GENES))
    used = np.ones(len(stats.counts), bool)
    wrong = network.copy()
    wrong[1, 2] = 0.9  # g1 and g2 go together, and the knockout of g1 leaves g2 alone
    found = evidence(stats, used, wrong * 4, np.zeros(12))
    assert shown(found)[0, 1:6].all() and not shown(found)[1, 2]
    problem, _ = solve(stats, used, Settings(0.1))
    ratio = problem.scale_y[None, :] / problem.scale_f[:, None]
    for believed in (True, False):
        kept = finished(stats, used, problem, wrong * 4 / ratio, believed=believed).model.weights
        assert kept[0, 1:6].all() and kept[1, 2] == 0


def test_a_prior_counts_as_much_as_its_odds():
    z = np.array([[0.0, 1.5, -1.5, 3.0]])
    odds = np.array([[5.0, 1.0, 5.0, 1.0]])
    np.testing.assert_allclose(with_odds(z, odds), [[0, 1.5, np.sqrt(1.5**2 + 2 * np.log(5)), 3]])
    np.testing.assert_allclose(with_odds(z, None), np.abs(z))


def test_evidence_is_that_of_the_perturbations_used():
    network = np.zeros((12, 12))
    network[0, 1] = network[3, 4] = 0.9
    stats = without_noise(screen_of(network, GENES))
    used = np.ones(len(stats.counts), bool)
    used[stats.screen.index("g0")] = False
    moved = stats.y.copy()
    moved[stats.screen.index("g0")] += 5
    nothing = np.zeros((12, 12)), np.zeros(12)
    first, second = (evidence(replace(stats, y=y), used, *nothing) for y in (stats.y, moved))
    assert not first.perturbed[0] and first.perturbed[3] and first.direct_z[0, 1] == 0
    np.testing.assert_allclose(first.total, second.total)
    assert abs(first.direct_z[3, 4]) > 10


@pytest.mark.parametrize(("kind", "change"), [("knockout", -2.0), ("overexpression", 2.0)])
def test_a_source_that_is_not_detected_keeps_the_evidence_of_its_own_perturbation(kind, change):
    """Dropout hides that a knockout took; what it did to other genes is as clear as where the source is detected."""
    network = np.zeros((6, 6))
    network[0, 1:3] = [1.0, -0.8]
    seen = screen_of(network, GENES[:6], change=change, kind=kind)
    y, f = seen.y.copy(), seen.f.copy()
    y[:, 0] = f[:, 0] = 0.0
    unseen = replace(seen, y=y, f=f)
    found = [
        evidence(stats, np.ones(len(seen.counts), bool), np.zeros((6, 6)), np.zeros(6)) for stats in (seen, unseen)
    ]
    for name, apart in (("total_z", 1e-6), ("direct_z", 0.25)):  # the typical noise of genes differs by the hidden one
        detected, hidden = (getattr(one, name)[0, 1:] for one in found)
        np.testing.assert_allclose(hidden, detected, rtol=apart)
        assert np.sign(hidden[0]) == 1 and abs(hidden[0]) > 5


def test_total_effects_are_the_mean_change_over_the_change_of_the_source():
    network = np.zeros((12, 12))
    network[0, 1] = 0.9
    stats = without_noise(screen_of(network, GENES))
    found = evidence(stats, np.ones(len(stats.counts), bool), np.zeros((12, 12)), np.zeros(12))
    row = stats.screen.index("g0")
    np.testing.assert_allclose(found.total[0, 1:], stats.y[row, 1:] / stats.f[row, 0])
    np.testing.assert_allclose(
        found.total_z[0, 1:] ** 2, (stats.y[row, 1:] / standard_errors(stats)[row, 1:]) ** 2, rtol=1e-6
    )


def test_noise_makes_no_feature_and_targets_keep_theirs():
    stats = screen_of(np.zeros((12, 12)), GENES, seed=3)
    quiet = without_noise(stats)
    targets = stats.screen.targets
    np.testing.assert_allclose(quiet.f[targets], stats.activation(stats.y)[targets])
    assert (quiet.f[~targets] == 0).mean() > 0.97


@given(st.integers(0, 2**31 - 1), st.floats(0.1, 20.0))
@settings(max_examples=30, deadline=None)
def test_networks_are_stable_and_edges_outside_loops_stay(seed, size):
    rng = np.random.default_rng(seed)
    weights = size * rng.normal(size=(8, 8)) * (rng.random((8, 8)) < 0.3) * (1 - np.eye(8))
    weaker = stabilised(weights, 1.0)
    assert spectral_radius(weaker, 1.0) <= LARGEST_RADIUS + 1e-6
    assert spectral_radius(weights, 1.0) == pytest.approx(np.abs(np.linalg.eigvals(weights / 4)).max(), abs=1e-6)
    inside = np.zeros((8, 8), bool)
    for genes in loops(weights):
        inside[np.ix_(genes, genes)] = True
    np.testing.assert_array_equal(weaker[~inside], weights[~inside])
    assert (np.sign(weaker) == np.sign(weights)).all()


def test_a_radius_of_many_genes_is_that_of_all_eigenvalues():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(260, 260)) * (rng.random((260, 260)) < 0.05)
    np.fill_diagonal(weights, 0)
    assert spectral_radius(weights, 2.0) == pytest.approx(np.abs(np.linalg.eigvals(weights / 2)).max(), rel=1e-6)


def test_held_out_perturbations_are_predicted_by_networks_that_have_not_seen_them():
    network = np.zeros((12, 12))
    network[0, 1:4], network[5, 6] = 0.9, -0.8
    labels = [f"g{a}+g{b}" for a in range(4) for b in range(4, 10)]
    stats = without_noise(screen_of(network, labels, change=1.0, kind="shift"))
    at = Settings(0.1, lambdas=(0.1, 0.03))
    found = forward(stats, at, 0.03)
    for fold in range(5):
        out = stats.fold == fold
        problem, path = solve(stats, ~out, at)
        model = finished(stats, ~out, problem, path[-1], believed=found.believed).model
        model = replace(model, untried=found.untried)
        told = predict_changes(model, stats.silent, stats.screen.targets[out], ("shift",) * out.sum()).values
        np.testing.assert_allclose(found.network[out], told)
    assert found.believed
    errors = squared_errors(found.network, stats, gene_sd(stats)), squared_errors(found.others, stats, gene_sd(stats))
    assert errors[0][stats.fold >= 0].sum() < 0.3 * errors[1][stats.fold >= 0].sum()
    hit = found.network.copy()
    hit[stats.screen.targets] += 100  # a target's own change is no prediction
    np.testing.assert_allclose(squared_errors(hit, stats, gene_sd(stats)), errors[0])


def test_perturbations_of_the_same_genes_are_held_out_together():
    targets = np.zeros((9, 4), bool)
    targets[np.arange(1, 9), np.arange(8) // 2] = True
    screen = Screen(
        ("control", *"abcdefgh"),
        targets,
        ("shift", *["knockout", "knockdown"] * 4),
        np.arange(9),
        pd.Index(list("wxyz")),
    )
    fold = assign_folds(screen, 3, np.random.default_rng(0))
    assert fold[0] == -1 and (fold[1::2] == fold[2::2]).all() and len(set(fold[1:])) == 3
    assert assign_folds(screen, 9, np.random.default_rng(0)).max() == 3


def test_the_linear_model_finds_what_is_linear_and_falls_back_to_the_mean():
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(30, 2))
    middle = np.array([[1.0, 0.4], [-0.3, 0.8]])
    targets = np.eye(30, dtype=bool)
    changes = loadings @ middle @ loadings.T
    predicted = linear_model(changes[:25], targets[:25], targets[25:], changes[:25].mean(0))
    mean = np.broadcast_to(changes[:25].mean(0), (5, 30))
    assert ((predicted - changes[25:]) ** 2).sum() < 0.5 * ((mean - changes[25:]) ** 2).sum()
    flat = np.broadcast_to(np.arange(30.0), (25, 30))
    np.testing.assert_allclose(
        linear_model(flat, targets[:25], targets[25:], flat.mean(0)), np.broadcast_to(flat[0], (5, 30))
    )


def test_the_best_predictor_is_the_one_with_the_least_error():
    table = pd.DataFrame({"predictor": [NETWORK, OTHERS, SINGLES], "error": [0.3, 0.2, 0.1]})
    assert best_predictor(table, combined=False) == OTHERS
    assert best_predictor(table, combined=True) == SINGLES
    assert best_predictor(table.iloc[:0], combined=True) == NETWORK


@pytest.fixture(scope="module")
def lost():
    """A screen in which nothing acts on anything, with what all perturbations do to g9 to g11."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["control", *GENES[:8]], 30)
    x = 3 + 0.3 * rng.normal(size=(len(labels), 12))
    x[:, 9:] += (labels != "control")[:, None] * 1.0
    for gene in GENES[:8]:
        x[labels == gene, GENES.index(gene)] = 0.0
    adata = __import__("anndata").AnnData(np.abs(x), obs=pd.DataFrame({"perturbation": labels}).astype(str))
    adata.var_names = GENES
    scdash.tl.fit_perturbode(adata, model=scdash.models.PerturbODE(kind="knockout"), progress=False)
    return adata


def test_unseen_perturbations_are_predicted_by_what_was_best_on_held_out_ones(lost, caplog):
    with caplog.at_level(logging.INFO, logger="scdash"):
        asked = scdash.tl.predict_perturbations(lost, ["g8", "g0"])
        assert "g8" not in caplog.text and "have no target" in caplog.text  # g8 is not predicted by the network
        scdash.tl.predict_perturbations(lost, ["g8"], predictor="network")
        assert "1 of 1 genes have no target in the fitted network (n_targets is 0): g8" in caplog.text
    table = lost.uns["dynamics"]["errors"].set_index("predictor")["error"]
    assert asked.obs["predictor"].tolist() == [table.idxmin(), NETWORK]
    np.testing.assert_allclose(asked.layers["change"][0, 9:], 1.0, atol=0.2)
    alone = scdash.tl.predict_perturbations(lost, ["g8"], predictor="network")
    assert alone.obs["predictor"].tolist() == [NETWORK]
    with pytest.raises(ValueError, match="Did you mean 'network'"):
        scdash.tl.predict_perturbations(lost, ["g8"], predictor="netwrk")


def test_the_table_of_edges_says_what_own_perturbations_show(lost):
    edges = scdash.get.grn(lost)
    of_tested = edges["source"].isin(GENES[:8])
    assert edges.loc[of_tested, "source_perturbed"].all() and not edges.loc[~of_tested, "source_perturbed"].any()
    assert edges.loc[~of_tested, "interventional_z"].isna().all()
    seen = edges.set_index(["source", "target"]).loc[("g0", "g9")]
    np.testing.assert_allclose(seen["interventional_effect"], 1.0, atol=0.25)  # the knockout raises g9
    assert seen["interventional_z"] > 5
    assert 0 <= lost.uns["dynamics"]["metrics"]["spectral_radius"] < 1


def test_combinations_are_sums_of_what_was_seen_alone():
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    changes = np.array([[1.0, 0, 4], [3.0, 0, 2], [0, 5.0, 1], [9.0, 9, 9]])
    asked = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]], bool)
    found = sum_of_singles(changes, targets, asked)
    np.testing.assert_allclose(found[0], [2, 5, 4])  # a gene seen twice counts with its mean
    assert np.isnan(found[1:]).all()


def test_unperturbed_siblings_do_not_take_the_edges_of_their_common_source():
    """g1 to g5 move with g0 in the one perturbation that moves them, and were never perturbed themselves."""
    network = np.zeros((12, 12))
    network[0, 1:6] = [1.0, 0.9, 0.8, 0.7, 0.6]
    fit = fitted(screen_of(network, ["g0", *GENES[6:]]))
    assert not fit.believed
    assert (fit.frequency[0, 1:6] > 0.5).all() and (fit.frequency[1:6] == 0).all()
    assert max(rank(fit.score, (0, t)) for t in range(1, 6)) == 4
