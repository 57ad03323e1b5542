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


def test_names_that_stand_in_another_column_are_pointed_out(adata):
    adata.var["symbol"] = [f"Gene-{i}" for i in range(5)]
    with pytest.raises(
        KeyError, match=r"adata.var\['symbol'\] holds 2 of them: pass adata.var_names\[adata.var\['symbol'\]"
    ):
        chosen_genes(adata, ["Gene-1", "Gene-2", "Gene-9"], "regulators")
    with pytest.raises(KeyError) as caught:
        chosen_genes(adata, ["Gene-1", "Other-2", "Other-3"], "regulators")
    assert "adata.var['symbol']" not in str(caught.value)


def test_a_gene_that_was_not_modelled_is_told_from_one_that_is_not_in_the_data():
    with pytest.raises(KeyError, match="chosen for the fit, see mask_var"):
        all_genes("Pdx1", ["Ins2", "Isl1"], "genes")
    with pytest.raises(KeyError) as caught:
        all_genes("Pdx1", ["Ins2", "Isl1"], "genes", where="adata.var_names")
    assert "mask_var" not in str(caught.value)


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


MOUSE = (  # of data of blood and pancreas
    "Gstm1 Gnai2 Sphk1 Ssrp1 Cnbp C1qbp Ctbp1 Tagln2 Tuba1b Ftl1 Gpi1 Nod1 Nudcd1 Nudt13 Ahr Manf Marf1 Mef2a Maob Map1b "
    "Nek1 Smox Gata6 Gtf3a Ints2 Isl1 Sox5 Sox6 Nkx2-2 Hba-a2 Mpo Irf8 Klf1"
).split()
HUMAN = "ACTA1 GNPNAT1 GCNT1 PAN3 PBX3 SUOX SORBS2 SOX4 NCAPG TIMP3 TP53INP1 TPPP3 TMSB4X MEF2D MYOD1 MYOG".split()


@pytest.mark.parametrize(
    ("genes", "name", "near"),
    [
        *((MOUSE, name, []) for name in ("Spi1", "Cebpa", "Fli1", "Neurod1", "Arx", "Mafa", "Mafb", "Runx1")),
        *((HUMAN, name, []) for name in ("GATA1", "PAX3", "NANOG", "TBX5", "RUNX1", "HBB")),
        (MOUSE, "Gata4", ["Gata6"]), (MOUSE, "Sox9", ["Sox6", "Sox5"]), (MOUSE, "Nkx22", ["Nkx2-2"]),
        (MOUSE, "Hba-a1", ["Hba-a2"]), (HUMAN, "SOX2", ["SOX4"]), (HUMAN, "TP53", ["TP53INP1"]),
        (HUMAN, "MYDO1", ["MYOD1"]), (HUMAN, "MYOD", ["MYOD1"]), (HUMAN, "MEF2C", ["MEF2D"]),
    ],
)  # fmt: skip
def test_suggestions_among_real_symbols_are_relatives_or_mistyped(genes, name, near) -> None:
    found = near_names(name, genes)
    assert found == [] if not near else found[: len(near)] == near


def test_a_column_that_contains_the_name_is_suggested() -> None:
    assert near_names("pseudotime", ["dpt_pseudotime", "time"]) == ["dpt_pseudotime"]
    assert near_names("umap", ["X_umap", "X_pca"]) == ["X_umap"]
