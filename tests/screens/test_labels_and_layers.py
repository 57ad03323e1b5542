"""Labels of a screen that are missing, and the layer of its fit in whatever comes later."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash
from scdash._data.genes import genes_within
from scdash._data.screen import parse_screen
from scdash.screens.inputs import ScreenRequest, read_screen


@pytest.fixture(scope="module")
def screen():
    adata = scdash.simulate.sergio(
        genes=10, n_edges=14, perturbations=[f"G{i:03d}" for i in range(8)], cells_per_perturbation=25, rng=2
    )
    adata.layers["counts"] = adata.X.copy()
    sc.pp.log1p(adata)
    return adata


@pytest.mark.parametrize("missing", ["", " ", np.nan, None, "nan", "+", " + "])
def test_cells_without_a_perturbation_are_in_no_perturbation(screen, missing, caplog):
    adata = screen.copy()
    labels = adata.obs["perturbation"].astype(str).to_numpy().astype(object)
    rows = np.flatnonzero((labels != "control") & (np.arange(len(labels)) % 7 == 1))
    labels[rows] = missing
    adata.obs["perturbation"] = pd.Categorical(pd.Series(labels))
    with caplog.at_level("INFO", logger="scdash"):
        found = read_screen(adata, ScreenRequest()).screen
    assert found.counts[0] == (labels == "control").sum() and (found.cells[rows] == -1).all()
    assert f"{len(rows)} of {len(labels)} observations have no label (perturbation)" in caplog.text


def test_a_control_that_is_called_none_is_the_control():
    found = parse_screen(["None", "A", "None", ""], pd.Index(["A"]), control="None")
    assert found.names == ("None", "A") and found.cells.tolist() == [0, 1, 0, -1]


def test_all_absent_targets_are_named():
    with pytest.raises(
        ValueError, match="2 perturbation target\\(s\\).*G01, XYZ.*'G001' for 'G01'|Did you mean 'G001'"
    ):
        parse_screen(["control", "G01", "XYZ"], pd.Index(["G001", "G002"]))


@pytest.mark.parametrize("between", ["_", ";", "|", " & ", "-"])
def test_labels_that_join_genes_otherwise_are_answered_with_their_separator(between):
    labels = ["control", f"STAT1{between}JAK2", f"JAK2{between}MYC", "STAT1"]
    with pytest.raises(ValueError) as error:
        parse_screen(labels, pd.Index(["JAK2", "MYC", "STAT1"]))
    message = "2 of them hold several genes with {0!r} between ('JAK2{0}MYC'): PerturbODE(separator={0!r})."
    assert message.format(between) in str(error.value) and "Did you mean" not in str(error.value)
    found = parse_screen(labels, pd.Index(["JAK2", "MYC", "STAT1"]), separator=between)
    assert found.targets.sum(axis=1).tolist() == [0, 2, 1, 2]


@pytest.mark.parametrize("form", ["{}_KO", "sg{}", "{}g1", "{} (KO)", "sg-{}-1"])
def test_labels_that_hold_a_gene_and_more_are_answered_with_the_gene(form):
    labels = ["control", form.format("STAT1"), form.format("IFNGR1"), form.format("STAT12")]
    with pytest.raises(ValueError) as error:
        parse_screen(labels, pd.Index(["IFNG", "STAT1", "JAK2"]))  # IFNG is another gene than IFNGR1
    name = form.format("STAT1")
    assert f"1 of them hold the name of a gene and more ('STAT1' in {name!r})" in str(error.value)
    assert "scdash.pp.assign_guides(adata, guide_key=...)" in str(error.value)


def test_a_gene_within_the_name_of_another_is_not_a_second_one():
    assert genes_within("HLA-DRA_KO", {"HLA-DRA", "HLA", "DRA"}) == [(0, 7)]


@pytest.fixture(scope="module")
def fits(screen):
    plain = screen.copy()
    layered = screen.copy()
    layered.layers["lognorm"] = layered.X.copy()
    layered.X = layered.layers["counts"].copy()
    scdash.tl.fit_perturbode(plain)
    scdash.tl.fit_perturbode(layered, layer="lognorm")
    return plain, layered


FUNCTIONS = {
    "predict_perturbations": lambda a: scdash.tl.predict_perturbations(a, ["G001+G002"], n_cells=5, rng=0).X,
    "stability": lambda a: scdash.tl.stability(a, n_repeats=2)["mean_score"].to_numpy(),
    "screen_baseline": lambda a: scdash.tl.screen_baseline(a, "ridge", copy=True).varp["ridge_grn"].toarray(),
    "predict": lambda a: scdash.tl.predict(a, a.obs_names[:2], times=[1]).X,
    "perturbation_shift": lambda a: scdash.tl.perturbation_shift(a, "G001", duration=1.0, copy=True).layers[
        "dynamics_shift"
    ],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_layer_of_the_fit_is_read(fits, name):
    plain, layered = (FUNCTIONS[name](adata.copy()) for adata in fits)
    np.testing.assert_allclose(layered, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_that_layer_an_error_says_so(fits, name):
    adata = fits[1].copy()
    del adata.layers["lognorm"]
    with pytest.raises(KeyError, match="made on layers\\['lognorm'\\]"):
        FUNCTIONS[name](adata)


def test_scaled_screens_are_refused(screen):
    adata = screen.copy()
    sc.pp.scale(adata)
    with pytest.raises(ValueError, match="looks scaled"):
        scdash.tl.fit_perturbode(adata)
    with pytest.raises(ValueError, match="looks scaled"):
        scdash.tl.fit_dynamics(adata, model="perturbode", perturbation_key="perturbation")
    scdash.tl.fit_perturbode(adata, allow_scaled=True)
    scdash.tl.stability(adata, n_repeats=2)
