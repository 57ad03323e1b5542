"""Arguments that would have no effect are refused, or warned about where they have one on the tables alone."""

import logging

import numpy as np
import pytest

import scdash
from scdash.sparsity import GeometricSchedule, imp

from .data import COURSE, PRIOR, cells_of, screen_of, time_courses

PAIRS = PRIOR.rename(columns={})
REFUSED = {
    "n_hidden, one unit a gene": ({"model": scdash.models.Phoenix(n_hidden=30)}, "n_hidden would have no effect: encoder='genes'"),
    "n_hidden, the default number": ({"model": scdash.models.Phoenix(n_hidden=40)}, "n_hidden would have no effect"),
    "scale, l0": ({"sparsity": scdash.sparsity.L0(scale="paper")}, "scale would have no effect.*'l0'"),
    "scale, the default": ({"sparsity": scdash.sparsity.L0(scale="matched")}, "scale would have no effect"),
    "scale, an object": ({"sparsity": imp(), "scale": "paper"}, "scale would have no effect.*'imp'"),
    "missing, l0": ({"sparsity": scdash.sparsity.L0(no_prior_targets="zero")}, "missing would have no effect.*'l0'"),
    "missing, imp": ({"sparsity": scdash.sparsity.MagnitudePruning(no_prior_targets="zero")}, "missing would have no effect.*'imp'"),
    "n_bins, states": ({"n_bins": 30}, "n_bins would have no effect"),
    "coregulation, genes": ({"coregulation": PAIRS}, "coregulation would have no effect.*modules"),
    "coregulation, mlp": ({"model": "mlp", "coregulation": PAIRS}, "coregulation would have no effect"),
    "coregulation, no prior": (
        {"prior": None, "model": scdash.models.Phoenix(encoder="modules"), "sparsity": scdash.sparsity.DASH(coregulation=PAIRS)}, "coregulation would have no effect.*without a prior",
    ),
    "encoder, mlp": ({"model": "mlp", "encoder": "modules"}, "encoder would have no effect: model='mlp' has none"),
    "encoder, sonode": ({"model": "sonode", "encoder": "genes"}, "encoder would have no effect"),
    "control": ({"control": False}, "control=False is for model='perturbode'.*Did you mean controls=False"),
    "control, a label": ({"control": "wild type"}, "control='wild type' is for model='perturbode'"),
    "two lambdas, one layer": ({"lambdas": (0.1, 0.9)}, "first of lambdas would have no effect"),
}  # fmt: skip
WARNED = {
    "prior, mlp": ({"model": "mlp", "sparsity": "none"}, "the prior takes no part in this fit: model='mlp'"),
    "prior, random weights": ({"sparsity": "none", "start": "random"}, "the prior takes no part in this fit"),
    "schedule": (
        {"sparsity": scdash.sparsity.DASH(schedule=GeometricSchedule()), "training": scdash.Training(max_epochs=0)},
        "schedule: without any effect",
    ),
    "lambdas": (
        {"sparsity": scdash.sparsity.DASH(lambdas=0.5), "training": scdash.Training(max_epochs=0)},
        "lambdas: without any effect",
    ),
    "controls": (
        {"training": scdash.Training(max_epochs=0), "validation": scdash.Validation(null_models="full")},
        "controls='full' is without any effect",
    ),
}


@pytest.fixture(scope="module")
def course():
    adata = time_courses()
    adata.var_names = [f"g{i}" for i in range(adata.n_vars)]
    return adata


def fit(adata, **options):
    return scdash.tl.fit_dynamics(
        adata, copy=True, **COURSE | {"prior": PRIOR, "training": scdash.Training(max_epochs=1)} | options
    )


@pytest.mark.parametrize("what", REFUSED)
def test_refused(course, what):
    options, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        fit(course, **options)
    assert "dynamics" not in course.uns


@pytest.mark.parametrize("what", WARNED)
def test_warned(course, what, caplog):
    options, message = WARNED[what]
    with caplog.at_level(logging.WARNING, logger="scdash"):
        fit(course, **options)
    assert any(message in record.getMessage() for record in caplog.records)


def test_nothing_is_warned_about_by_default(course, caplog):
    with caplog.at_level(logging.WARNING, logger="scdash"):
        fit(course)
        fit(course, training=scdash.Training(max_epochs=0), validation=scdash.Validation(null_models=False))
    assert not caplog.records


def test_what_has_an_effect_is_taken(course):
    early = {"schedule": GeometricSchedule(first_epoch=0), "start": "random"}
    modules = {
        "model": scdash.models.Phoenix(encoder="modules", n_hidden=4),
        "sparsity": scdash.sparsity.DASH(scale="paper", no_prior_targets="zero", coregulation=PAIRS),
    }
    assert fit(course, **modules, **early).uns["dynamics"]["params"]["missing"] == "zero"
    assert (
        fit(course, sparsity=scdash.sparsity.PriorPruning(no_prior_targets="zero"), **early).uns["dynamics"]["params"][
            "encoder"
        ]
        == "genes"
    )
    assert (
        fit(
            course, model=scdash.models.MLP((4, 4)), sparsity=scdash.sparsity.DASH(no_prior_targets="zero"), **early
        ).uns["dynamics"]["params"]["scale"]
        == "matched"
    )


def test_bins_that_were_made_before_are_not_made_again():
    bins = scdash.pp.trajectories(cells_of(4), time_key="time", batch_key="batch", n_bins=10)
    with pytest.raises(ValueError, match="n_bins would have no effect.*pp.trajectories"):
        scdash.tl.fit_dynamics(bins, n_bins=20, progress=False, training=scdash.Training(max_epochs=0))


def test_the_other_functions_that_take_them(course):
    with pytest.raises(ValueError, match="n_hidden would have no effect"):
        scdash.tl.cross_validate(course, prior=PRIOR, model=scdash.models.Phoenix(n_hidden=7), **COURSE)
    with pytest.raises(ValueError, match="coregulation would have no effect"):
        scdash.tl.cross_validate(course, prior=PRIOR, sparsity=scdash.sparsity.DASH(coregulation=PAIRS), **COURSE)
    with pytest.raises(ValueError, match="encoder would have no effect"):
        scdash.tl.sparsity_path(course, "mlp", sparsity="l0", encoder="modules", **COURSE)
    with pytest.raises(ValueError, match="n_bins would have no effect"):
        scdash.tl.sparsity_path(course, sparsity="l0", n_bins=9, model="mlp", **COURSE)
    fitted = fit(course, training=scdash.Training(max_epochs=0))
    with pytest.raises(ValueError, match="missing_genes='mean' is for MuData"):
        scdash.tl.predict(fitted, missing_genes="mean")


def test_functions_around_the_fit(course):
    counts = cells_of(2)
    counts.X = np.random.default_rng(0).poisson(3, counts.shape).astype(np.float32)
    with pytest.raises(ValueError, match="batch_key would have no effect"):
        scdash.pp.normalize(counts, batch_key="batch")
    with pytest.raises(ValueError, match="bandwidth would have no effect"):
        scdash.pp.trajectories(cells_of(1), time_key="time", n_bins=8, disjoint=True, bandwidth=3.0)
    fitted = fit(course, training=scdash.Training(max_epochs=0))
    with pytest.raises(ValueError, match="n_probes would have no effect"):
        scdash.tl.gene_influence(fitted, n_starts=2, n_probes=4, method="finite")
    with pytest.raises(ValueError, match="checkpoint would have no effect"):
        scdash.tl.gene_influence(fitted, n_starts=2, method="local", checkpoint="here")
    scdash.tl.gene_influence(fitted, n_starts=2, progress=False)
    sets = {"first": ["g0", "g1", "g2"], "second": ["g3", "g4", "g5"]}
    with pytest.raises(ValueError, match="alternative or max_permutations would have no effect"):
        scdash.tl.pathways(fitted, sets, min_size=2, method="prerank", alternative="less")
    scdash.tl.pathways(fitted, sets, min_size=2, n_permutations=20)
    with pytest.raises(ValueError, match="alpha would have no effect"):
        scdash.get.pathways(fitted, alpha=0.1)


def test_functions_of_screens():
    screen = screen_of(30, strength=0.5, genes=8)
    with pytest.raises(ValueError, match="prior_weight would have no effect: there is no prior"):
        scdash.tl.fit_perturbode(screen, model=scdash.models.PerturbODE(prior_weight=10))
    with pytest.raises(ValueError, match="n_folds would have no effect"):
        scdash.tl.fit_perturbode(screen, model=scdash.models.PerturbODE(fit="transport", n_folds=3))
    scdash.tl.fit_perturbode(screen, progress=False)
    with pytest.raises(ValueError, match="min_size and max_size would have no effect"):
        scdash.tl.modules(screen, min_size=3)
