"""Lists of genes from elsewhere are cut to the data; lists that must be complete name every absent gene."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scdash._core.errors import near_names, suggest
from scdash._data import all_genes, chosen_genes, gene_mask, present_genes

GENES = pd.Index(["HBB", "MYOD1", "MYOG", "GATA1", "TAL1"])


@pytest.fixture
def adata():
    return ad.AnnData(np.ones((3, 5)), var=pd.DataFrame({"is_tf": [False, True, True, True, True]}, index=GENES))


def test_absent_names_are_left_out_and_counted(caplog):
    with caplog.at_level("INFO", logger="scdash"):
        assert present_genes(["MYOG", "TP53", "HBB", "SOX2", "HBB"], GENES, "regulators").tolist() == [2, 0]
    assert "regulators: 2 of 4 names are not among the genes and are left out (TP53, SOX2)" in caplog.text


def test_names_that_differ_by_case_come_first_wherever_names_are_suggested(caplog):
    genes = ["Gata2", "Gata1", "GATA1", "Gata", "Hbb"]
    assert near_names("gata1", genes) == ["Gata1", "GATA1"]
    assert near_names("gata", genes) == ["Gata"]
    assert set(near_names("gata3", genes)) <= set(genes[:4]) and len(near_names("gata3", genes, most=2)) == 2
    assert "Did you mean 'Gata1'? " in suggest("gata1", ["Gata2", "Gata1"])
    with pytest.raises(KeyError, match=r"Did you mean 'Gata1'\? "):
        all_genes("gata1", ["Gata2", "Gata1"], "genes")
    with caplog.at_level("INFO", logger="scdash"):
        present_genes(["Gata1", "MYOG", "Tp53"], GENES, "regulators")
    assert "1 of them would match if case were ignored ('GATA1' for 'Gata1')" in caplog.text


def test_a_long_list_of_which_one_gene_is_there_is_fine():
    assert present_genes([*(f"TF{i}" for i in range(1800)), "MYOD1"], GENES, "regulators").tolist() == [1]


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["Myod1", "Hbb"], "case"),
        ([f"ENSG{i:011d}" for i in range(5)], "Ensembl"),
        (["foo", "bar"], "same species"),
    ],
)
def test_a_list_of_which_none_is_there_says_why(names, cause):
    with pytest.raises(KeyError, match=f"regulators: none of its {len(names)} names.*{cause}"):
        present_genes(names, GENES, "regulators")


def test_hardly_any_is_an_error_too():
    many = pd.Index([f"G{i}" for i in range(1000)])
    with pytest.raises(KeyError, match="only 2 of its 1002 names"):
        present_genes([*(f"TF{i}" for i in range(1000)), "G1", "G2"], many, "regulators")


def test_a_complete_list_names_all_absent_genes_with_near_matches():
    assert all_genes(["TAL1", "HBB"], GENES, "genes").tolist() == [4, 0]
    with pytest.raises(KeyError) as caught:
        all_genes(["MYOD2", "HBB", "Gata1", "xyz"], GENES, "genes")
    for expected in ("3 of 4 names", "'MYOD2'", "'Gata1'", "'xyz'", "'MYOD1'", "'GATA1' for 'Gata1'"):
        assert expected in str(caught.value)


def test_genes_are_chosen_by_flags_in_any_form_or_by_names(adata):
    expected = [False, True, True, True, True]
    names = ["MYOD1", "MYOG", "GATA1", "TAL1", "TP53"]
    for chosen in ("is_tf", adata.var["is_tf"], expected, adata.var["is_tf"].astype(str), names, set(names)):
        assert chosen_genes(adata, chosen, "regulators").tolist() == expected
    assert gene_mask(adata, pd.Index(names)).tolist() == expected
    assert gene_mask(adata, [*names, np.nan, ""]).tolist() == expected


def test_a_series_of_flags_is_matched_by_its_names(adata):
    assert gene_mask(adata, adata.var["is_tf"].iloc[::-1]).tolist() == [False, True, True, True, True]


def test_a_choice_that_cannot_be_meant(adata):
    with pytest.raises(ValueError, match="one flag per gene \\(5\\), found 2"):
        gene_mask(adata, [True, False])
    with pytest.raises(ValueError, match="mask_var selects no gene"):
        gene_mask(adata, [False] * 5)
    adata.var["class"] = ["TF", "TF", "", "x", "y"]
    with pytest.raises(TypeError, match="adata.var\\['class'\\] must hold flags"):
        gene_mask(adata, "class")


def test_genes_that_are_absent_are_not_answered_with_others_that_share_letters() -> None:
    genes = ["Atp5a1", "Mat2a", "Hbb", "Runx1t1", "Actb", "Gapdh"]
    assert near_names("Gata1", genes) == []
    assert near_names("HBZ", genes) == ["Hbb"] and near_names("Runx1", genes) == ["Runx1t1"]
    assert near_names("ctb", genes) == ["Actb"]  # a first letter that is missing
