"""What five fits print: each sentence follows from a test that the code made, or says that there was none."""

import logging
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.dynamics.reporting.direction import DirectionTest
from scdash.dynamics.reporting.power import power_for, power_table
from scdash.dynamics.reporting.report import direction_warnings, power_words

from .data import COURSE, PRIOR, cells_of, screen_of, time_courses

CELLS = {"time_key": "time", "prior": PRIOR, "progress": False}
UNTRUE = (
    "no evidence", "support a network", "supports a network", "the data say nothing", "hypotheses", "not_supported",
    "nothing validated", "can not", "real time won", "the course",
)  # fmt: skip
NO_EDGE = (
    "test no single edge",
    "No single edge was tested",
    "The perturbation of their own source shows",  # screens test edges, and count those that they show
    "The network has no edges",
)


class Printed:
    """A fit, its report and its log."""

    def __init__(self, adata, log):
        self.adata, self.log, self.entry = adata, log, adata.uns["dynamics"]
        table = scdash.get.report(adata, verbosity=3)
        self.table, self.text = table.set_index("predictor"), table.attrs["summary"]
        self.verdict = table.attrs["verdict"]


def printed(adata, **options):
    """Fit and return what is printed; `caplog` has the scope of a test, fits have that of the module."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("scdash")
    logger.addHandler(handler)
    before, scdash.settings.verbosity = scdash.settings.verbosity, 3  # whatever an earlier test has left
    try:
        scdash.tl.fit_dynamics(adata, **options)
    finally:
        logger.removeHandler(handler)
        scdash.settings.verbosity = before
    return Printed(adata, "\n".join(lines))


@pytest.fixture(scope="module")
def lineage():
    """One lineage without named regulators."""
    return printed(cells_of(1), **CELLS)


@pytest.fixture(scope="module")
def with_tfs():
    """One lineage with named regulators."""
    return printed(cells_of(1), regulators="is_tf", **CELLS)


@pytest.fixture(scope="module")
def batches():
    """Four batches with named regulators."""
    return printed(cells_of(4), regulators="is_tf", batch_key="batch", observations=scdash.Cells(n_bins=12), **CELLS)


@pytest.fixture(scope="module")
def screen():
    """A screen in which no gene acts on another."""
    adata = screen_of(60, strength=0.0, genes=12)
    return printed(adata, model="perturbode", perturbation_key="perturbation", progress=False)


@pytest.fixture(scope="module")
def simulated():
    """Simulated trajectories."""
    adata = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=20, n_test=4, rng=0)
    return printed(adata, prior=adata.uns["prior"], **COURSE)


FITS = ("lineage", "with_tfs", "batches", "screen", "simulated")


@pytest.mark.parametrize("name", FITS)
def test_no_report_says_what_was_not_tested(name, request):
    fit = request.getfixturevalue(name)
    assert fit.text in fit.log
    for phrase in UNTRUE:
        assert phrase not in fit.log
    assert any(sentence in fit.text for sentence in NO_EDGE)
    assert not re.search(r"(?<![\d.])\.\d", fit.log)  # "0.72", with its zero
    assert "(s)" not in fit.log and "nan" not in fit.text


def test_errors_of_time_courses_are_those_of_the_table(simulated):
    fit = simulated
    lines = {
        "test_mse": "Prediction of the next step on test states",
        "rollout_mse": "Multi-step prediction of whole test",
    }
    for column, line in lines.items():
        (found,) = [text for text in fit.text.splitlines() if text.startswith(line)]
        assert f"phoenix {fit.table[column].iloc[0]:.3g}" in found
        assert f"constant {fit.table.loc['constant', column]:.3g}" in found
        for baseline in ("constant", "no change", "no network"):
            beaten = fit.table[column].iloc[0] < fit.table.loc[baseline, column]
            what = "the next step" if column == "test_mse" else "whole time windows"
            warned = [t for t in fit.text.splitlines() if t.startswith("WARNING") and t.endswith(f"than {baseline!r}.")]
            assert beaten != (bool(warned) and what in warned[0])
    edges = fit.adata.varp["dynamics_grn"].nnz
    assert f"The network has {edges} edges" in fit.text


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_the_report_on_cells_begins_with_the_verdict_and_a_table_of_errors(name, request):
    fit = request.getfixturevalue(name)
    lines = fit.text.splitlines()
    assert lines[0].startswith("Verdict: ") and lines[0] == fit.verdict["text"]
    evaluate = "left-out trajectories" if name == "batches" else "the other half of the cells"
    assert lines[1].startswith(f"Mean squared error on {evaluate}, as a fraction of a constant's (4 folds;")
    shown = {"model", "regression start", f"best null model ({fit.verdict['best_null']})", "constant"}
    if fit.verdict["best_null"] != "no network":
        shown.add("no network")
    if name == "batches":
        shown.add(f"best baseline without a model ({fit.verdict['best_baseline']})")
    found = dict(line.strip().split("  ", 1) for line in lines[2 : 2 + len(shown)])
    assert set(found) == shown
    for label, text in found.items():
        row = fit.table.loc[label.split("(")[-1].rstrip(")")]
        known = [k for k in range(1, 5) if np.isfinite(row[f"fold {k}"])]
        ours = np.mean([fit.table.loc["model", f"fold {k}"] for k in known])
        folds = "the only fold of 4" if len(known) == 1 else f"the {len(known)} of 4 folds"
        place = "" if len(known) == 4 else f", whose error is {ours:.3f} on {folds} that both were fitted on"
        spread = "" if np.isnan(row["difference_error"]) else f", standard error {row['difference_error']:.3f}"
        beside = f"  ({row['difference']:+.3f} beside the model{place}{spread})"
        assert text.strip() == f"{row['error']:.3f}" + ("" if label in ("model", "constant") else beside)
    nulls = fit.table.index[~fit.table.index.isin(["model", "regression start"])]
    nulls = [name for name in nulls if name.startswith(("no network", "random", "shuffled"))]
    assert fit.verdict["best_null"] == fit.table.loc[nulls, "difference"].idxmin()
    assert f"The network has {fit.adata.varp['dynamics_grn'].nnz} edges" in fit.text


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_the_table_of_errors_is_made_of_its_folds(name, request):
    table = request.getfixturevalue(name).table
    folds = table.filter(like="fold ")
    assert folds.shape[1] == 4 and np.isfinite(folds).all(axis=None) == (name == "batches")
    beside = folds - folds.iloc[0]
    np.testing.assert_allclose(table["error"], folds.mean(axis=1))
    np.testing.assert_allclose(table["standard_error"], folds.sem(axis=1))
    np.testing.assert_allclose(table["difference"], beside.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(table["difference_error"], beside.sem(axis=1), atol=1e-12)
    assert (table.loc["constant"].filter(like="fold ") == 1).all()
    assert "test" not in table


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_how_well_the_trajectory_is_followed_is_told_with_its_figures(name, request):
    fit = request.getfixturevalue(name)
    figures, following = fit.entry["metrics"], fit.entry["lineages"]
    (line,) = [text for text in fit.text.splitlines() if text.startswith("R2 of the mean trajectory")]
    assert (
        f"top 12 genes: {figures['trajectory_r2']:.2f} (median gene {figures['trajectory_r2_median_gene']:.2f})" in line
    )
    assert following["r2"].tolist() == [figures["trajectory_r2"]]
    halves = (
        f"other half of the cells {figures['trajectory_r2_other_half']:.2f}, the data's own smoother "
        f"{figures['trajectory_r2_smoother']:.2f}."
    )
    assert line.endswith(halves) == (name != "batches")
    assert ("is followed: do not read the velocity" in fit.text) == (figures["trajectory_r2"] < 0.9)


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_the_report_says_what_became_of_the_prior(name, request):
    fit = request.getfixturevalue(name)
    chosen, prior = fit.entry["params"]["chosen"], fit.entry["prior"]
    used = chosen["prior_weight"] != 1
    assert ("Prior: used with weight 5" in fit.text) == used
    assert ("Prior: not used, since it did not clearly lower the held-out error" in fit.text) == (not used)
    assert (fit.verdict["prior"] == "not used") == (not used)
    assert ("Shuffled priors: not used" in fit.text) == (not used)
    assert any(kind.startswith("shuffled prior") for kind in fit.table.index) == used
    edges = (
        f"{prior['kept']} of its {prior['used']} edges are retained, {prior['not_supported']} are not supported, "
        f"{prior['added']} edges are novel"
    )
    assert edges in fit.text


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_the_report_says_what_the_folds_have_chosen(name, request):
    fit = request.getfixturevalue(name)
    params = fit.entry["params"]
    chosen = params["chosen"]
    assert (
        f"{chosen['epochs']} epochs without pruning, {chosen['level']} rounds of pruning, "
        f"{chosen['epochs_after_pruning']} epochs after them, weight of the prior {chosen['prior_weight']:g}. "
        f"Training and pruning changed the error of the regression start by "
        f"{-fit.table.loc['regression start', 'difference']:+.3f}" in fit.text
    )
    made_by = "dash" if chosen["prior_weight"] > 1 else "imp"
    assert params["sparsity"] == (f"regression and {made_by}" if chosen["level"] else "regression")
    assert params["sparsity_asked"] == "dash"


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_too_few_edges_could_be_hidden(name, request):
    fit = request.getfixturevalue(name)
    assert not np.isfinite(fit.entry["prior"]["evidence_auc"])
    assert fit.entry["prior"]["hidden"] > 0
    assert (
        "Not tested: whether the data find hidden edges of the prior again, because too few could be hidden" in fit.text
    )


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_the_verdict_says_what_its_comparisons_found(name, request):
    fit = request.getfixturevalue(name)
    first = fit.text.splitlines()[0]
    whole = name == "batches"
    outcome = fit.verdict["regulators"]
    assert ("predicted better with these regulators than with random ones" in first) == (outcome == "better")
    distinguished = "held-out prediction does not distinguish these regulators from random ones"
    assert (distinguished in first) == (outcome == "not distinguished")
    without = "than without a network" in first or "predicted better with a network than without" in first
    assert without and ("not shown that" in first or "but not clearly" in first) == (fit.verdict["network"] != "better")
    assert ("because every gene may: name the regulators" in first) == (outcome == "not tested") == (name == "lineage")
    assert ("nothing is tested on another one" in first) == (not whole)
    assert ("halves of the same cells, not independent replicates" in fit.text) == (not whole)
    assert fit.verdict["supports_network"] == (whole and fit.verdict["network"] == outcome == "better")
    figures = fit.verdict["figures"]
    for kind, start in (("network", "No network"), ("regulators", "Random regulators"), ("time", "Shuffled time")):
        (line,) = [text for text in fit.text.splitlines() if text.startswith(start)]
        if fit.verdict[kind] == "not tested":
            assert line == f"{start}: not tested."
            continue
        gain = figures[f"{kind}_gain"]
        assert (
            f"(error {figures[f'{kind}_null_error']:.3f}, log ratio to the model's {gain:+.3f}, standard error" in line
        )
        assert ("the model is better" in line) == (fit.verdict[kind] == "better")
        rows = fit.table[fit.table.index.str.startswith(start.lower())]
        assert figures[f"{kind}_null_error"] == pytest.approx(np.nanmean(rows.filter(like="fold ")))
        ours = fit.table.loc["model"].filter(like="fold ").to_numpy(dtype=float)
        ratios = np.log(rows.filter(like="fold ").to_numpy(dtype=float)) - np.log(ours)
        fitted = np.isfinite(ratios).any(axis=0)
        assert gain == pytest.approx(np.nanmean(ratios[:, fitted], axis=0).mean(), abs=1e-6)


def test_one_lineage_without_regulators(lineage):
    assert "20 bins of 1 trajectory, and 64 bootstraps of each" in lineage.log
    assert not lineage.verdict["supports_network"]
    assert "random regulators" not in " ".join(lineage.table.index)
    assert "Next: name the genes that may regulate (regulators=...)" in lineage.text


def test_one_lineage_with_regulators(with_tfs):
    assert with_tfs.verdict["regulators"] != "not tested"
    assert with_tfs.verdict["figures"]["regulators_number"] == 4
    assert "Next: name the genes" not in with_tfs.text


def test_the_power_that_is_quoted_is_that_of_the_table(batches):
    power = power_for(4)
    quoted = power is not None and batches.verdict["regulators"] == "not distinguished"
    assert ("this test found true regulators in" in batches.text) == quoted
    if quoted:
        assert power_words(power) in batches.text
    assert list(power_table()) == ["simulator", "trajectories", "genes", "regulators", "runs", "found", "mistaken"]


def test_details_are_told_where_they_are_asked_for(batches, monkeypatch):
    whole = batches.text
    brief = scdash.get.report(batches.adata, verbosity=2).attrs["summary"]
    assert whole.startswith(brief) and len(whole) > len(brief) + 500
    monkeypatch.setattr(scdash.settings, "_verbosity", 3)
    assert scdash.get.report(batches.adata).attrs["summary"] == whole
    monkeypatch.setattr(scdash.settings, "_verbosity", 1)
    assert scdash.get.report(batches.adata).attrs["summary"] == brief


def test_four_batches(batches):
    assert "48 bins of 4 trajectories, and 64 bootstraps of each" in batches.log


def test_a_screen_without_edges(screen):
    assert screen.adata.varp["dynamics_grn"].nnz == 0
    assert "The network has no edges" in screen.text
    assert "The network predicts unseen perturbations better" not in screen.text


def test_simulated_trajectories(simulated):
    change = re.search(
        r"settings chosen by left-out trajectories: their error, as a fraction of a constant's, changed by [+-]([\d.e-]+) per "
        r"fold \(two standard errors ([\d.e-]+), 5 folds\)(, which is no clear difference)?\.",
        simulated.text,
    )
    assert change and (float(change.group(1)) <= float(change.group(2))) == bool(change.group(3))
    epochs = int(simulated.entry["metrics"]["epochs"])  # those between rounds of pruning included
    assert epochs > 0 and f"trained as a neural ODE for {epochs} epochs from the regression" in simulated.text
    prior = simulated.entry["prior"]
    clear = prior["evidence_auc"] - 2 * prior["evidence_se"] > 0.5
    assert ("less than two standard errors above chance" in simulated.text) is not clear
    assert (
        f"AUC of {prior['evidence_auc']:.2f} (standard error {prior['evidence_se']:.2f}, chance 0.50)" in simulated.text
    )
    known = scdash.get.grn(simulated.adata).query("in_prior")
    assert (known[known["weight"] != 0]["score"].nunique() == 1) is not clear
    verdict = "Verdict: not tested whether these regulators and this order of time predict better"
    assert simulated.text.startswith(verdict) and simulated.text.count("Verdict") == 1
    assert "null models are made for cells only" in simulated.text
    assert "120 states of 24 trajectories" in simulated.log
    assert simulated.verdict == {}


def test_null_models_that_were_left_out_are_not_tested():
    fit = printed(cells_of(1), validation=scdash.Validation(null_models=False), **CELLS)
    assert (
        "Verdict: not tested whether a network predicts better than none, because null models were not asked for"
        in fit.text
    )
    assert "Next: fit with null models before reading the network." in fit.text and fit.verdict == {}
    assert {"model", "regression start", "constant", "persistence"} == set(fit.table.index)
    fit = printed(cells_of(1), training=scdash.Training(max_epochs=0), **CELLS)
    assert (
        "null models are made for cells that start from the regression and are trained on whole trajectories"
        in fit.text
    )
    assert "Not tested: training as a neural ODE, for which no epoch was asked." in fit.text


def test_errors_on_test_states_are_told_beside_those_of_the_folds():
    adata = cells_of(4)
    adata.obs["split"] = np.where(adata.obs["batch"] == "b3", "test", "train")
    fit = printed(
        adata,
        batch_key="batch",
        split_key="split",
        observations=scdash.Cells(n_bins=12),
        validation=scdash.Validation(null_models=False),
        **CELLS,
    )
    test = fit.table["test"].dropna()
    assert list(test.index) == ["model", "constant", "persistence", "mean trajectory"] and test["constant"] == 1
    listed = ", ".join(f"{name} {test[name]:.3f}" for name in test.index)
    assert f"On test states, which took no part in any choice: {listed}." in fit.text
    assert len(fit.table.filter(like="fold ").columns) == 3
    predicted = scdash.tl.predict(adata, split="test")
    squares = ((predicted.X - predicted.layers["observed"]) ** 2).mean()  # errors count in the units of the data
    rows = fit.entry["series"]
    learned = np.asarray(rows["states"])[np.asarray(rows["split"]) != "test"].mean(axis=0)
    flat = ((learned - predicted.layers["observed"]) ** 2).mean()
    assert test["model"] == pytest.approx(squares / flat, rel=0.02)


def test_nothing_is_held_out_by_default_and_who_asks_for_it_is_told_what_to_do(batches, lineage):
    for fit in (batches, lineage):
        assert set(fit.entry["series"]["split"]) == {"train"}
        with pytest.raises(ValueError, match="no such states to predict.*left out in turn.*split_key"):
            scdash.tl.predict(fit.adata, split="test")
        with pytest.raises(ValueError, match="chosen by validation states.*Name a predictor"):
            scdash.tl.predict(fit.adata, predictor="best")
        assert scdash.tl.predict(fit.adata, predictor="mean trajectory + start offset").n_obs > 0
        assert scdash.tl.predict(fit.adata, split="train").n_obs > 0


def test_from_random_weights_no_edges_are_hidden():
    adata = time_courses()
    fit = printed(
        adata,
        prior=adata.uns["prior"],
        start="random",
        sparsity="none",
        training=scdash.Training(max_epochs=2),
        **COURSE,
    )
    assert "hidden edges of the prior again, because no model was fitted with edges of the prior hidden" in fit.text
    assert "Training started from random weights and took 2 epochs." in fit.text


@pytest.mark.parametrize(
    ("prior", "sparsity", "made_by"), [(1, "dash", "dash"), (0, "dash", "imp"), (0, "none", "none")]
)
def test_parameters_name_what_made_the_zeros(prior, sparsity, made_by):
    adata = time_courses()
    known = adata.uns["prior"] if prior else None
    fit = printed(
        adata, prior=known, sparsity=sparsity, start="random", training=scdash.Training(max_epochs=8), **COURSE
    )
    assert fit.entry["params"]["sparsity"] == made_by
    assert fit.entry["params"]["sparsity_asked"] == sparsity


def test_without_test_states_errors_are_said_to_be_too_small():
    adata = time_courses()
    adata.obs["split"] = adata.obs["split"].astype(str).replace({"test": "train"})
    fit = printed(adata, training=scdash.Training(max_epochs=0), **COURSE)
    assert "There are no test states: the model was chosen by the same states" in fit.text
    assert "There is no prior: edges are ranked by the data alone." in fit.text


@pytest.mark.parametrize(("strength", "genes", "better"), [(0.5, 16, True), (0.0, 8, False)])
def test_a_screen_is_predicted_better_only_if_clearly_so(strength, genes, better):
    adata = screen_of(100, strength=strength, genes=genes, shift=1.0)
    fit = printed(adata, model="perturbode", perturbation_key="perturbation", progress=False)
    assert (adata.varp["dynamics_grn"].nnz > 0) is better
    lines = fit.text.splitlines()
    found = "Verdict: the network predicts unseen perturbations better than the mean"
    assert lines[0].startswith("Verdict: ") and lines[0].startswith(found) is better
    table = adata.uns["dynamics"]["errors"]
    errors = dict(zip(table["predictor"], table["error"], strict=True))
    told = lines[2 : 2 + len(errors)]
    assert f"Mean squared error on {genes} held-out perturbations" in lines[1]
    assert {line.split("  ")[1].strip() for line in told} == set(errors)
    assert len({line.index(f"{errors[name]:.4f}") for name, line in zip(errors, told, strict=True)}) == 1
    assert any(line.startswith("The network has ") for line in lines) and "There is no prior" in fit.text
    assert lines[-1].startswith("Next: ")


def test_too_few_perturbations_to_hold_any_out():
    adata = screen_of(60, strength=0.5, genes=8)
    adata = adata[adata.obs["perturbation"].isin(["control", "g0"])].copy()
    fit = printed(adata, model="perturbode", perturbation_key="perturbation", progress=False)
    assert "Verdict: not tested whether the network predicts unseen perturbations" in fit.text


@pytest.mark.parametrize("cells", [100, 200, 400])
def test_more_cells_do_not_empty_a_screen(cells):
    """The first networks of a path are empty and their errors tie: the path was given up there."""
    adata = screen_of(cells, strength=0.5, shift=1.0)
    scdash.tl.fit_perturbode(adata, progress=False)
    found = adata.varp["dynamics_grn"].toarray() != 0
    true = np.array([found[i, (i + 1) % 16] for i in range(16)])
    assert true.sum() >= 14


def test_bins_of_a_single_trajectory_are_not_trained_and_the_report_says_why():
    bins = scdash.pp.trajectories(cells_of(1), time_key="time", n_bins=12)
    fit = printed(bins, progress=False, validation=scdash.Validation(null_models=False))
    assert "Not tested: training as a neural ODE, because there is one trajectory of a lineage" in fit.text
    assert "no epoch was asked" not in fit.text and fit.entry["params"]["kept"] == "regression"


@pytest.mark.parametrize("weak", [True, False])
def test_a_velocity_that_cannot_be_read_is_said_without_details(weak):
    parts = pd.DataFrame(
        {"start": [0.0, 0.2], "stop": [0.2, 0.4], "model": [0.8, 0.1 if weak else 0.7], "other cells": 0.8}
    )
    test = DirectionTest(parts, {"trajectory_covered": 0.9, "trajectory_covered_no_network": 0.5}, ("A (+1, +1)",))
    told = SimpleNamespace(trajectory=test.lines())
    found = direction_warnings(told)
    assert len(found) == weak
    assert all("do not interpret arrows there" in line for line in found)
