"""Arguments that would have no effect are refused, or warned about where they have one on the tables alone."""

import logging

import numpy as np
import pytest

import scdash
from scdash import Regression, Training, Validation
from scdash.models import Phoenix
from scdash.sparsity import DASH, GeometricSchedule, PriorPruning

from .data import COURSE, PRIOR, cells_of, screen_of, time_courses

PAIRS = PRIOR.rename(columns={})
# values are made when the test runs: most are refused as they are made
REFUSED = {
    "n_hidden, one unit a gene": (lambda: {"model": Phoenix(n_hidden=30)}, "n_hidden would have no effect: encoder='genes'"),
    "n_hidden, the default number": (lambda: {"model": Phoenix(n_hidden=40)}, "n_hidden would have no effect"),
    "n_bins, states": (lambda: {"observations": scdash.Cells(n_bins=30)}, "too few for n_bins=30"),
    "coregulation, genes": (lambda: {"sparsity": DASH(coregulation=PAIRS)}, "coregulation would have no effect.*modules"),
    "coregulation, mlp": (lambda: {"model": "mlp", "sparsity": DASH(coregulation=PAIRS)}, "coregulation would have no effect"),
    "coregulation, no prior": (
        lambda: {"prior": None, "model": Phoenix(encoder="modules"), "sparsity": DASH(coregulation=PAIRS)},
        "coregulation would have no effect.*without a prior",
    ),
    "lambdas, no prior": (lambda: {"prior": None, "sparsity": DASH(lambdas=0.3)}, "lambdas would have no effect.*prior"),
    "scale, no prior": (lambda: {"prior": None, "sparsity": DASH(scale="paper")}, "scale would have no effect.*prior"),
    "control": (lambda: {"control": False}, "control=False is for model='perturbode'.*Did you mean .*null_models=False"),
    "control, a label": (lambda: {"control": "wild type"}, "control='wild type' is for model='perturbode'"),
    "perturbation_key": (lambda: {"perturbation_key": "guide"}, "perturbation_key is for model='perturbode'"),
    "two lambdas, one layer": (lambda: {"sparsity": DASH(lambdas=(0.1, 0.9))}, "first of lambdas would have no effect"),
    "start, mlp": (lambda: {"model": "mlp", "start": Regression(products=2)}, "model='mlp' has none to take"),
    "start, posthoc": (lambda: {"sparsity": "posthoc", "start": "regression"}, "needs start='random'"),
    "learning_rate, no epoch": (lambda: {"training": Training(max_epochs=0, learning_rate=0.1)}, "learning_rate would have"),
    "checkpoint_every": (lambda: {"training": Training(checkpoint_every=3)}, "checkpoint_every would have no effect"),
    "checkpoint, posthoc": (
        lambda: {"sparsity": "posthoc", "training": Training(max_epochs=2, checkpoint="x.npz")}, "checkpoint would have no",
    ),
}  # fmt: skip
OF_THE_WRONG_KIND = {
    "a class": ({"model": scdash.models.MLP}, r"did you mean MLP\(\)"),
    "a class of a method": ({"sparsity": DASH}, r"did you mean DASH\(\)"),
    "a field of the package": ({"model": scdash.fields.Phoenix(16)}, "pass scdash.models.Phoenix"),
    "a dictionary": ({"training": {"max_epochs": 3}}, "training must be a scdash.Training"),
    "a flag": ({"validation": False}, "validation must be a scdash.Validation"),
}
WARNED = {
    "prior, mlp": ({"model": "mlp", "sparsity": "none"}, "the prior takes no part in this fit: model='mlp'"),
    "prior, random weights": ({"sparsity": "none", "start": "random"}, "the prior takes no part in this fit"),
    "schedule": (
        {"sparsity": DASH(schedule=GeometricSchedule()), "training": Training(max_epochs=0)},
        "schedule: without any effect",
    ),
    "lambdas": ({"sparsity": DASH(lambdas=0.5), "training": Training(max_epochs=0)}, "lambdas: without any effect"),
    "null_models": (
        {"training": Training(max_epochs=0), "validation": Validation(null_models="full")},
        "null_models='full' is without any effect",
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
        fit(course, **options())
    assert "dynamics" not in course.uns


@pytest.mark.parametrize("what", OF_THE_WRONG_KIND)
def test_values_of_the_wrong_kind_are_named(course, what):
    options, message = OF_THE_WRONG_KIND[what]
    with pytest.raises(TypeError, match=message):
        fit(course, **options)


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
    early, start = GeometricSchedule(first_epoch=0), {"start": "random"}
    dash = DASH(scale="paper", no_prior_targets="zero", coregulation=PAIRS, schedule=early)
    params = fit(course, model=Phoenix("modules", n_hidden=4), sparsity=dash, **start).uns["dynamics"]["params"]
    assert params["no_prior_targets"] == "zero" and params["scale"] == "paper" and params["encoder"] == "modules"
    bio = PriorPruning(no_prior_targets="zero", schedule=early)
    assert fit(course, sparsity=bio, **start).uns["dynamics"]["params"]["encoder"] == "genes"
    dash = DASH(no_prior_targets="zero", schedule=early)
    params = fit(course, model=scdash.models.MLP((4, 4)), sparsity=dash, **start).uns["dynamics"]["params"]
    assert params["scale"] == "matched"


def test_bins_that_were_made_before_are_not_made_again():
    bins = scdash.pp.trajectories(cells_of(4), time_key="time", batch_key="batch", n_bins=10)
    with pytest.raises(ValueError, match="n_bins would have no effect.*pp.trajectories"):
        scdash.tl.fit_dynamics(
            bins, observations=scdash.Cells(n_bins=20), progress=False, training=scdash.Training(max_epochs=0)
        )


def test_the_other_functions_that_take_them(course):
    with pytest.raises(ValueError, match="n_hidden would have no effect"):
        scdash.tl.cross_validate(course, prior=PRIOR, model=Phoenix(n_hidden=7), **COURSE)
    with pytest.raises(ValueError, match="coregulation would have no effect"):
        scdash.tl.cross_validate(course, prior=PRIOR, sparsity=scdash.sparsity.DASH(coregulation=PAIRS), **COURSE)
    with pytest.raises(ValueError, match="start would have no effect"):
        scdash.tl.sparsity_path(course, model="phoenix", sparsity="l0", start="regression", **COURSE)
    for function in (scdash.tl.sparsity_path, scdash.tl.cross_validate):
        sparsity = {} if function is scdash.tl.cross_validate else {"sparsity": "l0"}
        with pytest.raises(ValueError, match="checkpoint would have no effect"):
            function(course, training=Training(checkpoint="x.npz"), **sparsity, **COURSE)
        with pytest.raises(TypeError, match="unexpected keyword argument 'max_epochs'"):
            function(course, max_epochs=3, **COURSE)
    with pytest.raises(ValueError, match="too few for n_bins=9"):
        scdash.tl.sparsity_path(course, sparsity="l0", observations=scdash.Cells(n_bins=9), model="mlp", **COURSE)
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
