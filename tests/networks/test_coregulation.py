"""Co-regulation: genes that follow the other targets of a regulator, measured on hidden edges of the prior."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash.networks import coregulation, ranking_score
from scdash.networks.coregulation_scores import follows, standardised

N, REGULATORS = 120, 4


@pytest.fixture(scope="module")
def data():
    """Make 4 regulators whose activity their own mRNA does not show, 20 targets each, and a prior with 15 wrong ones."""
    rng = np.random.default_rng(0)
    activity = rng.normal(size=(40, REGULATORS))
    states, truth, prior = rng.normal(size=(40, N)), np.zeros((N, N), bool), np.zeros((N, N))
    for k in range(REGULATORS):
        targets = rng.choice(np.arange(REGULATORS, N), 20, replace=False)
        states[:, targets] += 1.5 * activity[:, [k]]
        truth[targets, k] = True
        shown = np.concatenate([targets[:15], rng.choice(np.setdiff1d(np.arange(4, N), targets), 15, replace=False)])
        prior[shown, k] = 1
    return states, np.repeat([0, 1], 20), truth, sp.csr_matrix(prior)


def test_the_formula_is_that_of_all_correlations(data):
    states, trajectory, _, prior = data
    targets = np.zeros((REGULATORS, N), bool)
    targets[prior.tocoo().col, prior.tocoo().row] = True
    centred = states - np.stack([states[trajectory == t].mean(0) for t in (0, 1)])[trajectory]
    c = np.corrcoef(np.concatenate([centred[trajectory == t] for t in (0, 1)]).T)
    found = follows(standardised(states, trajectory), targets)
    for r, i in [(0, 7), (2, 90), (3, 1)]:
        others = np.arange(N) != i
        inside, outside = c[i, others & targets[r]], c[i, others & ~targets[r]]
        n, k = N - 1, len(inside)
        expected = (inside.mean() - outside.mean()) / c[i, others].std() * np.sqrt(k * (n - k) / n)
        assert found[r, i] == pytest.approx(expected, rel=1e-6)


def test_it_finds_hidden_edges_and_true_ones_outside_the_prior(data):
    states, trajectory, truth, prior = data
    found = coregulation(states, trajectory, prior)
    assert found.clear and found.auc > 0.6 and found.regulators.tolist() == [0, 1, 2, 3]
    missing = truth & (prior.toarray() == 0)
    row, col = np.nonzero(missing)
    wrong = np.nonzero((prior.toarray() != 0) & ~truth)
    assert found.at(row, col).mean() > 0.8 > 0.6 > found.at(*wrong).mean()
    assert found.at(np.array([3]), np.array([50]))[0] == 0  # gene 50 regulates nothing in the prior


def test_genes_without_a_common_course_are_no_evidence(data):
    _, trajectory, _, prior = data
    clear = [coregulation(np.random.default_rng(k).normal(size=(40, N)), trajectory, prior).clear for k in range(20)]
    assert sum(clear) <= 3


def test_modules_that_the_prior_does_not_know_are_no_evidence():
    """Targets drawn at random share modules by chance, hidden ones too, which a standard error of single edges denies."""
    clear = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        states = rng.normal(size=(30, 2))[:, rng.integers(2, size=300)] + 0.3 * rng.normal(size=(30, 300))
        prior = np.zeros((300, 300))
        for k in range(3):
            prior[rng.choice(np.arange(3, 300), 150, replace=False), k] = 1
        found = coregulation(states, np.zeros(30, int), sp.csr_matrix(prior))
        clear.append(found.clear)
    assert sum(clear) <= 3


def test_it_is_invariant_under_scale_shift_and_order_of_genes(data):
    states, trajectory, _, prior = data
    base = coregulation(states, trajectory, prior).percentile
    scaled = coregulation(states * np.linspace(0.1, 9, N) + 5 * trajectory[:, None], trajectory, prior).percentile
    np.testing.assert_allclose(base, scaled, atol=1e-9)


def test_little_is_no_measurement(data):
    states, trajectory, _, prior = data
    assert coregulation(states, trajectory, sp.csr_matrix((N, N))) is None
    assert coregulation(states[:4], trajectory[:4], prior) is None
    constant = states.copy()
    constant[:, 10] = 3.0
    assert np.isfinite(coregulation(constant, trajectory, prior).percentile).all()


def test_it_orders_edges_only_where_the_fit_does_not(data):
    """The fit's edges, wrong ones here, come first where it found hidden edges, and not where co-regulation did."""
    states, trajectory, truth, prior = data
    found = coregulation(states, trajectory, prior)
    wrong = sp.csr_matrix((np.ones(5), (np.arange(20, 25), [110] * 5)), shape=(N, N))
    known = {"weight": wrong, "frequency": None, "genes": [f"g{k}" for k in range(N)], "coregulated": found}
    from scdash.networks import HiddenEvidence

    nothing = HiddenEvidence(prior, sp.csr_matrix((N, N)))
    edges, report = ranking_score(wrong, prior, hidden=[nothing], **known)
    assert report["fell_back"] and report["by_coregulation"]
    first = edges.head(40)
    hit = truth[first["target"].cat.codes, first["source"].cat.codes].mean()
    assert first["in_prior"].all() and hit > 0.75
    good = HiddenEvidence(prior, prior)
    edges, report = ranking_score(wrong, prior, hidden=[good], **known)
    assert not report["by_coregulation"] and (edges.head(5)["weight"] != 0).all()
    assert edges["coregulation"].notna().all()
