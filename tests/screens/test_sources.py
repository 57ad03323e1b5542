"""Only genes that may regulate have features: the same networks, in less time and memory."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scdash
from scdash.models import PerturbODE
from scdash.screens import selection as sources
from scdash.screens.equilibrium import fit as equilibrium_fit
from scdash.screens.equilibrium import path as equilibrium_path
from scdash.screens.equilibrium.fit import fit_equilibrium
from scdash.screens.equilibrium.path import Penalties
from scdash.screens.evidence import without_noise
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.statistics import assign_folds, perturbation_statistics
from scdash.simulate._sergio import sergio

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def partly():
    """24 genes of which half are perturbed, log1p."""
    adata = sergio(
        genes=24, n_edges=40, n_perturbations=24, n_targets=1, cells_per_perturbation=30, half_response="mid", rng=3
    )
    adata.X = np.log1p(adata.X)
    label = adata.obs["perturbation"].astype(str)
    return adata[(label == "control") | label.isin(adata.var_names[::2])].copy()


def statistics(adata, sources=None):
    screen = read_screen(adata, ScreenRequest())
    fold = assign_folds(screen.screen, 4, np.random.default_rng(0))
    return without_noise(perturbation_statistics(screen.cells, screen.screen, fold, sources=sources))


def fitted(adata, regulators=None, **options):
    return scdash.tl.fit_perturbode(adata, regulators=regulators, model=PerturbODE(**options), copy=True)


@pytest.mark.parametrize("with_prior", [False, True])
def test_features_of_genes_that_may_not_regulate_are_not_needed(partly, with_prior):
    every = statistics(partly)
    sources = np.flatnonzero(every.screen.targets.any(axis=0))
    few = statistics(partly, sources)
    assert few.ff.shape == (5, 12, 12) and few.fy.shape == (5, 12, 24) and few.f.shape == (13, 12)
    allowed = np.isin(np.arange(24), sources)[:, None] & np.ones(24, bool)
    odds = np.where(np.random.default_rng(0).random((24, 24)) < 0.1, 5.0, 1.0) if with_prior else None
    penalty = None if odds is None else 1 / odds
    whole = fit_equilibrium(every, Penalties(penalty, allowed, odds))
    part = (None, None) if odds is None else (penalty[sources], odds[sources])
    small = fit_equilibrium(few, Penalties(part[0], odds=part[1]))
    assert small.settings == whole.settings and small.lam == whole.lam and (small.model.weights != 0).any()
    for name in ("score", "frequency"):
        np.testing.assert_allclose(getattr(small, name), getattr(whole, name)[sources], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(small.model.weights, whole.model.weights[sources], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(small.held_out.network, whole.held_out.network, rtol=1e-6, atol=1e-7)
    assert not whole.model.weights[~allowed[:, 0]].any()


def test_what_is_written_lies_where_the_genes_do(partly):
    names = [str(gene) for gene in partly.var_names[::2]]
    named, few = fitted(partly, regulators=names), fitted(partly, sources="perturbed")
    assert few.varp["dynamics_grn"].nnz
    for slot in ("grn", "sensitivity", "total_effect"):
        one, other = (found.varp[f"dynamics_{slot}"].toarray() for found in (named, few))
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert not other[1::2].any()  # genes that were never perturbed
    table = scdash.get.grn(few)
    assert set(table["source"]) == set(names) and table["source_perturbed"].all()
    predicted = scdash.tl.predict_perturbations(few, names[:2]).layers["change"]
    np.testing.assert_allclose(predicted, scdash.tl.predict_perturbations(named, names[:2]).layers["change"], atol=1e-6)


def test_named_regulators_are_the_only_ones_whatever_the_rule(partly):
    names = [str(gene) for gene in partly.var_names[:9]]
    found = [fitted(partly, regulators=names, sources=rule) for rule in ("auto", "perturbed", "all")]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].varp["dynamics_grn"].toarray(), other.varp["dynamics_grn"].toarray())
    assert found[0].varp["dynamics_grn"].nnz and not found[0].varp["dynamics_grn"].toarray()[9:].any()


def test_of_many_genes_only_perturbed_ones_regulate_and_the_log_says_so(partly, monkeypatch, caplog):
    monkeypatch.setattr(sources, "ALL_SOURCES", 23)
    with caplog.at_level(logging.INFO, logger="scdash"):
        many = fitted(partly)
    assert "only the 12 perturbed genes may regulate, because 24 genes are more than 23" in caplog.text
    few, every = fitted(partly, sources="perturbed"), fitted(partly, sources="all")
    errors = [found.uns["dynamics"]["history"]["held_out_r2"].to_numpy() for found in (many, few, every)]
    np.testing.assert_array_equal(errors[0], errors[1])
    assert len(errors[0]) != len(errors[2]) or (errors[0] != errors[2]).any()


def test_refits_keep_the_sources(partly):
    adata = fitted(partly, sources="perturbed", n_subsamples=2)
    assert adata.uns["dynamics"]["params"]["sources"] == "perturbed"
    for resample in ("perturbations", "cells"):
        table = scdash.tl.stability(adata, n_repeats=2, resample=resample, rng=0)
        assert len(table) and set(table["source"]) <= set(partly.var_names[::2])
        own = adata.uns["dynamics"]["edges"]
        assert own["selection_frequency"].max() > 0
        again = table.set_index(["source", "target"])["frequency"]
        for row in own.itertuples():
            assert row.selection_frequency == again.get((row.source, row.target), 0.0)


def test_wrong_rules_are_refused(partly):
    with pytest.raises(ValueError, match="sources"):
        PerturbODE(sources="some")
    with pytest.raises(ValueError, match="sources"):
        PerturbODE(fit="transport", sources="all")


def test_regressions_of_the_folds_are_built_once_for_a_trust(partly, monkeypatch):
    built = []

    def counted(stats, used, covariation):
        built.append(covariation)
        return build(stats, used, covariation)

    build = equilibrium_path.build_problem
    monkeypatch.setattr(equilibrium_path, "build_problem", counted)
    stats = statistics(partly)
    fit = fit_equilibrium(stats, covariations=(0.3,))
    assert (
        len(fit.cv.groupby(["activating", "hubs", "mcp"])) == 5 and len(built) == 4 + 1
    )  # folds, and all perturbations


def test_nothing_is_refined_where_the_lasso_explains_too_little(partly, monkeypatch):
    stats = statistics(partly)
    refined = fit_equilibrium(stats).cv
    assert refined["mcp"].any() and refined["hubs"].any()
    lasso = refined[(refined["mcp"] == 0) & ~refined["hubs"]]["held_out_r2"].max()
    for part, tried in ((lasso - 1e-6, True), (lasso + 1e-6, False)):
        monkeypatch.setattr(equilibrium_fit, "NEGLIGIBLE", part)
        cv = fit_equilibrium(stats).cv
        assert bool(cv["mcp"].any()) is tried and bool(cv["hubs"].any()) is tried


@pytest.mark.slow
def test_three_thousand_genes_are_fitted_within_three_gigabytes():
    """20,000 cells x 3,000 genes x 200 perturbations, in a process of its own: peak memory of the whole process."""
    command = [sys.executable, "-m", "benchmarks.screens_real.speed", "--here", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    row = json.loads(done.stdout.strip().splitlines()[-1])
    print(row)
    assert row["peak_gb"] < 3 and row["precision"] >= 0.82
