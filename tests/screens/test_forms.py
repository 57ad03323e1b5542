"""Screens as users have them: kinds by cell, unmeasured targets, symbols, single profiles, fold changes, contradictions."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._data.screen import parse_screen
from scdash.models import PerturbODE, Transport
from scdash.screens.equilibrium.equations import build_problem
from scdash.screens.fold_statistics import contradicted
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.statistics import assign_folds, perturbation_statistics


def read(adata, model=None, **request):
    return read_screen(adata, ScreenRequest(model=PerturbODE() if model is None else model, **request))


def statistics(inputs, slope=None):
    screen = inputs.screen
    fold = assign_folds(screen, 3, np.random.default_rng(0))
    return perturbation_statistics(inputs.cells, screen, fold, slope=slope)


# kinds by cell


@pytest.fixture
def two_kinds(small):
    adata = small[small.obs["perturbation"].isin(["control", "G001", "G002", "G003"])].copy()
    kinds = np.where(np.arange(adata.n_obs) % 2, "knockout", "knockdown").astype(object)
    kinds[adata.obs["perturbation"] != "G001"] = "knockout"
    kinds[adata.obs["perturbation"] == "control"] = "none at all"  # means nothing there
    adata.obs["type"] = kinds
    return adata


def test_a_knockout_and_a_knockdown_of_a_gene_are_two_perturbations(two_kinds):
    screen = read(two_kinds, PerturbODE(kind_key="type", min_cells=5)).screen
    assert screen.names == ("control", "G001 (knockdown)", "G001 (knockout)", "G002", "G003")
    assert screen.kinds[1:] == ("knockdown", "knockout", "knockout", "knockout")
    assert screen.counts.tolist() == [30, 15, 15, 30, 30] and (screen.targets[1] == screen.targets[2]).all()
    whole = read(two_kinds, PerturbODE(kind_key="type", hold_out="G001"))  # both of them
    assert whole.screen.names == ("control", "G002", "G003")
    whole = read(two_kinds, PerturbODE(kind_key="type", hold_out=["G001 (knockout)"]))
    assert whole.screen.names == ("control", "G001 (knockdown)", "G002", "G003")


def test_kinds_of_cells_are_read_again_from_a_stored_fit(two_kinds, tmp_path):
    scdash.tl.fit_perturbode(two_kinds, model=PerturbODE(kind_key="type"))
    two_kinds.write_h5ad(tmp_path / "fit.h5ad")
    again = ad.read_h5ad(tmp_path / "fit.h5ad")
    request = ScreenRequest.of_fit(again, again.uns["dynamics"])
    assert request.model.kind_key == "type" and request.model.min_cells == 10
    assert read_screen(again, request).screen.kinds[1:] == ("knockdown", "knockout", "knockout", "knockout")
    predicted = scdash.tl.predict_perturbations(again, ["G001", "G002"], kind="knockdown")
    assert list(predicted.obs["status"]) == ["fitted", "not observed"]
    assert list(scdash.tl.predict_perturbations(again, ["G002"]).obs["status"]) == ["fitted"]
    with pytest.raises(
        ValueError, match="nothing for perturbation 'G001'.*kind='knockout'. The fit has 'G001 .knockdown.', 'G0"
    ):
        scdash.tl.predict_perturbations(again, ["G001"])
    named = scdash.tl.predict_perturbations(again, ["G001 (knockdown)", "G001 (knockout)", "G002 (knockdown)"])
    assert list(named.obs["status"]) == ["fitted", "fitted", "not observed"]
    np.testing.assert_array_equal(named.X[0], predicted.X[0])
    assert (named.layers["observed_change"][0] != named.layers["observed_change"][1]).any()
    scdash.tl.screen_baseline(again, "ridge")
    assert again.uns["ridge"]["params"]["kind_key"] == "type"
    scdash.tl.screen_baseline(again, "ridge", model=PerturbODE(kind="knockdown"))
    assert again.uns["ridge"]["params"]["kind_key"] is None and again.uns["ridge"]["params"]["kind"] == "knockdown"


def test_the_change_that_an_edge_shows_is_that_of_the_strongest_perturbation_of_its_source():
    """A gene that is raised and lowered in one screen has no mean change."""
    network = np.zeros((3, 3))
    network[0, 1] = 1.0
    rng = np.random.default_rng(0)
    names = np.repeat(["control", "a up", "a down"], 60)
    pushed = np.repeat([[0.0, 0, 0], [1.0, 1.0, 0], [-1.2, -1.2, 0]], 60, axis=0)
    obs = pd.DataFrame(
        {"perturbation": np.where(names == "control", "control", "g0")}, index=[f"c{i}" for i in range(180)]
    )
    obs["type"] = np.repeat(["", "overexpression", "knockdown"], 60)
    adata = ad.AnnData(
        (3 + pushed + 0.2 * rng.normal(size=pushed.shape)).astype("float32"),
        obs,
        pd.DataFrame(index=["g0", "g1", "g2"]),
    )
    scdash.tl.fit_perturbode(adata, model=PerturbODE(kind_key="type"), progress=False)
    edge = scdash.get.grn(adata).set_index(["source", "target"]).loc[("g0", "g1")]
    assert edge["interventional_effect"] == pytest.approx(-1.1, abs=0.2) and edge["interventional_z"] < -10
    assert edge["sign"] == 1


def test_labels_may_name_the_kind_of_their_perturbation(small):
    adata = small.copy()
    labels = adata.obs["perturbation"].astype(str)
    adata.obs["perturbation"] = labels.where(labels != "G003", "G003 (knockout)")
    screen = read(adata, PerturbODE(kind="overexpression")).screen
    kinds = dict(zip(screen.names, screen.kinds, strict=True))
    assert kinds["G003 (knockout)"] == "knockout" and kinds["G001"] == "overexpression"
    assert (screen.targets.sum(1) <= 1).all()


def test_kinds_of_cells_that_are_missing_or_unknown_are_errors(two_kinds):
    with pytest.raises(ValueError, match="kind=.knockout. and kind_key=.type.: give"):
        PerturbODE(kind="knockout", kind_key="type")
    with pytest.raises(KeyError, match="kind_key='typ' is not a column.*type"):
        read(two_kinds, PerturbODE(kind_key="typ"))
    adata = two_kinds.copy()
    adata.obs.loc[adata.obs_names[adata.obs["perturbation"] == "G002"][:4], "type"] = None
    with pytest.raises(ValueError, match=r"adata.obs\['type'\] has no value for 4 perturbed cell"):
        read(adata, PerturbODE(kind_key="type"))
    adata.obs["type"] = "knock-out"
    with pytest.raises(ValueError, match=r"kind in adata.obs\['type'\] 'knock-out'.*Did you mean 'knockout'"):
        read(adata, PerturbODE(kind_key="type"))


# targets that are no genes of the data


@pytest.fixture
def unmeasured(small):
    return small[:, small.var_names != "G001"].copy()


def test_a_perturbation_of_an_unmeasured_gene_is_kept_and_enters_no_equation(unmeasured):
    kept, dropped = (read(unmeasured, PerturbODE(unknown_targets=what)) for what in ("keep", "drop"))
    screen = kept.screen
    hidden = screen.index("G001")
    assert screen.hidden.sum() == 1 and screen.hidden[hidden] and not screen.targets[hidden].any()
    assert screen.unmeasured[hidden] == ("G001",) and screen.n_perturbations == dropped.screen.n_perturbations + 1
    stats = statistics(kept)
    assert stats.fold[hidden] == -1 and (stats.fold[1:] == -1).sum() == 1
    without = screen.keep(np.arange(screen.n_perturbations) != hidden)
    assert without.names == dropped.screen.names and not without.unmeasured[0]
    used = np.ones(screen.n_perturbations, bool)
    problem = build_problem(stats, used, 0.0)  # means alone: those of the hidden perturbation are in no equation
    other = statistics(dropped)
    expected = build_problem(other, np.ones(other.screen.n_perturbations, bool), 0.0)
    np.testing.assert_allclose(problem.mean_y, expected.mean_y)
    np.testing.assert_allclose(problem.centre_f, expected.centre_f)
    np.testing.assert_allclose(problem.moved, expected.moved)
    raw = problem.gram * np.outer(problem.scale_f, problem.scale_f)
    np.testing.assert_allclose(raw, expected.gram * np.outer(expected.scale_f, expected.scale_f), rtol=1e-6)


def test_changes_of_such_a_perturbation_are_stored(unmeasured, tmp_path):
    with pytest.raises(ValueError, match=r"1 perturbation target.*G001.*PerturbODE\(unknown_targets='keep'\)"):
        scdash.tl.fit_perturbode(unmeasured)
    scdash.tl.fit_perturbode(unmeasured, model=PerturbODE(unknown_targets="keep"))
    screen = unmeasured.uns["dynamics"]["screen"]
    row = list(screen["perturbations"]).index("G001")
    rows = (unmeasured.obs["perturbation"] == "G001").to_numpy()
    control = (unmeasured.obs["perturbation"] == "control").to_numpy()
    x = np.asarray(unmeasured.X, dtype=float)
    np.testing.assert_allclose(screen["change"][row], x[rows].mean(0) - x[control].mean(0), atol=1e-5)
    assert screen["unmeasured_targets"].values.tolist() == [["G001", "G001"]]
    unmeasured.write_h5ad(tmp_path / "fit.h5ad")
    again = ad.read_h5ad(tmp_path / "fit.h5ad")
    assert read_screen(again, ScreenRequest.of_fit(again, again.uns["dynamics"])).screen.hidden.sum() == 1
    with pytest.raises(ValueError, match="G001"):
        scdash.tl.predict_perturbations(again, ["G001"])
    assert list(scdash.tl.predict_perturbations(again, ["G002"], n_cells=5).obs["source"].unique())
    scdash.tl.screen_baseline(again, "mean_perturbation")  # reads the targets as the fit did
    assert len(again.uns["mean_perturbation"]["screen"]["unmeasured_targets"]) == 1
    scdash.tl.stability(again, n_repeats=2, resample="perturbations")


def test_what_was_observed_of_a_gene_is_not_that_of_a_combination(unmeasured):
    labels = unmeasured.obs["perturbation"].astype(str).to_numpy()
    labels[np.flatnonzero(labels == "G002")[::2]] = "G002+G001"
    unmeasured.obs["perturbation"] = labels
    scdash.tl.fit_perturbode(unmeasured, model=PerturbODE(unknown_targets="keep"))
    observed = scdash.tl.predict_perturbations(unmeasured, ["G002"]).layers["observed_change"][0]
    x = np.asarray(unmeasured.X, dtype=float)
    np.testing.assert_allclose(observed, x[labels == "G002"].mean(0) - x[labels == "control"].mean(0), atol=1e-5)


def test_combinations_with_an_unmeasured_gene_keep_the_other():
    genes = pd.Index(["A", "B"])
    labels = ["control", "A", "A+X", "X", "X+Y", "Y+X", "B"]
    screen = parse_screen(labels, genes, missing="keep")
    assert screen.names == ("control", "A", "A+X", "B", "X", "X+Y")
    assert screen.unmeasured == ((), (), ("X",), (), ("X",), ("X", "Y"))
    assert screen.targets[screen.index("A+X")].tolist() == [True, False]
    assert screen.cells.tolist() == [0, 1, 2, 4, 5, 5, 3]


def test_screens_that_cannot_keep_such_perturbations_say_so(unmeasured):
    with pytest.raises(ValueError, match="unknown_targets='keep' would have no effect"):
        PerturbODE(fit=Transport(), unknown_targets="keep")
    with pytest.raises(ValueError, match="hold_out: a target of 'G001' is no gene"):
        read(unmeasured, PerturbODE(unknown_targets="keep", hold_out="G001"))
    nothing = unmeasured[unmeasured.obs["perturbation"].isin(["control", "G001"])].copy()
    with pytest.raises(ValueError, match="no target of a perturbation is a gene of the data"):
        read(nothing, PerturbODE(unknown_targets="keep"))
    table = scdash.pp.filter_perturbations(unmeasured, unknown_targets="keep", copy=True).uns["perturbations"]
    row = table.set_index("perturbation").loc["G001"]
    assert row["kept"] and row["reason"] == "kept: target not measured" and np.isnan(row["worst_p"])


# symbols


@pytest.fixture
def ensembl(small):
    adata = small.copy()
    adata.var["gene_symbols"] = adata.var_names.to_numpy()
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    return adata


def test_targets_are_looked_up_among_symbols(small, ensembl, caplog):
    plain = scdash.tl.fit_perturbode(small, copy=True)
    with caplog.at_level(logging.INFO, logger="scdash"):
        found = scdash.tl.fit_perturbode(ensembl, copy=True)
    assert "no target of a perturbation is among var_names; they are looked up in var['gene_symbols']" in caplog.text
    np.testing.assert_array_equal(found.varp["dynamics_grn"].toarray(), plain.varp["dynamics_grn"].toarray())
    assert found.uns["dynamics"]["params"]["symbols"] == "gene_symbols"
    predicted = scdash.tl.predict_perturbations(found, ["G001", f"G002+{ensembl.var_names[3]}"])
    assert predicted.obs["status"].iloc[0] == "fitted" and predicted.layers["target"].sum(1).tolist() == [1, 2]
    filtered = scdash.pp.filter_perturbations(ensembl, copy=True)
    assert filtered.uns["perturbations"]["kept"].any()


def test_symbols_can_be_named_and_are_not_guessed_from_few(ensembl):
    adata = ensembl.copy()
    adata.var["odd"] = adata.var.pop("gene_symbols")
    with pytest.raises(ValueError, match="20 perturbation target.*symbols"):
        read(adata)
    assert read(adata, PerturbODE(symbols="odd")).symbols == "odd"
    with pytest.raises(KeyError, match="symbols='gene_symbol' is not a column of adata.var"):
        read(adata, PerturbODE(symbols="gene_symbol"))
    few = ensembl.copy()
    few.var["gene_symbols"] = ["G001", *(f"x{i}" for i in range(few.n_vars - 1))]
    with pytest.raises(ValueError, match="20 perturbation target"):  # all of them, and not the other 19
        read(few)


def test_a_symbol_of_two_genes_is_both(ensembl, caplog):
    adata = ensembl.copy()
    names = adata.var["gene_symbols"].to_numpy().copy()
    names[list(names).index("G005")] = "G001"
    adata.var["gene_symbols"] = names
    adata = adata[adata.obs["perturbation"] != "G005"].copy()
    with caplog.at_level(logging.INFO, logger="scdash"):
        screen = read(adata).screen
    assert (
        screen.targets[screen.index("G001")].sum() == 2 and "1 target(s) are the name of several genes" in caplog.text
    )


# one profile per perturbation


@pytest.fixture
def bulk():
    """Sixty knockouts of one profile each, six profiles of the wild type, noise of SD 0.1."""
    rng = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(60)]
    x = rng.normal(2, 0.1, (66, 60))
    for i in range(60):
        x[6 + i, i] = 0
        x[6 + i, (i + 1) % 60] -= 1.0
    obs = pd.DataFrame({"perturbation": ["control"] * 6 + genes}, index=[f"s{i}" for i in range(66)])
    return ad.AnnData(x.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))


def test_single_profiles_are_let_through_and_their_noise_is_found(bulk, caplog):
    with caplog.at_level(logging.INFO, logger="scdash"):
        inputs = read(bulk, PerturbODE(kind="knockout"))
    assert inputs.screen.n_perturbations == 61 and inputs.min_cells == 1 and len(inputs.dropped) == 0
    assert "1 row(s) in the median" in caplog.text
    stats = statistics(inputs)
    assert stats.noise_sd == pytest.approx(np.full(60, 0.1), rel=0.5)
    assert np.median(stats.noise_sd) == pytest.approx(0.1, rel=0.1)
    scdash.tl.screen_baseline(bulk, "differential_expression", model=PerturbODE(kind="knockout"))
    first = scdash.get.grn(bulk, key="differential_expression").head(60)
    assert all(int(t[1:]) == (int(s[1:]) + 1) % 60 for s, t in zip(first["source"], first["target"], strict=True))
    scdash.tl.fit_perturbode(bulk, model=PerturbODE(kind="knockout"))
    assert bulk.uns["dynamics"]["params"]["min_cells"] == 1
    with pytest.raises(ValueError, match="at least 10 are needed"):
        read(bulk, PerturbODE(min_cells=10))


def test_the_noise_of_one_wild_type_is_that_over_perturbations(bulk):
    one = bulk[5:].copy()
    stats = statistics(read(one, PerturbODE(kind="knockout")))
    assert (
        (stats.yy == 0).all()
        and (stats.within_sd == stats.noise_sd).all()
        and np.median(stats.noise_sd) == pytest.approx(0.1, rel=0.1)
    )
    flat = one.copy()
    flat.X[1:] = flat.X[[0]]
    for i in range(60):
        flat.X[1 + i, i] = 0
    flat.X[3, 9] += 1
    sd = statistics(read(flat, PerturbODE(kind="knockout"))).noise_sd
    assert sd[9] > 0  # where most are alike the median absolute deviation is 0, and the SD takes its place


def test_the_noise_of_many_cells_is_that_within_perturbations(small):
    stats = statistics(read(small))
    np.testing.assert_allclose(stats.noise_sd, stats.within_sd, rtol=0.03)  # by degrees of freedom, not by cells
    assert (stats.noise_sd >= stats.within_sd).all()


def test_cells_keep_their_least_number(small):
    assert read(small).min_cells == 10


# log fold changes


@pytest.fixture
def changes(bulk):
    adata = bulk[6:].copy()
    adata.X = adata.X - np.asarray(bulk.X[:6]).mean(axis=0)
    return adata


def test_log_fold_changes_need_no_control(changes, bulk):
    model = PerturbODE(kind="knockout", values="log fold change")
    inputs = read(changes, model)
    assert inputs.screen.counts[0] == 0 and inputs.screen.names[0] == "control"
    stats = statistics(inputs)
    assert (stats.centre == 0).all()
    rows = [list(changes.obs["perturbation"]).index(name) for name in inputs.screen.names[1:]]
    np.testing.assert_allclose(stats.y[1:], np.asarray(changes.X)[rows], atol=1e-6)
    scdash.tl.fit_perturbode(changes, model=model)
    assert np.isfinite(changes.varp["dynamics_grn"].data).all()
    predicted = scdash.tl.predict_perturbations(changes, ["g3", "g3+g7"])
    assert np.isfinite(predicted.X).all() and (predicted.layers["change"] == predicted.X).all()
    for method in ("ridge", "lasso", "differential_expression", "correlation", "notears", "mean_perturbation"):
        scdash.tl.screen_baseline(changes, method)  # as in the fit
        assert changes.uns[method]["params"]["values"] == "log fold change"
    with pytest.raises(ValueError, match="n_cells: predicted cells start from control cells"):
        scdash.tl.predict_perturbations(changes, ["g3"], n_cells=3)


def test_log_fold_changes_are_to_be_declared(changes, caplog):
    with pytest.raises(ValueError, match="no cell carries this label.*values='log fold change'"):
        read(changes, PerturbODE(kind="knockout"))
    with pytest.raises(ValueError, match="values 'logFC'"):
        PerturbODE(values="logFC")
    with pytest.raises(ValueError, match="carries control cells"):
        read(changes, PerturbODE(fit=Transport(), values="log fold change"))
    ratio = changes.copy()
    ratio.X = np.exp(ratio.X)
    with caplog.at_level(logging.WARNING, logger="scdash"):
        read(ratio, PerturbODE(values="log fold change"))
    assert "has no negative value" in caplog.text
    ratio.X = ratio.X * 100
    with pytest.raises(ValueError, match="too large for log fold changes"):
        read(ratio, PerturbODE(values="log fold change"))


def test_negative_values_are_warned_of(small, caplog):
    adata = small.copy()
    adata.X = adata.X - 0.3
    with caplog.at_level(logging.WARNING, logger="scdash"):
        read(adata)
    assert "of adata.X is negative (down to" in caplog.text and "values='log fold change'" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        read(small)
    assert "negative" not in caplog.text


# targets that moved against their kind


def test_targets_that_moved_against_their_kind_are_named(small, caplog):
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.fit_perturbode(small, copy=True)
    assert "against the kind" not in caplog.text
    adata = small.copy()
    rows = np.flatnonzero(adata.obs["perturbation"] == "G003")
    gene = adata.var_names.get_loc("G003")
    adata.X[rows, gene] = 0
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.fit_perturbode(adata, copy=True)
    assert (
        "moved against the kind of its perturbation in 1 of 20 perturbations: G003 (overexpression): G003 -"
        in caplog.text
    )
    assert "All of them" not in caplog.text  # one may be mislabelled, all are not
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.screen_baseline(small, "differential_expression", model=PerturbODE(kind="knockdown"), copy=True)
    assert "in 20 of 20 perturbations" in caplog.text
    assert "All of them rose: PerturbODE(kind='overexpression'), or 'shift'?" in caplog.text
    caplog.clear()
    adata.X[:] = small.X.max() - small.X  # every target falls, as most are knocked out in real screens
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.screen_baseline(adata, "differential_expression", copy=True)
    assert "All of them fell: PerturbODE(kind='knockout'), or 'knockdown'?" in caplog.text
    adata.X[:] = small.X
    adata.X[rows, gene] = 0
    stats = statistics(read(adata))
    (name, kind, target, change, z) = contradicted(stats)[0]
    control = np.asarray(adata.X)[(adata.obs["perturbation"] == "control").to_numpy(), gene].mean()
    assert (name, kind, target) == ("G003", "overexpression", "G003") and change == pytest.approx(-control, rel=1e-4)
    assert z == pytest.approx(-control / (stats.noise_sd[gene] * np.sqrt(2 / 30)), rel=1e-4)
