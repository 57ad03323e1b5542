"""Arguments that cannot be right: the error names the argument, says what was found, and nothing was changed."""

import numpy as np
import pandas as pd
import pytest

import scdash

from . import cases
from .cases import COURSE, SHORT, public
from .same import difference


def without(make, *, cells=None, **slots):
    """Return data as `make` makes them, cut to some cells or with something in `obs` set."""

    def changed():
        data = make()
        data = data if cells is None else data[:cells].copy()
        for name, value in slots.items():
            data.obs[name] = value
        return data

    return changed


def only_control():
    return without(cases.screen, perturbation="control")()


def few_pairs():
    data = cases.paired()
    names = ["other" + name if i > 2 else name for i, name in enumerate(data["rna"].obs_names)]
    parts = {name: part.copy() for name, part in data.mod.items()}
    parts["rna"].obs_names = names
    return type(data)(parts)


def no_matrix(which):
    def changed():
        data = cases.raw_pairs()
        parts = {name: part.copy() for name, part in data.mod.items()}
        parts[which].X = None
        return type(data)(parts)

    return changed


def lost_positions():
    data = cases.sbnn()
    data.obsm["X_sbnn"] = np.where(np.arange(len(data.obsm["X_sbnn"]))[:, None] < 5, data.obsm["X_sbnn"], np.nan)
    return data


STATES = {name: value for name, value in COURSE.items() if name != "split_key"}
WRONG = [
    ("pp.order_cells", cases.cells, {"root": ("root", "yes"), "method": "gaus"}, ValueError, "Did you mean 'gauss'"),
    ("pp.order_cells", without(cases.cells, side=["a"] * 57 + ["b"] * 3),
     {"root": ("root", "yes"), "lineage_key": "side"}, ValueError, "'b' has 3 cells; too few to order|no cell of 'b'"),
    ("pp.order_cells", without(cases.cells, side=["a"] * 30 + ["b"] * 30),
     {"root": ("root", "yes"), "lineage_key": "side"}, ValueError, r"no cell of 'b' has adata.obs\['root'\] == 'yes'"),
    ("pp.trajectories", cases.cells, {"min_cells": 61}, ValueError, "60 cells, too few for n_bins=20 and min_cells=61"),
    ("pp.filter_perturbations", cases.screen, {"require": "most"}, ValueError, "require must be 'all' or 'any'"),
    ("pp.filter_perturbations", cases.screen, {"max_p": 0.0}, ValueError, r"max_p must lie in \(0, 1\]"),
    ("pp.filter_perturbations", only_control, {}, ValueError, "no cell is perturbed"),
    ("pp.normalize_paired", cases.raw_pairs, {"target_sum": -1.0}, ValueError, "target_sum must be positive"),
    ("pp.normalize_paired", cases.raw_pairs, {"layer": "count"}, KeyError, "'count' is not in rna.layers"),
    ("pp.normalize_paired", no_matrix("rna"), {}, ValueError, r"rna.X is empty \(None\)"),
    ("pp.normalize_paired", lambda: pd.DataFrame(), {}, TypeError, "mdata must be a MuData or an AnnData, found Data"),
    ("tl.fit_dynamics", cases.course, STATES | {"observations": "bins"}, ValueError, "observations 'bins'"),
    ("tl.fit_dynamics", cases.course, STATES | {"batch_key": "trajectory"}, ValueError, "batch_key is for cells"),
    ("tl.fit_dynamics", without(cases.course, split="train"), COURSE, ValueError, "leaves no validation state"),
    ("tl.fit_dynamics", cases.course, COURSE | {"perturbation_key": "x"}, ValueError, "is for model='perturbode'"),
    ("tl.fit_dynamics", cases.course, COURSE | {"regulators": "is_tf"}, KeyError, "'is_tf' is not a column of adata.var"),
    ("tl.fit_dynamics", cases.course, COURSE | {"sparsity": "posthoc", "start": "regression"}, ValueError, "trained dense"),
    ("tl.fit_dynamics", cases.course, COURSE | {"model": "mlp", "sparsity": "none", "start": "regression"}, ValueError,
     "model='mlp' has none to take"),
    ("tl.cross_validate", cases.course, COURSE | {"prior": cases.prior, "grid": []}, ValueError, "grid holds no setting"),
    ("tl.cross_validate", cases.course, COURSE | {"prior": None}, ValueError, "nothing to choose without a prior"),
    ("tl.cross_validate", cases.course, COURSE | {"prior": cases.prior, "budget": 1}, ValueError, "at least 2, found 1"),
    ("tl.stability", cases.course, COURSE | {"n_repeats": 1}, ValueError, "n_repeats must be at least 2"),
    ("tl.stability", cases.course, COURSE | {"copy": True}, ValueError, "refits are not kept"),
    ("tl.stability", cases.course, COURSE | {"prior_weigth": 3}, TypeError, "prior_weigth belong to paired modalities"),
    ("tl.predict", cases.fitted, {"times": [1, 0]}, ValueError, r"increasing times since the start.*found \[1\.0, 0\.0\]"),
    ("tl.perturb", cases.fitted, {"genes": "g00", "kind": "knock"}, ValueError, "kind must be one of"),
    ("tl.perturb", cases.fitted, {"genes": "g00", "level": 2.0}, ValueError, "level=2.0 .* knockdown and overexpr"),
    ("tl.gene_influence", cases.fitted, {"models": "first"}, ValueError, "models 'first'"),
    ("tl.perturbation_scores", cases.fitted, {"models": "first"}, ValueError, "models 'first'"),
    ("tl.pathways", cases.fitted, {"gene_sets": cases.SETS, "score": "absolut"}, ValueError, "Did you mean 'absolute'"),
    ("tl.pathways", cases.fitted, {"gene_sets": cases.SETS, "scores": {"dynamics": pd.Series(dtype=float)}}, ValueError,
     "'dynamics' is taken by a fit"),
    ("tl.pathways", cases.fitted, {"gene_sets": cases.SETS, "scores": {"x": [1, 2]}}, TypeError, "must be a pandas Series"),
    ("tl.network_stats", cases.fitted, {"n_random": -1}, ValueError, "n_random must be at least 1"),
    ("tl.modules", cases.screen_fit, {"n_modules": 0}, ValueError, "n_sd and n_modules must be positive"),
    ("tl.modules", cases.fitted, {}, ValueError, "modules are for PerturbODE; this fit is 'phoenix'"),
    ("tl.predict_perturbations", cases.fitted, {"perturbations": ["g00"]}, ValueError, "is no fit of a screen"),
    ("tl.fit_perturbode", cases.screen, {"model": scdash.models.PerturbODE(min_cells=1000)}, ValueError,
     "at least 1000 are needed"),
    ("tl.sbnn", few_pairs, SHORT, ValueError, r"share 3 cell\(s\); at least 4"),
    ("tl.sbnn", no_matrix("ephys"), SHORT | {"allow_counts": True}, ValueError, r"mdata\['ephys'\].X is empty"),
    ("tl.latent_tsne", cases.paired, {}, KeyError, r"Run `scdash.tl.sbnn\(mdata, key_added='sbnn'\)` first"),
    ("tl.latent_tsne", lost_positions, {}, ValueError, "Only 5 cells have a latent position"),
    ("get.selected_genes", cases.paired, {}, KeyError, "sbnn"),
    ("pl.influence", cases.fitted, {"n_top": 0}, ValueError, "n_top must be at least 1"),
    ("pl.pathways", cases.fitted, {"n_top": 0}, ValueError, "n_top must be at least 1"),
    ("pl.effects", cases.fitted, {"regulators_on": "row"}, ValueError, "Did you mean 'rows'"),
    ("pl.velocity", lambda: {}, {}, TypeError, "adata must be an AnnData, found dict"),
    ("pl.trends", cases.fitted, {"genes": ["g00"], "trajectories": []}, ValueError, "trajectories is empty"),
    ("pl.history", lambda: {}, {}, TypeError, "history must be a pandas DataFrame, found dict"),
    ("pl.perturbation", cases.fitted, {"predicted": None}, ValueError, "is no fit of a screen"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "arguments", "error", "match"), WRONG, ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG)]
)
def test_wrong_arguments_are_named_and_nothing_is_changed(name, data, arguments, error, match, tally):
    given, before = data(), data()
    with pytest.raises(error, match=match) as raised:
        public(name)(given, **arguments)
    assert len(str(raised.value)) > 25
    assert difference(given, before) is None
    tally("wrong arguments: named, data unchanged")


NETWORK = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [1.0, -1.0]})
KINETICS = pd.DataFrame({"decay": [1.0]}, index=["A"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"network": NETWORK.rename(columns={"source": "from"})}, "columns 'source' and 'target' are needed"),
        ({"network": NETWORK, "genes": ["A", "B"]}, "'C' is not among `genes`"),
        ({"network": NETWORK, "genes": ["A", "B", "C", "C"]}, "names must be unique"),
        ({"network": NETWORK, "kinetics": KINETICS}, "kinetics: columns .* are needed"),
    ],
)
def test_wrong_networks_are_refused_by_the_simulation(arguments, match, tally):
    with pytest.raises(ValueError, match=match):
        scdash.simulate.sergio(**arguments)
    tally("wrong arguments: named, data unchanged")


def test_verbosity_is_one_of_four():
    with pytest.raises(ValueError, match="verbosity must be 0, 1, 2 or 3, found 7"):
        scdash.settings.verbosity = 7
