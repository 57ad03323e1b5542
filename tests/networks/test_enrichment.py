import numpy as np
import pytest
from scipy import stats

from scdash.networks.pathways.enrichment import over_representation, prerank
from scdash.networks.pathways.gene_sets import membership

GENES = [f"G{i}" for i in range(120)]
SETS = {"hit": GENES[:15], "half": GENES[5:25], "miss": GENES[60:80], "rest": GENES[80:]}


def test_over_representation_is_the_hypergeometric_tail_over_the_modelled_genes():
    sets = membership(SETS, GENES, annotated_only=False)
    table = over_representation(GENES[:12] + ["OUTSIDE"], sets).set_index("pathway")
    for name, found in SETS.items():
        overlap = len(set(found) & set(GENES[:12]))
        assert table.loc[name, "overlap"] == overlap
        expected = stats.hypergeom.sf(overlap - 1, 120, len(found), 12)
        assert table.loc[name, "p_value"] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(table["bonferroni"], np.minimum(1, 4 * table["p_value"]))
    assert table.loc["hit", "leading_genes"] == ";".join(GENES[:12])


def test_sets_without_a_hit_count_in_the_correction():
    sets = membership(SETS, GENES, annotated_only=False)
    table = over_representation(GENES[:12], sets)
    assert len(table) == 4
    np.testing.assert_allclose(table["fdr_bh"], stats.false_discovery_control(table["p_value"]))


def test_over_representation_errors():
    sets = membership(SETS, GENES, annotated_only=False)
    with pytest.raises(ValueError, match="None of the 1 listed"):
        over_representation(["nothing"], sets)
    with pytest.raises(ValueError, match="every gene of the background"):
        over_representation(GENES, sets)


def test_prerank_orders_sets_by_where_their_genes_lie():
    sets = membership(SETS, GENES, annotated_only=False)
    scores = np.linspace(1, -1, 120)
    table = prerank(scores, sets, n_permutations=200).set_index("pathway")
    assert table.loc["hit", "normalised_score"] > 0 > table.loc["rest", "normalised_score"]
    assert table["p_value"].min() >= 1 / 201
    assert (table["p_value"] <= table["bonferroni"]).all()
    with pytest.raises(ValueError, match="not all equal"):
        prerank(np.ones(120), sets)
