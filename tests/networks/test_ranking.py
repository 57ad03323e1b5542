"""Edges ranked by prior and data, and how much the data can say."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from scdash.networks import HiddenEvidence, evidence_auc, ranking_score

GENES = [f"g{k}" for k in range(30)]


def network(seed=0, edges=80, moved=0.2):
    """Return a truth, a prior with some edges moved, and evidence that is higher for true edges."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((30, 30))
    free = np.flatnonzero(~np.eye(30, dtype=bool))
    truth.flat[rng.choice(free, edges, replace=False)] = 1
    prior = truth.copy()
    gone = rng.choice(np.flatnonzero(truth), int(moved * edges), replace=False)
    prior.flat[gone] = 0
    prior.flat[rng.choice(np.setdiff1d(free, np.flatnonzero(truth)), len(gone), replace=False)] = 1
    evidence = np.clip(0.5 * truth + 0.3 * rng.random((30, 30)), 0, 1) * (rng.random((30, 30)) < 0.9)
    np.fill_diagonal(evidence, 0)
    return truth, sp.csr_matrix(prior), sp.csr_matrix(evidence)


def hide(prior, evidence, seed=1):
    entries = prior.tocoo()
    part = np.random.default_rng(seed).random(entries.nnz) < 0.25
    return [
        HiddenEvidence(
            sp.csr_matrix((entries.data[part], (entries.row[part], entries.col[part])), prior.shape), evidence
        )
    ]


def average_precision(truth, edges):
    found = truth[edges["target"].cat.codes, edges["source"].cat.codes]
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return (precision * found).sum() / truth.sum()


def rank(prior, evidence, **options):
    known = {"hidden": (), "weight": evidence}
    return ranking_score(evidence, prior, frequency=evidence, genes=GENES, **(known | options))


def test_prior_and_data_together_beat_each_alone():
    truth, prior, evidence = network()
    model = evidence.multiply(evidence > 0.4)
    both, report = rank(prior, evidence, weight=model, hidden=hide(prior, evidence))
    data, _ = rank(None, evidence)
    alone = (truth * prior.toarray()).sum() ** 2 / prior.nnz / truth.sum()
    assert average_precision(truth, both) > max(average_precision(truth, data), alone)
    assert not report["fell_back"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_edges_of_the_model_come_first_then_those_of_the_prior_and_evidence_orders_within(seed):
    _, prior, evidence = network(seed)
    edges, report = rank(prior, evidence, weight=evidence.multiply(evidence > 0.2))
    used, inside = edges["weight"].to_numpy() != 0, edges["in_prior"].to_numpy()
    order = 2 * used + inside
    assert set(order) == {0, 1, 2, 3} and np.all(np.diff(order) <= 0)
    for part in range(4):
        assert np.all(np.diff(edges.loc[order == part, "contribution"]) <= 1e-12)
    assert edges["score"].between(0, 1).all()
    assert report["used"] == prior.nnz == report["kept"] + report["not_supported"]
    assert report["added"] == ((edges["weight"] != 0) & ~inside).sum()


def test_edges_point_from_regulator_to_target():
    evidence = sp.csr_matrix(([0.7], ([3], [8])), shape=(30, 30))  # (target, regulator)
    edges, _ = rank(None, evidence)
    assert edges.iloc[0][["source", "target"]].tolist() == ["g8", "g3"]


def test_stability_orders_edges_where_it_is_given():
    _, prior, evidence = network()
    edges, _ = rank(prior, evidence, stability=sp.csr_matrix(evidence.multiply(-1).expm1().power(2)))
    other, _ = rank(prior, evidence)
    assert edges["source"].astype(str).tolist() == other["source"].astype(str).tolist()  # monotone: same order
    assert edges["score"].iloc[0] != other["score"].iloc[0]


def test_prior_edges_into_constant_genes_come_last():
    _, prior, evidence = network()
    constant = np.zeros(30, dtype=bool)
    constant[prior.tocoo().row[0]] = True
    edges, _ = rank(prior, evidence, weight=sp.diags_array((~constant).astype(float)) @ evidence, constant=constant)
    into = edges["in_prior"] & edges["target"].isin([GENES[k] for k in np.flatnonzero(constant)])
    assert into.any()
    assert (edges.loc[into, "score"] == 0).all()


def test_without_evidence_the_prior_is_left_alone():
    _, prior, _ = network()
    noise = sp.csr_matrix(np.random.default_rng(5).random((30, 30)))
    model = noise.multiply(noise > 0.5)
    edges, report = rank(prior, noise, weight=model, hidden=hide(prior, noise))
    assert report["fell_back"]
    assert set(edges["score"]) == {0.75, 0.5, 0.25, 0.0}


def test_evidence_auc_of_perfect_and_of_no_evidence():
    truth, prior, _ = network(moved=0.0)
    assert evidence_auc(prior, hide(prior, sp.csr_matrix(truth)))[0] == 1
    nothing = evidence_auc(prior, hide(prior, sp.csr_matrix((30, 30))))
    assert nothing[0] == pytest.approx(0.5)
    assert np.isnan(evidence_auc(prior, [])[0])


def test_evidence_auc_does_not_reward_knowing_the_hubs():
    """Evidence that is the product of degrees separates edges from random pairs, not from degree-matched ones."""
    rng = np.random.default_rng(0)
    out, into = rng.pareto(1.5, 30) + 0.2, rng.pareto(1.5, 30) + 0.2
    chance = np.outer(into, out)
    np.fill_diagonal(chance, 0)
    edges = rng.choice(900, 150, replace=False, p=(chance / chance.sum()).ravel())
    prior = np.zeros(900)
    prior[edges] = 1
    prior = sp.csr_matrix(prior.reshape(30, 30))
    hubs = sp.csr_matrix(chance)
    auc, error = evidence_auc(prior, hide(prior, hubs))
    inside, outside = chance[prior.toarray() > 0], chance[(prior.toarray() == 0) & ~np.eye(30, dtype=bool)]
    against_random = (inside[:, None] > outside).mean()
    assert against_random > 0.8
    assert auc < against_random - 2 * error


def test_the_standard_error_covers_the_spread_over_draws():
    values, errors = [], []
    for seed in range(30):
        _, prior, evidence = network(seed)
        found = hide(prior, evidence, seed)
        auc, error = evidence_auc(prior, found)
        values.append(auc)
        errors.append(error)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.6)  # 30 draws of networks, not of noise alone
