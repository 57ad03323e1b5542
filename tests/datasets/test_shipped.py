"""What ships with the package is what its documentation says, needs no network, and its notices are there."""

import socket
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import scdash


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("network used")

    monkeypatch.setattr(socket, "create_connection", refuse)


def test_the_myoblasts():
    adata, everything = scdash.datasets.hsmm(), scdash.datasets.hsmm(all_cells=True)
    assert adata.shape == (228, 822) and everything.shape == (271, 822)
    assert not adata.is_view
    assert set(adata.obs["state"].cat.categories) == {"1", "2"}
    assert sp.issparse(adata.X) and adata.X.dtype == np.float32
    assert 0 <= adata.X.min() and adata.X.max() < 15  # log(1 + FPKM)
    assert adata.var["is_tf"].sum() == 134 and {"ensembl", "use_for_ordering"} <= set(adata.var)
    medians = adata.obs.groupby(adata.obs["hours"].astype(float))["pseudotime"].median()
    np.testing.assert_allclose(medians, [21.0, 57.2, 55.1, 51.8], atol=0.05)  # as its README found


def test_myogenesis_rises_and_proliferation_falls_along_pseudotime():
    adata = scdash.datasets.hsmm()
    bins = scdash.pp.trajectories(adata, time_key="pseudotime", n_bins=10)
    first, last = bins.X[0], bins.X[-1]
    change = dict(zip(bins.var_names, last - first, strict=True))
    for gene in ("MYOG", "MYH3", "TNNT2", "ACTA1"):
        assert change[gene] > 0.5  # log units: the floor below which a gene's range counts as flat
    for gene in ("CDK1", "MKI67", "CCNB1", "ID1"):
        assert change[gene] < -0.5


def test_gene_sets_hold_only_shipped_genes():
    genes = set(scdash.datasets.hsmm().var_names)
    sets = {name: scdash.datasets.gene_sets(name) for name in ("go_bp", "go_mf")}
    assert {name: len(found) for name, found in sets.items()} == {"go_bp": 1390, "go_mf": 170}
    for found in sets.values():
        for term, members in found.items():
            assert "(GO:" in term and len(members) >= 5 and len(set(members)) == len(members)
            assert genes.issuperset(members)
    assert "MYH3" in sets["go_bp"]["muscle contraction (GO:0006936)"]
    with pytest.raises(ValueError, match="'go_cc'.*go_bp"):
        scdash.datasets.gene_sets("go_cc")


def test_the_prior_is_signed_cited_and_usable():
    adata, prior = scdash.datasets.hsmm(), scdash.datasets.myogenic_prior()
    assert 60 <= len(prior) <= 150
    assert list(prior)[:3] == ["source", "target", "weight"] and set(prior["weight"]) == {-1.0, 1.0}
    assert not prior.duplicated(["source", "target"]).any() and (prior["source"] != prior["target"]).all()
    assert prior["reference"].str.fullmatch(r"[A-Z].+ (?:19|20)\d\d [A-Z][A-Za-z ]+(?: \(.+ site\))?").all()
    assert set(prior["source"]) | set(prior["target"]) <= set(adata.var_names)
    scdash.pp.align_prior(adata, prior)
    assert adata.varp["prior"].nnz == len(prior)
    signs = prior.set_index(["source", "target"])["weight"]
    assert signs["MYOD1", "MYOG"] == 1 and signs["E2F4", "CDK1"] == -1 and signs["FOXM1", "CCNB1"] == 1


@pytest.mark.reference
def test_the_prior_agrees_with_collections_of_others(reference):
    """Not a proof of an edge, but most well-known ones are known to curated collections too."""
    prior = scdash.datasets.myogenic_prior()
    pairs = set(zip(prior["source"], prior["target"], strict=True))
    known = set()
    for name in ("trrust_v2_human", "collectri_human"):
        found = scdash.datasets.read_prior(reference / "priors" / f"{name}.csv.gz")
        known |= set(zip(found["source"], found["target"], strict=True))
    assert len(pairs & known) == 88


def test_shipped_files_are_named_in_the_notice_and_small():
    folder = files("scdash.datasets") / "data"
    notice = (Path(__file__).parents[2] / "NOTICE").read_text()
    for path in folder.iterdir():
        assert len(path.read_bytes()) < 600_000
        assert path.name in notice or path.name in ("README.md", "myogenic_prior.csv")
    assert "Artistic License 2.0" in notice and "Cole" in notice and "Creative Commons Attribution 4.0" in notice
    assert sum(len((folder / f"go_{k}.gmt.gz").read_bytes()) for k in ("bp", "mf")) < 50_000
