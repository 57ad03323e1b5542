"""Network statistics against brute force over all triples, and against networks whose counts are known."""

from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash.networks.motifs import count_motifs, motif_table, rewired
from scdash.networks.statistics import degrees, effect_correlations, reachable, summary


def a_network(seed=0, n=15, density=0.2):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, n)) < density, rng.normal(size=(n, n)), 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_motifs_equal_a_count_over_all_triples(seed):
    a = np.sign(a_network(seed, 9, 0.4))
    found = count_motifs(a)
    forward = {name.split("(")[1].rstrip(")"): count for name, count in found.items() if name.startswith("feed")}
    expected = dict.fromkeys(forward, 0)
    loops = {1: 0, -1: 0}
    text = {1: "+", -1: "-"}
    for x, y, z in permutations(range(9), 3):
        if a[x, y] and a[y, z] and a[x, z]:
            expected[text[a[x, y]] + text[a[y, z]] + text[a[x, z]]] += 1
        if a[x, y] and a[y, z] and a[z, x]:
            loops[a[x, y] * a[y, z] * a[z, x]] += 1
    assert forward == expected
    assert (found["loop +"], found["loop -"]) == (loops[1] // 3, loops[-1] // 3)
    pairs = [(a[i, j], a[j, i]) for i in range(9) for j in range(i) if a[i, j] and a[j, i]]
    assert found["pair ++"] == pairs.count((1, 1))
    assert found["pair --"] == pairs.count((-1, -1))
    assert found["pair +-"] == pairs.count((1, -1)) + pairs.count((-1, 1))
    assert found["self +"] == (np.diag(a) > 0).sum()


def test_coherence_follows_the_signs():
    for name in count_motifs(a_network()):
        if name.startswith("feed"):
            x, y, z = name.split("(")[1].rstrip(")")
            assert ("incoherent" in name) == ((x == y) != (z == "+"))


@given(st.integers(0, 50))
def test_rewiring_keeps_degrees_and_signs_of_every_gene(seed):
    a = a_network(seed, 20, 0.25)
    b = rewired(a, seed).toarray()
    for sign in (1, -1):
        one, other = np.sign(a) == sign, np.sign(b) == sign
        np.testing.assert_array_equal(one.sum(0), other.sum(0))
        np.testing.assert_array_equal(one.sum(1), other.sum(1))
    np.testing.assert_array_equal(np.diag(a), np.diag(b))


def test_rewiring_moves_edges():
    a = a_network(1, 40, 0.1)
    assert np.mean((rewired(a, 0).toarray() != 0)[a != 0]) < 0.3


def test_planted_feed_forward_loops_stand_out_and_random_networks_do_not():
    rng = np.random.default_rng(0)
    a = np.zeros((60, 60))
    for _ in range(25):
        x, y, z = rng.choice(60, 3, replace=False)
        a[x, y] = a[y, z] = a[x, z] = 1
    table = motif_table(a, n_random=50).set_index("motif")
    assert table.loc["feed-forward coherent 1 (+++)", "z"] > 3
    assert table.loc["feed-forward coherent 1 (+++)", "p_value"] == pytest.approx(1 / 51)
    assert table.loc["self +", ["expected", "z"]].isna().all()
    plain = motif_table(rewired(a, 1), n_random=50).set_index("motif")
    assert abs(plain.loc["feed-forward coherent 1 (+++)", "z"]) < 4


def test_degrees_and_summary_of_a_known_network():
    a = np.zeros((4, 4))
    a[0, [1, 2, 3]] = [1.0, -2.0, 0.5]
    a[1, 0] = 1.0
    table = degrees(a)
    assert table["out_degree"].tolist() == [3, 1, 0, 0]
    assert table["in_degree"].tolist() == [1, 1, 1, 1]
    assert table.loc[0, ["activates", "represses"]].tolist() == [2, 1]
    assert table["out_strength"].tolist() == [3.5, 1.0, 0, 0]
    assert table["hub"].idxmax() == 0
    found = summary(sp.csr_matrix(a))
    assert found["edges"] == 4
    assert found["average_out_degree"] == 1.0
    assert found["mutual_edges"] == 1
    assert found["activating_share"] == 0.75
    assert summary(np.zeros((3, 3)))["edges"] == 0


def test_hubs_are_the_leading_singular_vectors():
    a = np.abs(a_network(3, 10, 0.6))
    u, _, v = np.linalg.svd(a)
    table = degrees(a)
    np.testing.assert_allclose(table["hub"], np.abs(u[:, 0]) / np.abs(u[:, 0]).sum(), atol=1e-6)
    np.testing.assert_allclose(table["authority"], np.abs(v[0]) / np.abs(v[0]).sum(), atol=1e-6)


def test_effect_correlation_is_pearson_where_targets_are_shared():
    a = a_network(2, 30, 0.15)
    found = effect_correlations(a).toarray()
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(a)
    enough = (a != 0).sum(1) >= 2
    shared = ((a != 0).astype(int) @ (a != 0).T.astype(int) > 0) & enough[:, None] & enough[None]
    np.testing.assert_allclose(found[shared], expected[shared], atol=1e-12)
    np.testing.assert_array_equal(found[~shared], 0)


def test_reachable_counts_steps_down_and_up():
    a = np.zeros((5, 5))
    a[0, 1] = a[1, 2] = a[2, 3] = -1
    assert reachable(a, np.array([0]), depth=2).tolist() == [0, 1, 2, -1, -1]
    assert reachable(a, np.array([3]), depth=9, upstream=True).tolist() == [3, 2, 1, 0, -1]


def test_networks_that_are_none_raise():
    with pytest.raises(ValueError, match="square"):
        degrees(np.ones((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        summary(np.full((2, 2), np.nan))


def test_reachable_is_zero_at_the_start_and_reaches_nothing_from_no_gene():
    a = np.zeros((4, 4))
    a[0, 0] = a[0, 1] = a[1, 0] = a[2, 3] = 0.5
    assert reachable(a, np.array([0, 2]), depth=0).tolist() == [0, -1, 0, -1]
    assert reachable(a, np.array([0, 2]), depth=1).tolist() == [0, 1, 0, 1]
    assert reachable(a, np.array([], dtype=int), depth=3).tolist() == [-1, -1, -1, -1]
