"""Priors: orientation, everything that is dropped is counted, and hints when names do not meet."""

import re
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash._data import align_prior, prior_from
from scdash._data.genes import present_genes

GENES = ["A", "B", "C", "D"]


def table(*edges):
    return pd.DataFrame([(*edge, *[1.0] * (3 - len(edge))) for edge in edges], columns=["source", "target", "weight"])


def test_row_regulates_column_and_signs_stay():
    prior = align_prior(table(("A", "B", -1), ("C", "D", 0.5)), GENES)
    dense = prior.matrix.toarray()
    assert dense[0, 1] == -1 and dense[2, 3] == 0.5 and np.count_nonzero(dense) == 2
    assert prior.matrix.dtype == np.float32 and prior.matrix.format == "csr"
    assert prior.signs.toarray()[2, 3] == 1 and prior.signs.toarray()[0, 1] == -1
    assert prior.report["signed"] and prior.report["n_regulators"] == 2 and prior.report["n_targets"] == 2


def test_every_edge_left_out_is_counted_under_its_reason():
    prior = align_prior(
        table(
            ("A", "B"), ("A", "A"), ("X", "B"), ("A", "X"), ("X", "Y"), ("B", "C", 0.0), ("C", "D", np.nan), (None, "A")
        ),
        GENES,
    )
    assert prior.report["n_given"] == 8 and prior.report["n_used"] == 1
    assert prior.report["dropped"] == {
        "self edge": 1,
        "unknown source": 1,
        "unknown target": 1,
        "unknown source and target": 1,
        "zero weight": 1,
        "missing weight": 1,
        "missing name": 1,
    }


def test_duplicates_count_once_and_conflicting_signs_become_unsigned():
    prior = align_prior(table(("A", "B", 0.2), ("A", "B", 0.9), ("B", "C", -1), ("B", "C", 1), ("C", "D", -1)), GENES)
    dense = prior.matrix.toarray()
    assert dense[0, 1] == pytest.approx(0.9) and dense[1, 2] == 1 and dense[2, 3] == -1
    assert prior.report["duplicates_merged"] == 2 and prior.report["conflicting_signs"] == 1
    assert prior.report["n_used"] == 3


def test_without_weights_every_edge_is_plus_one():
    prior = align_prior(table(("A", "B"), ("B", "C"))[["source", "target"]], GENES)
    assert prior.matrix.data.tolist() == [1, 1] and not prior.report["signed"]


names = st.sampled_from([*GENES, "X"])


@given(st.lists(st.tuples(names, names, st.sampled_from([-1.0, 0.0, 1.0, np.nan])), min_size=1, max_size=30))
def test_the_report_adds_up(edges):
    try:
        report = align_prior(table(*edges), GENES).report
    except ValueError:
        return
    assert report["n_given"] == report["n_used"] + report["duplicates_merged"] + sum(report["dropped"].values())


@given(st.permutations(GENES))
def test_the_order_of_genes_only_relabels(order):
    edges = table(("A", "B", -1), ("C", "D", 1), ("D", "A", 1))
    prior, other = align_prior(edges, GENES), align_prior(edges, order)
    at = [order.index(gene) for gene in GENES]
    np.testing.assert_array_equal(prior.matrix.toarray(), other.matrix.toarray()[np.ix_(at, at)])


def test_edges_and_subset_come_back():
    edges = table(("A", "B", -1), ("C", "D", 1))
    prior = align_prior(edges, GENES)
    pd.testing.assert_frame_equal(prior.edges.astype({"weight": float}), edges, check_dtype=False)
    small = prior.subset(["D", "C"])
    assert small.matrix.toarray().tolist() == [[0, 0], [1, 0]]


MANY = [f"Gene{i}" for i in range(40)]


def test_wrong_case_is_recognised():
    edges = pd.DataFrame({"source": [g.upper() for g in MANY[:-1]], "target": [g.upper() for g in MANY[1:]]})
    with pytest.raises(ValueError, match="shares 0 of 40 .*case is ignored.*match_case=False"):
        align_prior(edges, MANY)


def test_ensembl_against_symbols_is_recognised_on_either_side():
    ids = [f"ENSG{i:011d}" for i in range(40)]
    symbols = pd.DataFrame({"source": MANY[:-1], "target": MANY[1:]})
    with pytest.raises(ValueError, match="adata's genes are Ensembl ids"):
        align_prior(symbols, ids)
    ensembl = pd.DataFrame({"source": ids[:-1], "target": ids[1:]})
    with pytest.raises(ValueError, match="the prior's are Ensembl ids"):
        align_prior(ensembl, MANY)
    with pytest.raises(ValueError, match="version suffix.*adata.var_names = adata.var_names.str.replace"):
        align_prior(ensembl, [f"{name}.3" for name in ids])
    with pytest.raises(ValueError, match="version suffix.*the names = the names.str.replace"):
        align_prior(ensembl + ".3", ids)


def test_regulators_with_other_versions_get_the_reason_and_no_suggestions():
    ids = [f"ENSG{i:011d}" for i in range(40)]
    genes = pd.Index([f"{name}.12" for name in ids])
    with pytest.raises(KeyError, match="version suffix") as error:
        present_genes(ids[:6], genes, "regulators")
    assert "Did you mean" not in str(error.value)
    line = re.search(r"adata.var_names = (adata.var_names.*?\))", str(error.value).replace("\\\\", "\\"))[1]
    found = eval(line, {"adata": SimpleNamespace(var_names=genes)})
    assert list(found) == ids


def test_no_overlap_at_all_and_nothing_usable():
    with pytest.raises(ValueError, match="same species"):
        align_prior(table(("u", "v")), MANY)
    with pytest.raises(ValueError, match="none of its 2 edges can be used .*self edge"):
        align_prior(table(("A", "A"), ("B", "B")), GENES)


def test_a_short_prior_on_many_genes_and_a_large_prior_on_few_are_fine():
    assert align_prior(table(("Gene1", "Gene2")), [f"Gene{i}" for i in range(500)]).report["n_used"] == 1
    large = pd.DataFrame({"source": [f"t{i}" for i in range(500)] + ["A"], "target": ["B"] * 501})
    assert align_prior(large, ["A", "B"]).report["n_used"] == 1


def test_columns_are_checked():
    with pytest.raises(ValueError, match=r"no column 'source' .*\['tf', 'target'\].*read_prior"):
        align_prior(pd.DataFrame({"tf": ["A"], "target": ["B"]}), GENES)
    with pytest.raises(TypeError, match="weight.*numbers.*'activates'"):
        align_prior(table(("A", "B", "activates")), GENES)
    with pytest.raises(ValueError, match="holds no edge"):
        align_prior(table().astype({"weight": float}), GENES)
    with pytest.raises(TypeError, match="ndarray"):
        align_prior(np.eye(4), GENES)
    with pytest.raises(ValueError, match="more than once"):
        align_prior(table(("A", "B")), ["A", "A", "B"])


def test_categories_and_read_only_tables_are_read():
    edges = table(("A", "B", -1), ("C", "D", 1)).astype({"source": "category", "target": "category"})
    assert align_prior(edges, GENES).report["n_used"] == 2


def test_from_varp_row_regulates_column_and_subset_of_genes():
    adata = ad.AnnData(np.ones((3, 4)), var=pd.DataFrame(index=GENES))
    adata.varp["net"] = sp.csr_matrix(([1.0, -1.0], ([0, 3], [1, 2])), shape=(4, 4))
    assert prior_from(adata, "net").matrix.toarray()[0, 1] == 1
    few = prior_from(adata, "net", ["C", "D"])
    assert few.matrix.toarray().tolist() == [[0, 0], [-1, 0]]
    assert few.report["dropped"] == {"gene not modelled": 1} and few.report["n_given"] == 2
    adata.varp["dense"] = adata.varp["net"].toarray()
    np.testing.assert_array_equal(prior_from(adata, "dense").matrix.toarray(), adata.varp["net"].toarray())
    with pytest.raises(ValueError, match="none of them among the 2"):
        prior_from(adata, "net", ["A", "C"])


def test_a_bare_matrix_and_an_unknown_key_are_refused():
    adata = ad.AnnData(np.ones((3, 4)), var=pd.DataFrame(index=GENES))
    adata.varp["net"] = sp.csr_matrix((4, 4))
    with pytest.raises(TypeError, match="which axis regulates"):
        prior_from(adata, np.eye(4))
    with pytest.raises(KeyError, match="Did you mean 'net'"):
        prior_from(adata, "nets")
    assert prior_from(adata, table(("A", "B"))).report["n_used"] == 1
