"""What five fits print: each sentence follows from a test that the code made, or says that there was none."""

import logging
import re

import numpy as np
import pytest

import scdash
from scdash.fitting._controls import REFERENCE

from .data import COURSE, PRIOR, cells_of, screen_of, time_courses

CELLS = {"time_key": "time", "prior": PRIOR, "progress": False}
UNTRUE = (
    "no evidence", "support a network", "supports a network", "the data say nothing", "hypotheses", "doubted",
    "nothing validated", "can not", "real time won",
)  # fmt: skip
NO_EDGE = ("test no single edge", "No single edge was tested")


class Printed:
    """A fit, its report and its log."""

    def __init__(self, adata, log):
        self.adata, self.log, self.entry = adata, log, adata.uns["dynamics"]
        table = scdash.get.report(adata)
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
    return printed(cells_of(4), regulators="is_tf", batch_key="batch", n_bins=12, **CELLS)


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


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches", "simulated"])
def test_errors_are_those_of_the_table(name, request):
    fit = request.getfixturevalue(name)
    for column, line in (("test_mse", "the next step on test states"), ("rollout_mse", "whole test stretches")):
        (found,) = [text for text in fit.text.splitlines() if text.startswith(f"Mean squared error of {line}")]
        assert f"phoenix {fit.table[column].iloc[0]:.3g}" in found
        assert f"constant {fit.table.loc['constant', column]:.3g}" in found
        for baseline in ("constant", "no change", "no network"):
            beaten = fit.table[column].iloc[0] < fit.table.loc[baseline, column]
            what = "the next step" if column == "test_mse" else "whole stretches"
            warned = [t for t in fit.text.splitlines() if t.startswith("WARNING") and t.endswith(f"than {baseline!r}.")]
            assert beaten != (bool(warned) and what in warned[0])
    edges = fit.adata.varp["dynamics_grn"].nnz
    assert f"The network has {edges} edges" in fit.text


@pytest.mark.parametrize("name", ["lineage", "with_tfs", "batches"])
def test_training_on_cells_is_judged_by_what_was_left_out(name, request):
    fit = request.getfixturevalue(name)
    params = fit.entry["params"]
    judge = "left-out trajectories" if name == "batches" else "the other half of the cells"
    assert f"the error on {judge}, as a fraction of a constant's, changed" in fit.text
    kept = params["kept"] == "trained"
    assert ("Training as a neural ODE was kept" in fit.text) == kept
    pruned = kept and params["chosen"]["level"] > 0
    name = "dash" if params["chosen"]["prior_weight"] > 1 else "imp"
    assert params["sparsity"] == (f"regression and {name}" if pruned else "regression")
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
    sentences = {
        "network": {
            "better": "The model predicts held-out states better than",
            "not distinguished": "Held-out prediction does not show that the model is better than",
        },
        "regulators": {
            "better": "Held-out prediction is better with these regulators than with random ones.",
            "not distinguished": "Held-out prediction does not distinguish these regulators from random ones.",
            "not tested": "Not tested: whether these regulators predict better than random ones",
        },
        "prior": {
            "better": "Held-out prediction is better with this prior than with shuffled ones.",
            "not distinguished": "Held-out prediction does not distinguish this prior from shuffled ones.",
            "not tested": "Not tested: whether the prior helps",
        },
        "time": {
            "better": "Held-out prediction is better with time as observed than with time shuffled.",
            "not distinguished": "Held-out prediction does not distinguish time as observed from time shuffled.",
        },
    }
    for comparison, texts in sentences.items():
        outcome = fit.verdict[comparison]
        assert [name for name, text in texts.items() if text in fit.text] == [outcome]
    assert "Verdict from one held-out stretch:" in fit.text
    figures = fit.verdict["figures"]
    assert figures["reference"] == pytest.approx(fit.table.loc[REFERENCE, "rollout_mse"])
    assert f"of which {figures['shuffled_priors_beaten']:.0f} are worse" in fit.text
    priors = fit.table.loc[[name for name in fit.table.index if name.startswith("shuffled prior")], "rollout_mse"]
    assert priors.nunique() == 5


def test_one_lineage_without_regulators(lineage):
    assert "20 bins of 1 trajectory, and 8 bootstraps of each" in lineage.log
    assert "predict better than random ones, because every gene may regulate; name the regulators" in lineage.text
    assert not lineage.verdict["supports_network"]
    assert "random regulators" not in " ".join(lineage.table.index)


def test_one_lineage_with_regulators(with_tfs):
    assert with_tfs.verdict["regulators"] != "not tested"
    assert "with random regulators" in with_tfs.text and "mean of 4" in with_tfs.text


def test_four_batches(batches):
    assert "48 bins of 4 trajectories, and 8 bootstraps of each" in batches.log


def test_a_screen_without_edges(screen):
    assert screen.adata.varp["dynamics_grn"].nnz == 0
    assert "The network has no edges" in screen.text
    assert "better than the mean of the other" not in screen.text


def test_simulated_trajectories(simulated):
    change = re.search(
        r"settings chosen by left-out trajectories: the error on left-out trajectories, as a fraction of a constant's, "
        r"changed by [+-]([\d.e-]+) per case \(two standard errors ([\d.e-]+), 5 cases\)(, which is no clear difference)?\.",
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
    assert "Not tested: whether these regulators and this order of time predict better" in simulated.text
    assert "null models are made for cells only" in simulated.text
    assert "120 states of 24 trajectories" in simulated.log
    assert simulated.verdict == {}


def test_null_models_that_were_left_out_are_not_tested():
    fit = printed(cells_of(1), controls=False, max_epochs=0, **CELLS)
    assert "because controls=False left the null models out" in fit.text
    assert "Not tested: training as a neural ODE, for which no epoch was asked." in fit.text


def test_from_random_weights_no_edges_are_hidden():
    adata = time_courses()
    fit = printed(adata, prior=adata.uns["prior"], start="random", sparsity="none", max_epochs=2, **COURSE)
    assert "hidden edges of the prior again, because no model was fitted with edges of the prior hidden" in fit.text
    assert "Training started from random weights and took 2 epochs." in fit.text


@pytest.mark.parametrize(
    ("prior", "sparsity", "made_by"), [(1, "dash", "dash"), (0, "dash", "imp"), (0, "none", "none")]
)
def test_parameters_name_what_made_the_zeros(prior, sparsity, made_by):
    adata = time_courses()
    known = adata.uns["prior"] if prior else None
    fit = printed(adata, prior=known, sparsity=sparsity, start="random", max_epochs=8, **COURSE)
    assert fit.entry["params"]["sparsity"] == made_by
    assert fit.entry["params"]["sparsity_asked"] == sparsity


def test_without_test_states_errors_are_said_to_be_too_small():
    adata = time_courses()
    adata.obs["split"] = adata.obs["split"].astype(str).replace({"test": "train"})
    fit = printed(adata, max_epochs=0, **COURSE)
    assert "There are no test states: the model was chosen by the same states" in fit.text
    assert "There is no prior: edges are ranked by the data alone." in fit.text


@pytest.mark.parametrize(("strength", "genes", "better"), [(0.5, 16, True), (0.0, 8, False)])
def test_a_screen_is_predicted_better_only_if_clearly_so(strength, genes, better):
    adata = screen_of(100, strength=strength, genes=genes, shift=1.0)
    fit = printed(adata, model="perturbode", perturbation_key="perturbation", progress=False)
    assert adata.varp["dynamics_grn"].nnz > 0
    assert ("The network predicts held-out perturbations better than the mean" in fit.text) is better
    assert ("Held-out perturbations do not show" in fit.text) is not better


def test_too_few_regimes_to_hold_any_out():
    adata = screen_of(60, strength=0.5, genes=8)
    adata = adata[adata.obs["perturbation"].isin(["control", "g0"])].copy()
    fit = printed(adata, model="perturbode", perturbation_key="perturbation", progress=False)
    assert "Not tested: whether the network predicts perturbations that it has not seen" in fit.text


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
    fit = printed(bins, controls=False, progress=False)
    assert "Not tested: training as a neural ODE, because there is one trajectory of a lineage" in fit.text
    assert "no epoch was asked" not in fit.text and fit.entry["params"]["kept"] == "matching"
