"""`pp.assign_guides`: names, counts, replicates and escaping cells."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash.pp._escapers import _projections, mixture_probability
from scdash.pp._guide_calls import mixture_threshold
from scdash.pp._guide_names import genes_of_guides

LIBRARIES = {
    "g": (["STAT1g1", "STAT1g2", "IFNGR1g3", "NKX2-1g1"], ["STAT1", "STAT1", "IFNGR1", "NKX2-1"]),
    "_": (["STAT1_1", "STAT1_2", "NKX2-1_2", "HLA-A_1"], ["STAT1", "STAT1", "NKX2-1", "HLA-A"]),
    "-": (["STAT1-1", "STAT1-2", "IRF1-10"], ["STAT1", "STAT1", "IRF1"]),
    "sg": (["sgSTAT1_2", "sgIRF1_1", "sgRNA_JAK2_1"], ["STAT1", "IRF1", "JAK2"]),
    "_sg": (["STAT1_sg2", "IRF1_sg1", "Reg1_sg1"], ["STAT1", "IRF1", "Reg1"]),
    "guide": (["STAT1-guide-1", "IRF1-guide-2"], ["STAT1", "IRF1"]),
    "p_sg": (["p_sgCREB1_2", "p_sgELF1_1", "m_Egr2_4"], ["CREB1", "ELF1", "Egr2"]),
    "position": (["ABCB7_+_74376132.23-P1P2", "AARS_-_70323362.23-P1P2"], ["ABCB7", "AARS"]),
    "sequence": (["STAT1_ACGTACGTACGTACGTACGT", "IRF1_2_ACGTACGTACGTACGTACGA"], ["STAT1", "IRF1"]),
    "bare": (["STAT1", "IRF1", "HLA-A"], ["STAT1", "IRF1", "HLA-A"]),
}


@pytest.mark.parametrize("form", LIBRARIES)
def test_common_forms_of_names_are_read(form):
    names, genes = LIBRARIES[form]
    assert list(genes_of_guides(names, set()).values()) == genes


def test_a_gene_of_the_data_is_itself_whatever_its_name_looks_like():
    names = ["NKX2-1", "HLA-DRB1-2", "STAT1-2", "Reg1", "sgg"]
    found = genes_of_guides(names, {"NKX2-1", "HLA-DRB1", "Reg1", "sgg"})
    assert list(found.values()) == ["NKX2-1", "HLA-DRB1", "STAT1", "Reg1", "sgg"]


@pytest.mark.parametrize(
    "name",
    ["NTg3", "NT", "NTC_1", "NT-12", "sgNTC_3", "non-targeting_1", "non-targeting_00001", "Non_Targeting", "nontargeting",
     "negCtrl0", "NegCtrl10", "neg_control_2", "negative control", "control_5", "ctrl", "CTRL_1", "scrambled", "scramble-2",
     "safe-targeting-2", "safe_harbor_1", "safeharbour", "ONE-NON-GENE-SITE-3", "no-target", "INTERGENIC_7"],
)  # fmt: skip
def test_control_guides_are_known_by_name(name):
    assert genes_of_guides([name, "STAT1g1"], {"STAT1"}) == {name: None, "STAT1g1": "STAT1"}


@pytest.mark.parametrize(
    "gene", ["NTRK1", "NT5E", "NT5C2", "NTN1", "NEGR1", "SCRIB", "NTS", "SCRN1", "CTRC", "SAFB", "NTM"]
)
def test_genes_that_begin_like_controls_are_genes(gene):
    assert genes_of_guides([f"{gene}_1", f"{gene}_2"], set()) == {f"{gene}_1": gene, f"{gene}_2": gene}


def test_patterns_and_tables_of_targets():
    assert genes_of_guides(["x.A", "x.B"], set(), pattern=r"x\.(.+)") == {"x.A": "A", "x.B": "B"}
    assert genes_of_guides(["1A", "2B"], set(), pattern=r"(\d)(?P<gene>.)") == {"1A": "A", "2B": "B"}
    found = genes_of_guides(["q1", "q2", "C_1"], set(), targets={"q1": "A", "q2": "non-targeting"})
    assert found == {"q1": "A", "q2": None, "C_1": "C"}
    with pytest.raises(ValueError, match="finds no gene in 1 of 2 guide names, such as 'B1'"):
        genes_of_guides(["A_1", "B1"], set(), pattern="^(.+)_1$")
    with pytest.raises(ValueError, match="has no group"):
        genes_of_guides(["A_1"], set(), pattern="^.+_1$")
    with pytest.raises(ValueError, match=r"pattern='\(' is no regular expression"):
        genes_of_guides(["A_1"], set(), pattern="(")


def test_the_mixture_finds_the_gap_between_background_and_signal():
    rng = np.random.default_rng(0)
    background, signal = 1 + rng.poisson(0.3, 3000), np.rint(2 ** rng.normal(6, 1, 400))
    least = mixture_threshold(np.concatenate([background, signal]))
    assert 4 <= least <= 20
    assert mixture_threshold(np.full(50, 7)) == 0 and mixture_threshold(np.array([1, 2, 90])) == 0
    clean = np.rint(2 ** rng.normal(7, 0.7, 500))  # without any background
    assert (clean >= mixture_threshold(clean)).mean() > 0.97


@pytest.fixture
def counted():
    """300 cells with one true guide each of six, ambient counts of all, and their expression."""
    rng = np.random.default_rng(1)
    names = ["Ag1", "Ag2", "Bg1", "Bg2", "NTg1", "NTg2"]
    truth = rng.integers(6, size=300)
    counts = rng.poisson(0.3, (300, 6))
    counts[np.arange(300), truth] += rng.poisson(40, 300)
    obs = pd.DataFrame(index=[f"c{i}" for i in range(300)])
    adata = ad.AnnData(rng.normal(1, 0.2, (300, 4)).astype(np.float32), obs=obs, var=pd.DataFrame(index=list("ABCD")))
    return adata, counts, names, truth


@pytest.mark.parametrize("form", ["frame", "anndata", "obsm frame", "obsm matrix", "calls", "shuffled"])
def test_every_form_of_guide_counts_gives_the_same_labels(counted, form):
    adata, counts, names, truth = counted
    frame = pd.DataFrame(counts, index=adata.obs_names, columns=names)
    adata.obsm["frame"], adata.obsm["matrix"], adata.uns["names"] = frame, sp.csr_matrix(counts), names
    given = {
        "frame": {"guides": frame},
        "anndata": {"guides": ad.AnnData(sp.csr_matrix(frame.to_numpy(float)), frame[[]], pd.DataFrame(index=names))},
        "obsm frame": {"guides": "frame"},
        "obsm matrix": {"guides": "matrix", "guide_names": "names"},
        "calls": {"guides": (frame > 10).astype(int)},
        "shuffled": {"guides": frame.iloc[::-1]},
    }[form]
    scdash.pp.assign_guides(adata, **given)
    expected = np.array(["A", "A", "B", "B", "control", "control"])[truth]
    assert (adata.obs["perturbation"].astype(str) == expected).all()
    assert (adata.obs["perturbation_guide"].astype(str) == np.array(names)[truth]).all()
    assert (adata.obs["perturbation_n_guides"] == 1).all()
    table = adata.uns["perturbation_guides"].set_index("guide")
    assert (table["cells"] == np.bincount(truth)).all() and (table["used"] == table["cells"]).all()


def test_several_guides_in_a_cell(counted):
    adata, counts, names, truth = counted
    pure = pd.DataFrame(np.eye(6, dtype=int)[truth] * 50, index=adata.obs_names, columns=names)
    cells = {
        "two genes": ("Ag1", "Bg1"),
        "one gene": ("Ag1", "Ag2"),
        "a control": ("Bg2", "NTg1"),
        "controls": ("NTg1", "NTg2"),
    }
    for row, own in enumerate(cells.values()):
        pure.iloc[row] = 0
        pure.loc[pure.index[row], list(own)] = [50, 10]
    label = lambda **given: list(
        scdash.pp.assign_guides(adata, pure, copy=True, **given).obs["perturbation"][:4].astype(object)
    )
    assert label(threshold=5)[1:] == ["A", "B", "control"] and pd.isna(label(threshold=5)[0])
    assert label(threshold=5, multiple="combine") == ["A+B", "A", "B", "control"]
    assert label(threshold=5, dominance=0.8) == ["A", "A", "B", "control"]  # 50 of 60 counts
    assert pd.isna(label(threshold=5, dominance=0.9)).all()
    assert label(threshold=20) == ["A", "A", "B", "control"]


def test_cells_that_a_table_lacks_have_no_guide(counted, caplog):
    adata, counts, names, _ = counted
    frame = pd.DataFrame(counts, index=adata.obs_names, columns=names)
    with caplog.at_level(logging.INFO, logger="scdash"):
        found = scdash.pp.assign_guides(adata, frame.iloc[10:], copy=True)
    assert found.obs["perturbation"][:10].isna().all() and "10 of 300 cells are not in guides" in caplog.text
    with pytest.raises(ValueError, match="names none of the 300 cells"):
        scdash.pp.assign_guides(adata, frame.set_axis(np.arange(300).astype(str)))


def test_labels_of_guides_make_replicates():
    pytest.importorskip("torch")  # .ci/new-generation has none
    adata = scdash.simulate.sergio(
        genes=10, n_edges=14, n_perturbations=8, n_targets=1, cells_per_perturbation=25, rng=2
    )
    adata.X = np.log1p(adata.X)
    labels = adata.obs["perturbation"].astype(str)
    number = np.arange(adata.n_obs) % 3 + 1
    adata.obs["protospacer"] = [f"{'NT' if x == 'control' else x}g{n}" for x, n in zip(labels, number, strict=True)]
    scdash.pp.assign_guides(adata, guide_key="protospacer", key_added="found")
    assert (adata.obs["found"].astype(str) == labels).all()
    model = scdash.models.PerturbODE(guide_key="found_guide")
    scdash.tl.fit_perturbode(adata, model=model, perturbation_key="found")
    assert adata.uns["dynamics"]["params"]["guide_key"] == "found_guide"
    adata.obs["protospacer"] = [f"{'NT' if x == 'control' else x}g1|NTg2" for x in labels]
    again = scdash.pp.assign_guides(adata, guide_key="protospacer", key_added="found", copy=True)
    assert (again.obs["found"].astype(str) == labels).all() and (again.obs["found_n_guides"] <= 2).all()


def escapees(seed=0):
    """Cells of which 30 % of those with a guide of A escaped, while a guide of B does nothing."""
    rng = np.random.default_rng(seed)
    guide = np.repeat(["NTg1", "Ag1", "Bg1"], [400, 300, 200])
    x = rng.normal(2, 0.4, (900, 30))
    escaped = (guide == "Ag1") & (rng.random(900) < 0.3)
    x[np.ix_((guide == "Ag1") & ~escaped, np.arange(12))] -= 0.9
    obs = pd.DataFrame({"guide": guide}, index=[f"c{i}" for i in range(900)])
    genes = pd.DataFrame(index=["A", "B", *(f"g{i}" for i in range(28))])
    return ad.AnnData(np.maximum(x, 0).astype(np.float32), obs=obs, var=genes), escaped


def test_escaping_cells_are_found_and_no_others():
    adata, escaped = escapees()
    flagged = scdash.pp.assign_guides(adata, guide_key="guide", escapers="flag", copy=True)
    found = flagged.obs["perturbation_escaping"].to_numpy()
    assert (found == escaped).mean() > 0.97 and not found[flagged.obs["perturbation"] != "A"].any()
    assert flagged.obs["perturbation_probability"].isna().sum() == 400
    dropped = scdash.pp.assign_guides(adata, guide_key="guide", escapers="drop", copy=True)
    assert (dropped.obs["perturbation"].isna() == found).all() and (
        dropped.obs["perturbation_guide"].isna() == found
    ).all()
    kept = scdash.pp.assign_guides(adata, guide_key="guide", copy=True)
    assert "perturbation_escaping" not in kept.obs and kept.obs["perturbation"].notna().all()


def test_batches_do_not_pass_for_effects():
    adata, _ = escapees()
    rng = np.random.default_rng(3)
    adata.obs["batch"] = pd.Categorical(rng.integers(3, size=900).astype(str))
    adata.X = np.asarray(adata.X) + 5
    flags = lambda data: scdash.pp.assign_guides(
        data, guide_key="guide", escapers="flag", batch_key="batch", copy=True
    ).obs["perturbation_escaping"]
    expected = flags(adata)
    adata.X = adata.X + rng.normal(0, 2, (3, 30))[adata.obs["batch"].cat.codes].astype(np.float32)
    assert (flags(adata) == expected).mean() > 0.998 and expected.any()


def test_a_cell_does_not_point_to_itself():
    """Without an effect the mean of the perturbed cells is noise, and no cell lies in its direction but by its own noise."""
    rng = np.random.default_rng(0)
    x, control = rng.normal(size=(20, 200)), rng.normal(size=(2000, 200))
    scores, reference = _projections(x, control, np.ones(20, bool))
    assert abs(scores.mean()) < 0.3 and abs(reference.mean()) < 1e-9
    outside, _ = _projections(x, control, np.arange(20) < 10)  # cells taken for unperturbed point to others only
    assert abs(outside[10:].mean()) < 0.3


def test_the_component_of_the_control_stays_fixed():
    rng = np.random.default_rng(0)
    control, scores = rng.normal(3, 1, 500), np.concatenate([rng.normal(3, 1, 120), rng.normal(8, 1, 280)])
    found = mixture_probability(scores, control)
    assert found.mean() == pytest.approx(0.7, abs=0.03)
    assert found[:120].mean() < 0.05 and found[120:].mean() > 0.95


NO_CONTROL = pd.DataFrame(np.eye(3, dtype=int) * 9, index=["a", "b", "c"], columns=["Ag1", "Bg1", "Cg1"])
REFUSED = {
    "nothing": ({}, ValueError, "found neither"),
    "both": ({"guides": NO_CONTROL, "guide_key": "guide"}, ValueError, "found both"),
    "a key": ({"guides": "guide_count"}, KeyError, "Did you mean 'guide_counts'"),
    "a column": ({"guide_key": "guides"}, KeyError, "Did you mean 'guide'"),
    "names": ({"guides": "guide_counts"}, ValueError, "3 columns and no names of guides"),
    "number of names": ({"guides": "guide_counts", "guide_names": ["a"]}, ValueError, "3 columns and 1 names"),
    "names twice": ({"guides": "guide_counts", "guide_names": ["a", "a", "b"]}, ValueError, "more than once"),
    "negative": ({"guides": -NO_CONTROL}, ValueError, "must hold counts of guides"),
    "texts": ({"guides": NO_CONTROL.astype(str)}, TypeError, "must hold counts"),
    "fractions": ({"guides": NO_CONTROL + 0.5}, ValueError, "not counts"),
    "no control": ({"guides": NO_CONTROL}, ValueError, "finds no control among the 3 guides, such as 'Ag1'"),
    "no guide": ({"guides": NO_CONTROL, "threshold": 10.0}, ValueError, "No cell has a guide"),
    "threshold": ({"guide_key": "guide", "threshold": "otsu"}, ValueError, "threshold must be 'mixture'"),
    "dominance": ({"guide_key": "guide", "dominance": 80}, ValueError, "dominance must lie"),
    "multiple": ({"guide_key": "guide", "multiple": "join"}, ValueError, "multiple 'join'"),
    "escapers": ({"guide_key": "guide", "escapers": "remove"}, ValueError, "escapers 'remove'"),
    "few controls": ({"guide_key": "guide", "escapers": "flag"}, ValueError, "only 1 control cells"),
    "targets": ({"guide_key": "guide", "targets": "gene"}, KeyError, "not a column of guides.var"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_named_and_nothing_is_written(what):
    given, error, message = REFUSED[what]
    obs = pd.DataFrame({"guide": ["Ag1", "Bg1", "NTg1"]}, index=["a", "b", "c"])
    adata = ad.AnnData(np.full((3, 3), 0.5, np.float32), obs=obs, var=pd.DataFrame(index=list("ABC")))
    adata.obsm["guide_counts"] = np.eye(3) * 9
    with pytest.raises(error, match=message):
        scdash.pp.assign_guides(adata, **given)
    assert list(adata.obs) == ["guide"] and not adata.uns


def test_a_mudata_is_refused_with_its_modalities():
    import mudata

    adata, _ = escapees()
    with pytest.raises(TypeError, match=r"guides is a MuData.*\['rna'\]"):
        scdash.pp.assign_guides(adata, mudata.MuData({"rna": adata}))


def test_counts_are_refused_where_escaping_cells_are_looked_for():
    adata, _ = escapees()
    adata.X = np.rint(adata.X * 10)
    with pytest.raises(ValueError, match="raw counts"):
        scdash.pp.assign_guides(adata, guide_key="guide", escapers="flag")
