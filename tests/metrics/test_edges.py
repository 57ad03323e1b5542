"""The forms a network may be given in are one network; errors name what does not fit."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdash import metrics

GENES = ["MYOG", "CDK1", "MEF2C", "TNNT1", "ACTC1"]


@pytest.fixture
def adata() -> ad.AnnData:
    """Five genes of which the last is not modelled."""
    grn = np.zeros((5, 5), np.float32)
    grn[0, 2], grn[2, 3], grn[3, 0], grn[1, 4] = 1.5, -0.5, 0.2, 9.0
    adata = ad.AnnData(np.zeros((3, 5), np.float32), var=pd.DataFrame(index=GENES))
    adata.varp["dynamics_grn"] = sparse.csr_matrix(grn)
    adata.var["dynamics_genes"] = [True] * 4 + [False]
    adata.uns["dynamics"] = {"params": {}, "weights": {"U_sums": grn[:4, :4].T}}
    adata.uns["truth"] = pd.DataFrame(
        {"source": ["MYOG", "MEF2C", "MYOG"], "target": ["MEF2C", "TNNT1", "ACTC1"], "weight": [1.0, 1.0, 1.0]}
    )
    return adata


def table_of(matrix: np.ndarray, names: list[str]) -> pd.DataFrame:
    source, target = np.nonzero(matrix)
    names_ = np.array(names)
    return pd.DataFrame({"source": names_[source], "target": names_[target], "weight": matrix[source, target]})


def test_matrix_table_and_anndata_agree(adata: ad.AnnData) -> None:
    modelled = adata.varp["dynamics_grn"].toarray()[:4, :4]
    truth = adata.uns["truth"]
    expected = metrics.auprc(modelled, truth, genes=GENES[:4])
    for grn in (sparse.csc_array(modelled), table_of(modelled, GENES[:4]).sample(frac=1, random_state=0)):
        assert metrics.auprc(grn, truth, genes=GENES[:4]) == expected
    categorical = table_of(modelled, GENES[:4]).astype({"source": "category", "target": "category"})
    assert metrics.auprc(categorical, truth, genes=GENES[:4]) == expected
    assert metrics.auprc(adata, "truth") == expected  # the modelled genes only: ACTC1 is not evaluated
    assert expected.prevalence == pytest.approx(2 / 12)
    assert metrics.auprc(adata, truth, genes=GENES).prevalence == pytest.approx(3 / 20)


def test_any_varp_matrix_may_be_evaluated(adata: ad.AnnData) -> None:
    adata.varp["other"] = adata.varp["dynamics_grn"]
    assert metrics.density(adata, key="other") == pytest.approx(4 / 25)
    assert metrics.balanced_accuracy(adata, "other", key="other") == 1


def test_tables_without_genes_are_evaluated_among_the_genes_they_name() -> None:
    truth = pd.DataFrame({"source": ["a"], "target": ["b"]})
    grn = pd.DataFrame({"source": ["a", "c"], "target": ["b", "a"], "weight": [1.0, 0.5]})
    assert metrics.auprc(grn, truth).prevalence == pytest.approx(1 / 6)


def test_rows_regulate_columns() -> None:
    truth = pd.DataFrame({"source": ["a"], "target": ["b"]})
    assert metrics.auprc(np.array([[0, 1.0], [0, 0]]), truth, genes=["a", "b"]) == 1
    assert metrics.auprc(np.array([[0, 0], [1.0, 0]]), truth, genes=["a", "b"]) == 0.5


def test_a_repeated_true_edge_counts_once_a_repeated_score_raises() -> None:
    once = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"]})
    twice = pd.concat([once, once])
    assert metrics.auprc(once, twice, genes=list("abcd")).prevalence == pytest.approx(2 / 12)
    with pytest.raises(ValueError, match="grn lists 2 edges more than once"):
        metrics.density(twice)


@pytest.mark.parametrize(
    ("grn", "truth", "genes", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), None, ValueError, r"shape \(2, 3\)"),
        (np.ones((2, 2)), np.ones((3, 3)), None, ValueError, r"truth has shape \(3, 3\), expected \(2, 2\)"),
        (np.ones((2, 2)), pd.DataFrame({"source": ["a"], "target": ["b"]}), None, ValueError, "pass genes="),
        (np.ones((2, 2)), pd.DataFrame({"source": ["A"], "target": ["B"]}), ["a", "b"], ValueError, "case"),
        (np.ones((2, 2)), pd.DataFrame({"Source": ["a"], "target": ["b"]}), ["a", "b"], ValueError, "mean 'Source'"),
        (np.ones((2, 2)), np.ones((2, 2)), ["a", "a"], ValueError, "names repeat"),
        ([1, 2], np.ones((2, 2)), None, TypeError, "found list"),
    ],
)
def test_what_does_not_fit_is_named(grn, truth, genes, error, message) -> None:
    with pytest.raises(error, match=message):
        metrics.balanced_accuracy(grn, truth, genes=genes)


def test_missing_slots_are_named(adata: ad.AnnData) -> None:
    with pytest.raises(KeyError, match="dynamics_grn"):
        metrics.density(adata, key="dynamic")
    with pytest.raises(KeyError, match="truth"):
        metrics.auprc(adata, "thruth")
    with pytest.raises(KeyError, match="fit_dynamics"):
        metrics.sparsity(adata, key="other")


def test_sparsity_reads_the_stored_weights(adata: ad.AnnData) -> None:
    assert metrics.sparsity(adata) == pytest.approx(13 / 16)


def test_inputs_are_left_alone(adata: ad.AnnData) -> None:
    matrix, table = adata.varp["dynamics_grn"].copy(), adata.uns["truth"].copy()
    metrics.auprc(matrix, table, genes=GENES)
    metrics.grn_report(adata, table, prior=table)
    assert (matrix != adata.varp["dynamics_grn"]).nnz == 0
    pd.testing.assert_frame_equal(table, adata.uns["truth"])


def test_import_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from scdash import metrics; [getattr(metrics, n) for n in metrics.__all__];"
        "assert not {'torch', 'scanpy', 'anndata'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
