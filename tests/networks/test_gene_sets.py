import gzip

import numpy as np
import pytest

from scdash.networks.pathways.gene_sets import membership, read_gmt

TEXT = "A\turl\tG1\tG2\tG2\n\n# comment\nB\t\tG3,1.0\t G4 \t\r\nempty\tx\n"


def test_reads_plain_and_gzip_alike_whatever_the_suffix(tmp_path):
    plain, packed = tmp_path / "sets.gmt", tmp_path / "sets.gmt.gz"
    plain.write_text(TEXT)
    packed.write_bytes(gzip.compress(TEXT.encode()))
    disguised = tmp_path / "disguised.gmt"
    disguised.write_bytes(gzip.compress(TEXT.encode()))
    assert read_gmt(plain) == read_gmt(packed) == read_gmt(disguised) == {"A": ("G1", "G2"), "B": ("G3", "G4")}


def test_sets_of_one_name_are_kept_apart_unless_equal(tmp_path):
    path = tmp_path / "twice.gmt"
    path.write_text("A\tR-1\tG1\nA\tR-2\tG2\nA\tR-3\tG3\nA\tR-4\tG1\n")
    assert read_gmt(path) == {"A": ("G1",), "A [R-2]": ("G2",), "A [R-3]": ("G3",)}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"A\turl\n", b"\x00\xff\xfe\x80", b"\x1f\x8bbroken"])
def test_files_that_are_no_gene_sets_raise(tmp_path, content):
    path = tmp_path / "bad.gmt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.gmt"):
        read_gmt(path)


def test_a_table_without_tabs_names_the_line(tmp_path):
    path = tmp_path / "bad.gmt"
    path.write_text("A\tx\tG1\nsource,target\n")
    with pytest.raises(ValueError, match="line 2.*tabs"):
        read_gmt(path)


def test_library_names_are_not_fetched():
    with pytest.raises(FileNotFoundError, match="not fetched from the network"):
        read_gmt("KEGG_2021_Human")


def test_membership_keeps_sizes_and_reports_what_is_not_tested():
    sets = {"small": ["a"], "right": ["a", "b", "zzz"], "large": list("abcde")}
    found = membership(sets, list("abcdefgh"), min_size=2, max_size=4)
    assert found.names.tolist() == ["right"]
    assert found.sizes.tolist() == [2]
    assert found.full_sizes.tolist() == [3]
    assert found.excluded == {"too small": 1, "too large": 1}
    assert found.genes.tolist() == list("abcde")  # f, g, h occur in no set
    assert found.genes[found.members(0)].tolist() == ["a", "b"]
    everything = membership(sets, list("abcdefgh"), min_size=2, max_size=4, annotated_only=False)
    assert everything.genes.tolist() == list("abcdefgh")
    np.testing.assert_array_equal(everything.matrix.toarray(), [[1, 1, 0, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("genes", "hint"),
    [(["Myod1", "Myog"], "upper and lower case"), (["ENSG00000129152"], "Ensembl"), (["x"], "species")],
)
def test_no_overlap_says_what_the_cause_looks_like(genes, hint):
    with pytest.raises(ValueError, match=hint):
        membership({"muscle": ["MYOD1", "MYOG"]}, genes, min_size=1)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="min_size"):
        membership({"a": ["x"]}, ["x"], min_size=5, max_size=2)
    with pytest.raises(ValueError, match="unique"):
        membership({"a": ["x"]}, ["x", "x"], min_size=1)
    with pytest.raises(TypeError, match="list of genes"):
        membership({"a": "x"}, ["x"], min_size=1)
    with pytest.raises(ValueError, match="too small"):
        membership({"a": ["x"]}, ["x", "y"], min_size=2)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "sets", "genes"),
    [("go_bp_human_2022-07_10to500", 6164, 16041), ("go_mf_human_2022-07_10to500", 1204, 13876),
     ("hallmark_human_msigdb_v7.0", 50, 4384), ("reactome_human_native_2021", 2504, 11387)],
)  # fmt: skip
def test_reference_files_have_the_documented_numbers(reference, name, sets, genes):
    found = read_gmt(reference / "genesets" / f"{name}.gmt.gz")
    assert len(found) == sets
    assert len(set().union(*found.values())) == genes
