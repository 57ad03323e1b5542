"""Priors into varp: names by another column or in another case, and a report that survives storage."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash

TABLE = pd.DataFrame(
    {"source": ["TP53", "MYC", "MYC", "X1"], "target": ["CDKN1A", "ODC1", "MYC", "ODC1"], "weight": [1, -1, 1, 1]}
)


@pytest.fixture
def adata():
    var = pd.DataFrame(index=["TP53", "CDKN1A", "MYC", "ODC1"])
    var["ensembl"] = [f"ENSG{i:011d}" for i in range(4)]
    return ad.AnnData(np.ones((3, 4)), var=var)


def test_row_regulates_column_and_the_report_is_written(adata, caplog):
    with caplog.at_level("INFO", logger="scdash"):
        assert scdash.pp.align_prior(adata, TABLE) is None
    dense = adata.varp["prior"].toarray()
    assert dense[0, 1] == 1 and dense[2, 3] == -1 and np.count_nonzero(dense) == 2
    assert adata.varp["prior"].dtype == np.float32
    report = adata.uns["prior_report"]
    assert report["n_given"] == 4 and report["dropped"] == {"self edge": 1, "unknown source": 1}
    assert "2 of 4 edges" in caplog.text and "1 self edge" in caplog.text
    with caplog.at_level("INFO", logger="scdash"):
        scdash.pp.align_prior(adata, TABLE)
    assert "overwriting adata.varp['prior']" in caplog.text


def test_ensembl_genes_by_column(adata):
    other = adata.copy()
    other.var_names = other.var["ensembl"]
    other.var["symbol"] = adata.var_names
    with pytest.raises(ValueError, match="Ensembl.*gene_ids_key"):
        scdash.pp.align_prior(other, TABLE)
    scdash.pp.align_prior(other, TABLE, gene_ids_key="symbol")
    scdash.pp.align_prior(adata, TABLE)
    np.testing.assert_array_equal(other.varp["prior"].toarray(), adata.varp["prior"].toarray())


def test_case(adata):
    adata.var_names = ["Tp53", "Cdkn1a", "Myc", "Odc1"]
    with pytest.raises(ValueError, match="match_case=False"):
        scdash.pp.align_prior(adata, TABLE)
    scdash.pp.align_prior(adata, TABLE, match_case=False)
    assert adata.varp["prior"].nnz == 2


def test_shared_and_missing_names_get_no_edges(adata):
    adata.var["symbol"] = ["TP53", "CDKN1A", "MYC", "MYC"]
    scdash.pp.align_prior(adata, TABLE, gene_ids_key="symbol")
    assert adata.varp["prior"].nnz == 1 and adata.uns["prior_report"]["ambiguous_genes"] == 2
    adata.var["symbol"] = ["TP53", "CDKN1A", None, ""]
    scdash.pp.align_prior(adata, TABLE, gene_ids_key="symbol")
    assert adata.varp["prior"].nnz == 1
    with pytest.raises(KeyError, match="gene_ids_key='symbols'.*Did you mean 'symbol'"):
        scdash.pp.align_prior(adata, TABLE, gene_ids_key="symbols")


def test_copy_key_and_storage(adata, tmp_path):
    copied = scdash.pp.align_prior(adata, TABLE, key_added="net", copy=True)
    assert "net" not in adata.varp and "net_report" in copied.uns
    copied.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert (back.varp["net"] != copied.varp["net"]).nnz == 0
    assert back.uns["net_report"]["dropped"] == {"self edge": 1, "unknown source": 1}
    assert back.uns["net_report"]["gene_ids_key"] is None


def test_the_table_is_left_alone(adata):
    before = TABLE.copy()
    scdash.pp.align_prior(adata, TABLE, match_case=False)
    pd.testing.assert_frame_equal(TABLE, before)
    with pytest.raises(TypeError, match="DataFrame"):
        scdash.pp.align_prior(adata, np.eye(4))
