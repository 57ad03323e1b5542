"""Every argument of fit_perturbode is reachable through fit_dynamics, and bad input is named before anything is written."""

import inspect
import logging

import numpy as np
import pytest

import scdash
from scdash.models import PerturbODE, Transport
from scdash.tl._perturbode import OF_SCREENS


def test_fit_dynamics_takes_every_argument_of_fit_perturbode():
    ours = set(inspect.signature(scdash.tl.fit_perturbode).parameters)
    assert ours <= set(inspect.signature(scdash.tl.fit_dynamics).parameters)
    assert ours == {*OF_SCREENS, "adata", "key_added", "copy"}


def test_fit_dynamics_is_fit_perturbode(small, matched):
    again = scdash.tl.fit_dynamics(small, model="perturbode", perturbation_key="perturbation", copy=True)
    assert (again.varp["dynamics_grn"] != matched.varp["dynamics_grn"]).nnz == 0
    assert list(again.uns["dynamics"]) == list(matched.uns["dynamics"])


def test_arguments_of_screens_reach_the_fit(small):
    training = {"steps": 20, "n_modules": 4, "check_every": 10}
    fit = scdash.tl.fit_dynamics(
        small,
        sparsity="none",
        copy=True,
        model=scdash.models.PerturbODE(fit=scdash.models.Transport(**training), hold_out=["G003"]),
    )
    params = fit.uns["dynamics"]["params"]
    assert params["fit"] == "transport" and params["field_config"]["n_modules"] == 4 and params["sparsity"] == "none"
    assert "G003" not in fit.uns["dynamics"]["screen"]["perturbations"]
    assert set(fit.uns["dynamics"]["held_out"]["perturbation"]) == {"G003"}


REFUSED = {
    "training": (
        lambda: {"trajectory_key": "hours", "training": scdash.Training(max_epochs=3)},
        ValueError,
        "training, trajectory_key.*Tran",
    ),
    "n_models": (lambda: {"n_models": 2}, ValueError, "n_models: not for model='perturbode'"),
    "validation": (lambda: {"validation": scdash.Validation()}, ValueError, "validation: not for"),
    "start": (lambda: {"start": "random"}, ValueError, "start: not for"),
    "lambdas": (lambda: {"sparsity": scdash.sparsity.DASH(lambdas="cv")}, ValueError, "lambdas"),
    "coregulation": (lambda: {"sparsity": scdash.sparsity.DASH(coregulation="x")}, ValueError, "coregulation"),
    "sparsity": (lambda: {"sparsity": "imp"}, ValueError, "transport"),
    "n_folds, transport": (
        lambda: {"model": PerturbODE(fit=Transport(), n_folds=3)},
        ValueError,
        "n_folds would have no",
    ),
    "bio": (lambda: {"model": PerturbODE(fit="transport"), "sparsity": "bio"}, ValueError, "prior"),
    "posthoc": (lambda: {"model": PerturbODE(fit="transport"), "sparsity": "posthoc"}, ValueError, "posthoc"),
    "solver": (lambda: {"model": PerturbODE(fit=Transport(solver="dopri"))}, ValueError, "dopri5"),
    "steps": (lambda: {"model": PerturbODE(fit=Transport(steps=0))}, ValueError, "steps must be positive"),
    "kind": (lambda: {"model": PerturbODE(kind="ko")}, ValueError, "knockout"),
    "kind of a label": (lambda: {"model": PerturbODE(kind={"G001": "knock"})}, ValueError, "Did you mean 'knockout'"),
    "fit": (lambda: {"model": PerturbODE(fit="transprt")}, ValueError, "Did you mean 'transport'"),
    "n_folds": (lambda: {"model": PerturbODE(n_folds=1)}, ValueError, "n_folds must be at least 2"),
    "min_cells": (lambda: {"model": PerturbODE(min_cells=0)}, ValueError, "min_cells must be at least 1"),
    "prior_weight": (lambda: {"model": PerturbODE(prior_weight=0.5)}, ValueError, "prior_weight must be at least 1"),
    "unknown_targets": (
        lambda: {"model": PerturbODE(unknown_targets="ignore")},
        ValueError,
        "unknown_targets 'ignore'",
    ),
    "hold_out": (lambda: {"model": PerturbODE(hold_out=["G999"])}, ValueError, "G999"),
    "hold_out, control": (lambda: {"model": PerturbODE(hold_out=["control"])}, ValueError, "control"),
    "regulators": (lambda: {"regulators": ["nope"]}, KeyError, "nope"),
    "an unknown setting": (lambda: {"model": PerturbODE(folds=3)}, TypeError, "folds"),
    "an unknown argument": (lambda: {"folds": 3}, TypeError, "folds"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_go_unused_is_refused(small, what):
    arguments, error, message = REFUSED[what]
    before = set(small.uns)
    with pytest.raises(error, match=message):
        scdash.tl.fit_dynamics(small, **{"model": "perturbode"} | arguments())
    assert set(small.uns) == before and not small.layers


def test_a_model_of_time_is_none_of_a_screen(small):
    with pytest.raises(TypeError, match=r"scdash\.models\.PerturbODE\(\.\.\.\), found 'phoenix'"):
        scdash.tl.fit_perturbode(small, model="phoenix")


# the bad input that the issue names, through the one entry point


def test_unknown_genes_are_named(small):
    adata = small.copy()
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str).replace({"G001": "MYC", "G002": "G0022"})
    with pytest.raises(
        ValueError, match="2 perturbation target.*G0022, MYC.*Did you mean.*unknown_targets|2 perturb.*MYC"
    ):
        scdash.tl.fit_dynamics(adata, model="perturbode")
    assert "dynamics" not in adata.uns
    scdash.tl.fit_dynamics(adata, model=scdash.models.PerturbODE(unknown_targets="drop"))
    assert "MYC" not in adata.uns["dynamics"]["screen"]["perturbations"]


def test_an_absent_control_suggests_labels(small):
    with pytest.raises(ValueError, match="control='ctrl': no cell carries this label.*'control'"):
        scdash.tl.fit_dynamics(small, model="perturbode", control="ctrl")
    guides = small.copy()
    guides.obs["perturbation"] = guides.obs["perturbation"].astype(str).replace("control", "non-targeting")
    with pytest.raises(ValueError, match="Labels that name no gene: 'non-targeting'"):
        scdash.tl.fit_dynamics(guides, model="perturbode")


def test_labels_of_controls_and_of_guides_are_recognised_in_errors(small):
    labels = small.obs["perturbation"].astype(str)
    several = small.copy()
    places = np.flatnonzero(labels == "control")
    names = labels.to_numpy(dtype=object)
    names[places] = np.array(["NT", "non-targeting", "safe-targeting"])[np.arange(len(places)) % 3]
    several.obs["perturbation"] = names
    with pytest.raises(ValueError, match=r"look like controls: control=\['NT', 'non-targeting', 'safe-targeting'\]"):
        scdash.tl.fit_perturbode(several)
    with pytest.raises(ValueError, match=r"look like controls: control=\['NT', 'non-targeting', 'safe-targeting'\]"):
        scdash.tl.fit_perturbode(several, control="NT")
    scdash.tl.fit_perturbode(several, control=["NT", "non-targeting", "safe-targeting"])
    guides = small.copy()
    guides.obs["guide"] = [f"{name}_g{i % 2 + 1}" for i, name in enumerate(labels.replace("control", "NT"))]
    with pytest.raises(ValueError, match=r"name of a gene and more.*assign_guides\(adata, guide_key=") as error:
        scdash.tl.fit_perturbode(guides, perturbation_key="guide", control="NT")
    assert "look" in str(error.value) and "control='NT_g" in str(error.value).replace("[", "")


def test_perturbations_with_too_few_cells_are_left_out_with_a_warning(small, caplog):
    labels = small.obs["perturbation"].astype(str)
    few = small[(labels != "G002") | (np.arange(small.n_obs) % 6 == 0)].copy()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.fit_dynamics(few, model="perturbode")
    assert "1 perturbation(s) with fewer than 10 cells are left out: G002" in caplog.text
    with pytest.raises(ValueError, match="min_cells"):
        scdash.tl.fit_dynamics(few, model=scdash.models.PerturbODE(min_cells=31))


def test_all_zero_genes_are_named_and_get_no_edges(small, caplog):
    adata = small.copy()
    adata.X[:, [7, 9]] = 0
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.fit_dynamics(adata, model="perturbode")
    assert "2 gene(s) never vary and get no edges: G007, G009" in caplog.text
    grn = adata.varp["dynamics_grn"]
    assert grn[[7, 9]].nnz == 0 and grn[:, [7, 9]].nnz == 0


def test_counts_are_refused_with_the_remedy(small):
    adata = small.copy()
    adata.X = np.round(np.expm1(adata.X))
    with pytest.raises(ValueError, match=r"raw counts.*scdash\.pp\.normalize"):
        scdash.tl.fit_dynamics(adata, model="perturbode")


@pytest.mark.parametrize("function", ["cross_validate", "sparsity_path", "fit_dynamics"])
@pytest.mark.parametrize("arguments", [{}, {"perturbation_key": "perturbation"}])
def test_what_needs_time_says_what_to_do_with_a_screen(small, function, arguments):
    with pytest.raises((KeyError, ValueError), match=r"fit_perturbode\(adata, perturbation_key=.*tl\.stability"):
        getattr(scdash.tl, function)(small, **arguments)


@pytest.mark.parametrize("function", ["cross_validate", "sparsity_path"])
def test_what_chooses_settings_of_dynamics_refuses_the_model_of_a_screen(small, function):
    with pytest.raises(ValueError, match=r"perturbation screens\. .*held-out perturbations \(scdash\.get\.history\)"):
        getattr(scdash.tl, function)(small, model="perturbode", perturbation_key="perturbation")


def test_a_stored_screen_is_seen_whatever_its_column_is_called(small):
    from scdash._core.keys import has_screen

    other = small.copy()
    other.obs = other.obs.rename(columns={"perturbation": "target"})
    assert has_screen(small) and not has_screen(other)
    other.uns["mine"] = {"params": {}, "screen": {}}
    assert has_screen(other)
