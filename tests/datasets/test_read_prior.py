"""Every layout of prior networks, made small here; the real files are read in the `reference` tests."""

import gzip

import numpy as np
import pandas as pd
import pytest

from scdash.datasets import read_prior


def rows(prior):
    return sorted(map(tuple, prior.itertuples(index=False)))


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


TRRUST = "AATF\tBAX\tRepression\t22909821\nAATF\tCDKN1A\tUnknown\t17157788\nMYC\tODC1\tActivation\t1;2\nMYC\tODC1\tUnknown\t3\n"
SIGNED = [("AATF", "BAX", -1.0), ("AATF", "CDKN1A", 1.0), ("MYC", "ODC1", 1.0)]


@pytest.mark.parametrize("name", ["t.tsv", "t.txt", "t.tsv.gz"])
def test_trrust_as_released_without_header(tmp_path, name):
    assert rows(read_prior(write(tmp_path / name, TRRUST))) == SIGNED


def test_trrust_with_header_and_contradictions(tmp_path):
    text = "tf,target,mode,pmid\nA,B,Activation,1\nA,B,Repression,2\nA,C,Repression,3\nA,C,Unknown,4\n"
    # contradicting signs are unknown, a known sign beats an unknown one
    assert rows(read_prior(write(tmp_path / "t.csv", text))) == [("A", "B", 1.0), ("A", "C", -1.0)]


def test_collectri_of_decoupler_and_of_omnipath(tmp_path):
    decoupler = "source,target,weight,resources\nMYC,TERT,1,x\nNFKB,IL6,1,y\nMYC,CDKN1A,-1,z\n"
    wanted = [("MYC", "CDKN1A", -1.0), ("MYC", "TERT", 1.0), ("NFKB", "IL6", 1.0)]
    assert rows(read_prior(write(tmp_path / "c.csv.gz", decoupler))) == wanted
    omnipath = (
        "source\ttarget\tsource_genesymbol\ttarget_genesymbol\tis_stimulation\tis_inhibition\n"
        "P01106\tO14746\tMYC\tTERT\tTrue\tFalse\nP01106\tP38936\tMYC\tCDKN1A\tFalse\tTrue\nP01106\tQ1\tMYC\tX\tTrue\tTrue\n"
    )
    path = write(tmp_path / "o.tsv", omnipath)
    got = rows(read_prior(path, source="source_genesymbol", target="target_genesymbol"))
    assert got == [("MYC", "CDKN1A", -1.0), ("MYC", "TERT", 1.0), ("MYC", "X", 1.0)]


def test_dorothea_by_confidence(tmp_path):
    text = "tf,target,mor,confidence\nAHR,CYP1A1,1,A\nAHR,MYC,-1,C\nAHR,FOS,1,E\n"
    path = write(tmp_path / "d.csv", text)
    assert rows(read_prior(path, confidence=["A", "B", "C"])) == [("AHR", "CYP1A1", 1.0), ("AHR", "MYC", -1.0)]
    assert len(read_prior(path)) == 3
    with pytest.raises(ValueError, match="no column 'confidence'"):
        read_prior(write(tmp_path / "e.csv", "tf,target\nA,B\n"), confidence=["A"])


def test_panda_motifs_without_header_and_its_network_of_scores(tmp_path):
    motifs = write(tmp_path / "motif.txt", "AHR\tA1BG\t1\nAHR\tA1CF\t0\nAIRE\tA1BG\t1\n")
    assert rows(read_prior(motifs)) == [("AHR", "A1BG", 1.0), ("AIRE", "A1BG", 1.0)]
    network = write(tmp_path / "panda.txt", "tf gene motif force\nAHR A1BG 1.0 2.5\nAHR A1CF 0.0 -0.7\n")
    assert rows(read_prior(network)) == [("AHR", "A1BG", 1.0)]
    scored = rows(read_prior(network, weight="force", threshold=1.0))
    assert scored == [("AHR", "A1BG", 2.5)]


def test_matrices_with_names_either_way_round(tmp_path):
    table = pd.DataFrame([[1, 0, -1], [0, 1, 0]], index=["T1", "T2"], columns=["g1", "g2", "g3"])
    wanted = [("T1", "g1", 1.0), ("T1", "g3", -1.0), ("T2", "g2", 1.0)]
    for name, separator in (("m.csv", ","), ("m.tsv.gz", "\t")):
        table.to_csv(tmp_path / name, sep=separator)
        assert rows(read_prior(tmp_path / name)) == wanted
    table.T.to_csv(tmp_path / "turned.csv")
    assert rows(read_prior(tmp_path / "turned.csv", rows="target")) == wanted
    assert rows(read_prior(table)) == wanted


def test_matrices_without_names(tmp_path):
    path = write(tmp_path / "m.csv", "0,1,0\n0,0,-1\n0,0,0\n")
    assert rows(read_prior(path, genes=["a", "b", "c"])) == [("a", "b", 1.0), ("b", "c", -1.0)]
    assert rows(read_prior(path, genes=["a", "b", "c"], regulators=["x", "y", "z"])) == [
        ("x", "b", 1.0),
        ("y", "c", -1.0),
    ]
    with pytest.raises(ValueError, match="numbers without names; pass genes="):
        read_prior(path)
    with pytest.raises(ValueError, match=r"\(3, 3\) for 2 x 2 names"):
        read_prior(path, genes=["a", "b"])


def test_continuous_matrices_are_cut_by_the_threshold(tmp_path):
    table = pd.DataFrame(np.array([[0.9, 0.2], [0.05, 0.6]]), index=["T1", "T2"], columns=["g1", "g2"])
    table.to_csv(tmp_path / "otter.csv")
    assert rows(read_prior(tmp_path / "otter.csv", threshold=0.5)) == [("T1", "g1", 0.9), ("T2", "g2", 0.6)]


def test_celloracle_peaks_are_joined_by_gene(tmp_path):
    base = pd.DataFrame(
        {
            "peak_id": ["chr1_1_2", "chr1_5_6", "chr2_1_2"],
            "gene_short_name": ["Gata1", "Gata1", "Myc"],
            "Spi1": [1.0, 0.0, 0.0],
            "Klf1": [1.0, 1.0, 1.0],
        }
    )
    wanted = [("Klf1", "Gata1", 1.0), ("Klf1", "Myc", 1.0), ("Spi1", "Gata1", 1.0)]
    base.to_csv(tmp_path / "base.csv", index=False)
    base.to_csv(tmp_path / "indexed.csv")
    assert rows(read_prior(tmp_path / "base.csv")) == wanted
    assert rows(read_prior(tmp_path / "indexed.csv")) == wanted
    assert rows(read_prior(base)) == wanted


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    base = pd.DataFrame({"peak_id": ["p"], "gene_short_name": ["Gata1"], "Spi1": [1.0]})
    base.to_parquet(tmp_path / "base.parquet")
    assert rows(read_prior(tmp_path / "base.parquet")) == [("Spi1", "Gata1", 1.0)]


def test_any_named_columns(tmp_path):
    path = write(tmp_path / "x.csv", "enhancer;factor;gene_id;evidence\ne1;A;B;0.5\ne2;A;B;0.9\ne3;A;C;0.1\n")
    assert rows(read_prior(path, source="factor", target="gene_id", weight="evidence")) == [
        ("A", "B", 0.9),
        ("A", "C", 0.1),
    ]
    assert rows(read_prior(path, source="factor", target="gene_id")) == [("A", "B", 1.0), ("A", "C", 1.0)]
    with pytest.raises(ValueError, match="no column 'factr'.*Did you mean 'factor'"):
        read_prior(path, source="factr", target="gene_id")
    with pytest.raises(ValueError, match="weight='evidenc'.*Did you mean 'evidence'"):
        read_prior(path, source="factor", target="gene_id", weight="evidenc")
    with pytest.raises(ValueError, match="layout not recognised.*source="):
        read_prior(path)


def test_genes_named_like_missing_values_are_genes(tmp_path):
    path = write(tmp_path / "n.csv", "source,target,weight\nNA,NAN,1\nA,,1\n,B,1\nA,nan,-1\n")
    assert rows(read_prior(path)) == [("A", "nan", -1.0), ("NA", "NAN", 1.0)]


def test_bad_files_and_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_prior(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="empty"):
        read_prior(write(tmp_path / "empty.csv", ""))
    with pytest.raises(ValueError, match="holds no edge"):
        read_prior(write(tmp_path / "zero.csv", "source,target,weight\nA,B,0\n"))
    with pytest.raises(ValueError, match="'mode' holds 'binds'"):
        read_prior(write(tmp_path / "words.csv", "tf,target,mode\nA,B,binds\n"))
    with pytest.raises(ValueError, match="layout 'wide'"):
        read_prior(tmp_path / "zero.csv", layout="wide")
    with pytest.raises(ValueError, match="rows 'tf'"):
        read_prior(tmp_path / "zero.csv", rows="tf")


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "edges", "regulators", "targets"),
    [
        ("trrust_v2_human", 8427, 795, 2492),
        ("trrust_v2_mouse", 6490, 827, 2092),
        ("collectri_human", 43178, 1186, 6692),
        ("dorothea_human_ABC", 13223, 271, 5321),
        ("dorothea_mouse_ABC", 12895, 273, 5130),
    ],
)
def test_real_files(reference, name, edges, regulators, targets):
    prior = read_prior(reference / "priors" / f"{name}.csv.gz")
    assert (len(prior), prior["source"].nunique(), prior["target"].nunique()) == (edges, regulators, targets)
    assert set(prior["weight"]) == {-1.0, 1.0}


@pytest.mark.reference
def test_real_matrices(reference):
    base = read_prior(reference / "hematopoiesis" / "base_grn_529.csv.gz")
    assert (base["source"].nunique(), base["target"].nunique()) == (113, 365)
    genes = pd.read_csv(reference / "hema_bcell" / "gene_names.csv", keep_default_na=False)["gene"]
    motifs = read_prior(reference / "hema_bcell" / "edge_prior_matrix.csv.gz", genes=genes)
    assert (len(motifs), motifs["source"].nunique(), motifs["target"].nunique()) == (31030, 111, 450)
