"""The null against full enumeration, p-values against their definition and under a true null, overlap by joint draws."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scdash.networks.pathways.gene_sets import membership
from scdash.networks.pathways.permutation import bonferroni, null_moments, permutation_test
from scdash.networks.pathways.scores import enough_permutations, leading_genes, pathway_table


def random_sets(rng, n_sets, n_genes, low=5, high=30):
    rows = [rng.choice(n_genes, rng.integers(low, high), replace=False) for _ in range(n_sets)]
    matrix = np.zeros((n_sets, n_genes))
    for row, members in enumerate(rows):
        matrix[row, members] = 1
    return sp.csr_matrix(matrix)


@pytest.mark.parametrize("size", [1, 3, 7, 13, 14])
def test_null_moments_equal_full_enumeration(size):
    scores = np.random.default_rng(size).lognormal(size=14)
    sums = np.array([sum(scores[list(chosen)]) for chosen in combinations(range(14), size)])
    mean, variance = null_moments(scores, np.array([size]))
    np.testing.assert_allclose(mean, sums.mean(), rtol=1e-12)
    np.testing.assert_allclose(variance, sums.var(), rtol=1e-12, atol=1e-12)


def test_p_value_is_the_share_of_all_sets_of_the_size_that_reach_the_sum():
    scores = np.random.default_rng(0).lognormal(size=14)
    sets = sp.csr_matrix(np.eye(14)[[np.argsort(scores)[-1]]] + np.eye(14)[[3]] + np.eye(14)[[5]])
    sums = [sum(scores[list(chosen)]) for chosen in combinations(range(14), 3)]
    exact = np.mean(np.array(sums) >= (sets @ scores)[0] - 1e-12)
    found = permutation_test(scores, sets, n_permutations=40_000, max_permutations=40_000)
    assert found.n_permutations[0] == 40_000
    # four standard errors of a binomial share
    assert abs(found.p_value[0] - exact) < 4 * np.sqrt(exact * (1 - exact) / 40_000)


def test_smallest_possible_p_and_the_largest():
    """The unique best pair of 60: exact p is 1 / C(60, 2), and p cannot be below 1 / (K + 1)."""
    scores = np.arange(60.0) ** 2
    matrix = np.zeros((2, 60))
    matrix[0, -2:], matrix[1, :2] = 1, 1
    found = permutation_test(scores, sp.csr_matrix(matrix), n_permutations=100, max_permutations=50_000)
    assert found.p_value[1] == 1.0
    assert 1 / comb(60, 2) / 3 < found.p_value[0] < 3 / comb(60, 2)
    assert found.fwer[1] == 1.0
    few = permutation_test(scores, sp.csr_matrix(matrix), n_permutations=100, max_permutations=100)
    np.testing.assert_array_equal(few.n_permutations, 100)
    assert few.p_value[0] >= 1 / 101


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_p_values_are_uniform_under_a_null(alternative):
    """Scores independent of the sets: p over many simulated score vectors is uniform (Kolmogorov-Smirnov)."""
    rng = np.random.default_rng(1)
    sets = random_sets(rng, 1, 200)
    p = [
        permutation_test(
            rng.lognormal(size=200), sets, alternative=alternative, n_permutations=199, max_permutations=1999,
            exceedances=10, rng=rng
        ).p_value[0]
        for _ in range(600)
    ]  # fmt: skip
    assert stats.kstest(p, "uniform").pvalue > 0.01
    for level in (0.002, 0.01, 0.05, 0.25):  # never anti-conservative: four binomial standard errors
        assert np.mean(np.array(p) <= level) <= level + 4 * np.sqrt(level * (1 - level) / 600)


def test_adaptive_stopping_agrees_with_the_fixed_number():
    rng = np.random.default_rng(2)
    scores, sets = rng.lognormal(size=150), random_sets(rng, 40, 150)
    fixed = permutation_test(scores, sets, n_permutations=20_000, max_permutations=20_000, rng=3)
    adaptive = permutation_test(scores, sets, n_permutations=500, max_permutations=20_000, exceedances=50, rng=4)
    assert adaptive.n_permutations.min() == 500 < adaptive.n_permutations.max()
    # 50 exceedances leave a relative error of 14 %; 500 draws an absolute one of at most 2.2 %
    np.testing.assert_allclose(adaptive.p_value, fixed.p_value, rtol=4 * 0.142, atol=4 * 0.001)


def test_sequential_p_follows_its_definition():
    """h / l with l the draw that completes h exceedances, written out with the same random stream."""
    rng = np.random.default_rng(5)
    scores, sets = rng.normal(size=50), random_sets(rng, 1, 50, 5, 6)
    scores[sets.indices] += 0.4
    found = permutation_test(scores, sets, n_permutations=20, max_permutations=4000, exceedances=7, rng=6)
    stream = np.random.default_rng(6)
    observed, draws, reached = scores[sets.indices].sum(), 0, 0
    first = stream.permuted(np.broadcast_to(scores, (20, 50)), axis=1)
    later = stream.permuted(np.broadcast_to(scores, (3980, 50)), axis=1)
    for permuted in np.concatenate([first, later]):
        draws += 1
        reached += permuted[sets.indices].sum() >= observed
        if draws > 20 and reached == 7:
            break
    assert 20 < draws < 4000
    assert found.n_permutations[0] == draws - 1
    assert found.p_value[0] == pytest.approx(7 / draws)


def test_joint_permutation_accounts_for_overlap():
    """Fifty copies of one set are one test: their family-wise p is the single p, not fifty times it."""
    rng = np.random.default_rng(7)
    scores, one = rng.normal(size=100), random_sets(rng, 1, 100, 10, 11)
    scores[one.indices] += 0.6
    copies = sp.csr_matrix(sp.vstack([one] * 50))
    found = permutation_test(scores, copies, n_permutations=2000, max_permutations=2000)
    assert len(set(found.p_value)) == 1
    np.testing.assert_allclose(found.fwer, found.p_value)
    disjoint = sp.csr_matrix(np.kron(np.eye(10), np.ones(10)))
    apart = permutation_test(scores, disjoint, n_permutations=2000, max_permutations=2000)
    best = apart.p_value.argmin()
    assert apart.p_value[best] < apart.fwer[best] <= 1.5 * bonferroni(apart.p_value)[best]


def test_family_wise_error_is_kept_with_overlapping_sets():
    rng = np.random.default_rng(8)
    sets = random_sets(rng, 60, 100, 20, 50)  # every pair of sets shares genes
    rejected = [
        permutation_test(rng.exponential(size=100), sets, n_permutations=199, max_permutations=199, rng=rng).fwer.min()
        <= 0.05
        for _ in range(300)
    ]
    assert np.mean(rejected) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(rejected) > 0.01  # Bonferroni on 60 overlapping sets would hardly ever reject


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bonferroni_is_its_definition(p):
    p = np.array(p)
    np.testing.assert_allclose(bonferroni(p), [min(1, x * len(p)) for x in p])


def test_leading_genes_are_the_fewest_that_make_half_of_the_excess():
    scores = np.array([1.0, 9.0, 1.0, 5.0, 4.0, -3.0])
    assert leading_genes(scores, np.arange(6), 1.0).tolist() == [1]  # 8 of 8 + 4 + 3
    assert leading_genes(scores, np.array([3, 4, 5]), 1.0).tolist() == [3]
    assert leading_genes(scores, np.arange(6), 1.0, sign=-1).tolist() == [5]
    assert leading_genes(scores, np.array([0, 2]), 1.0).tolist() == []


def test_table_finds_a_planted_set_and_invents_none():
    rng = np.random.default_rng(9)
    genes = [f"G{i}" for i in range(300)]
    gene_sets = {f"S{i}": rng.choice(genes, 20, replace=False).tolist() for i in range(40)}
    sets = membership(gene_sets, genes, annotated_only=False)
    scores = rng.exponential(size=300)
    scores[np.isin(sets.genes, gene_sets["S7"])] += 2.0
    table = pathway_table(scores, sets)
    assert table.loc[0, "pathway"] == "S7"
    assert table["p_value"].is_monotonic_increasing
    assert table.loc[0, "bonferroni"] < 0.05 < table["bonferroni"].iloc[5]
    assert set(table.loc[0, "leading_genes"].split(";")) <= set(gene_sets["S7"])
    row = table.set_index("pathway").loc["S3"]
    members = scores[np.isin(sets.genes, gene_sets["S3"])]
    expected = (members.sum() - 20 * scores.mean()) / np.sqrt(20 * scores.var() * 280 / 299)
    assert row["z"] == pytest.approx(expected, abs=1e-12)
    assert row["score"] == pytest.approx(members.sum())


def test_the_table_has_the_false_discovery_rate_of_all_sets():
    """Benjamini and Hochberg 1995: the smallest of p_k m / k over the sets that are at least as far down the list."""
    rng = np.random.default_rng(5)
    genes = np.array([f"g{i}" for i in range(60)])
    sets = membership(
        {f"s{k}": list(rng.choice(genes, 12, replace=False)) for k in range(12)}, genes, annotated_only=False
    )
    table = pathway_table(rng.normal(size=60), sets)
    p = table["p_value"].to_numpy()
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.empty(len(p))
    expected[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    np.testing.assert_allclose(table["fdr_bh"], expected)
    assert (table["fdr_bh"] > table["p_value"]).any()


def test_relabelling_genes_changes_nothing_but_random_draws():
    rng = np.random.default_rng(10)
    genes = np.array([f"G{i}" for i in range(100)])
    gene_sets = {f"S{i}": rng.choice(genes, 12, replace=False).tolist() for i in range(5)}
    scores, order = rng.exponential(size=100), rng.permutation(100)
    one = pathway_table(scores, membership(gene_sets, genes, annotated_only=False)).set_index("pathway")
    other = pathway_table(scores[order], membership(gene_sets, genes[order], annotated_only=False)).set_index("pathway")
    np.testing.assert_allclose(one["z"], other["z"].loc[one.index], atol=1e-12)
    assert (one["leading_genes"] == other["leading_genes"].loc[one.index]).all()


def test_less_is_greater_of_the_negative():
    rng = np.random.default_rng(11)
    scores, sets = rng.normal(size=80), random_sets(rng, 6, 80)
    less = permutation_test(scores, sets, alternative="less", rng=1)
    greater = permutation_test(-scores, sets, alternative="greater", rng=1)
    np.testing.assert_array_equal(less.p_value, greater.p_value)


def test_limits_and_errors():
    sets = sp.csr_matrix(np.ones((1, 3)))
    assert permutation_test(np.arange(3.0), sets).p_value[0] == 1.0  # the whole universe cannot stand out
    assert enough_permutations(1000) * 0.05 / 1000 >= 5
    with pytest.raises(ValueError, match="alternative"):
        permutation_test(np.arange(3.0), sets, alternative="grater")
    with pytest.raises(ValueError, match="max_permutations"):
        permutation_test(np.arange(3.0), sets, n_permutations=10, max_permutations=5)
    with pytest.raises(ValueError, match="sizes"):
        null_moments(np.arange(3.0), np.array([4]))
    found = membership({"a": ["x", "y"]}, ["x", "y", "z"], min_size=1)
    with pytest.raises(ValueError, match="same score"):
        pathway_table(np.ones(2), found)
    with pytest.raises(ValueError, match="finite"):
        pathway_table(np.array([1.0, np.nan]), found)
