"""What a knockout means: no expression, which is 0 only where the data are not negative, and of genes that have targets."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scdash
from scdash._data import as_expression, knockout_levels, lowest_values
from scdash.get._biology import perturbation_scores as get_scores
from scdash.networks import held_levels, module_from_entry, rollout
from scdash.screens.held_out import Equilibrium
from scdash.screens.predictors import AtRest, Carried, Constant, LinearScm, predictor_of
from scdash.simulate._sergio import sergio
from scdash.tl import fit_perturbode, gene_influence, perturb, perturbation_scores, perturbation_shift

LOWEST = -2.0  # of G3, in the fixture `scaled`


@pytest.fixture
def scaled(fitted):
    """A fit of data in which every gene was scaled, so that its lowest value is negative."""
    fitted.uns["dynamics"]["lowest"] = np.full(24, LOWEST)
    return fitted


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_lowest_values_are_those_of_the_cells(form):
    X = np.random.default_rng(0).normal(size=(50, 4))
    X[:, 1] = np.abs(X[:, 1])
    X[:, 2] = 0
    np.testing.assert_allclose(lowest_values(as_expression(form(X))), X.min(0))


def test_knockout_is_zero_unless_values_are_negative(fitted):
    assert (knockout_levels(fitted.uns["dynamics"]) == 0).all()  # nothing stored: read from the states
    fitted.uns["dynamics"]["lowest"] = np.r_[-1.5, 0.3, -1e-9, np.zeros(21)]
    np.testing.assert_array_equal(knockout_levels(fitted.uns["dynamics"])[:3], [-1.5, 0, 0])
    del fitted.uns["dynamics"]["lowest"]
    np.asarray(fitted.uns["dynamics"]["series"]["states"])[2, 5] = -0.7
    assert knockout_levels(fitted.uns["dynamics"])[5] == pytest.approx(-0.7)


def test_levels_are_measured_from_no_expression(scaled):
    entry = scaled.uns["dynamics"]
    model, start = module_from_entry(entry), torch.full((2, 24), 1.0)
    highest = float(np.asarray(entry["series"]["states"])[:, 3].max())
    expected = {"knockout": LOWEST, "knockdown": -0.5, "overexpression": highest}
    for kind, level in expected.items():
        assert held_levels(model, entry, "G3", kind, None, start)[3].tolist() == pytest.approx([level] * 2)
    assert held_levels(model, entry, "G3", "knockdown", 0.2, start)[3][0] == pytest.approx(-1.4)
    assert held_levels(model, entry, {"G3": 0.4}, "knockout", None, start)[3][0] == pytest.approx(0.4)


def test_a_fit_stores_the_lowest_value_of_the_rows():
    adata = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=8, n_test=2, noise=0.02, rng=3)
    adata.X = np.asarray(adata.X) - 0.5
    keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
    scdash.tl.fit_dynamics(
        adata,
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
        **keys,
    )
    lowest = np.asarray(adata.X).min(0)
    assert (lowest < 0).all()
    np.testing.assert_allclose(adata.uns["dynamics"]["lowest"], lowest, rtol=1e-6)
    with pytest.raises(ValueError, match="g01"):
        perturb(adata, "g01")


@pytest.mark.parametrize("function", [perturb, perturbation_shift])
def test_a_knock_out_of_scaled_data_needs_a_level(scaled, function):
    with pytest.raises(ValueError, match=r"negative values, as scaled data do.*genes=\{'G3': -2\}"):
        function(scaled, "G3")
    function(scaled, {"G3": LOWEST})


def test_levels_that_the_user_gives_are_kept(scaled, messages):
    assert perturb(scaled, {"G3": 0.0}).uns["perturbation"].to_dict("list") == {"gene": ["G3"], "level": [0.0]}
    assert "scaled" not in messages()


def test_scores_hold_at_the_lowest_value(scaled, messages):
    perturbation_scores(scaled, genes="G3", trajectories="b", models="main")
    model = module_from_entry(scaled.uns["dynamics"])
    states = np.asarray(scaled.uns["dynamics"]["series"]["states"])[5:]
    start, times = torch.as_tensor(states[:1], dtype=torch.float32), torch.tensor([0.0, 4.0])
    held = rollout(model, start, times, held={3: torch.full((1,), LOWEST)})
    difference = (held - rollout(model, start, times))[-1, 0].numpy()
    others = np.arange(24) != 3
    path = (states[-1] - states[0])[others]
    expected = np.linalg.norm(difference[others]) / np.linalg.norm(path)
    assert get_scores(scaled)["score"].item() == pytest.approx(expected, abs=1e-3)
    assert "G3 at -2" in messages()


def test_influence_changes_genes_within_the_values_seen(scaled):
    gene_influence(scaled, n_starts=20, change="low", starts="data", genes=["G3"])
    states = np.asarray(scaled.uns["dynamics"]["series"]["states"])[:, 3]
    assert scaled.varm["dynamics_influence"].loc["G3", "shift"] <= np.ptp(states) / 1.5


def test_genes_without_a_target_are_warned_about(fitted, messages):
    table = perturb(fitted, ["G3", "G0"]).uns["change"].set_index("gene")
    assert table.loc[["G3", "G0"], "n_targets"].tolist() == [7, 0]
    assert "1 of 2 genes have no target" in messages() and "G0" in messages()


@pytest.mark.parametrize("function", [perturbation_scores, gene_influence])
def test_tables_of_many_genes_warn_of_those_that_were_named(fitted, messages, function):
    function(fitted)
    assert "no target" not in messages()  # genes without a target are left out, or were not asked for by name
    function(fitted, genes=["G3", "G0"])
    assert "1 of 2 genes have no target in the fitted network (n_targets is 0): G0" in messages()


def test_influence_stores_the_number_of_targets(fitted):
    gene_influence(fitted, n_starts=5)
    assert fitted.varm["dynamics_influence"].loc[["G3", "G0"], "n_targets"].tolist() == [7, 0]


def test_shift_warns_and_stores_the_number_of_targets(fitted, messages):
    perturbation_shift(fitted, ["G3", "G0"], duration=1.0)
    assert list(fitted.uns["dynamics_shift"]["params"]["n_targets"]) == [7, 0]
    assert "n_targets is 0): G0" in messages()


@pytest.fixture(scope="module")
def screen():
    """A knockout screen of 12 genes, 8 of them perturbed, every gene less its mean."""
    adata = sergio(
        genes=12, n_edges=20, n_perturbations=8, n_targets=1, cells_per_perturbation=30, half_response="mid", rng=2
    )
    adata.X = np.log1p(adata.X)
    adata.X = np.asarray(adata.X) - np.asarray(adata.X).mean(0)
    fit_perturbode(adata, model=scdash.models.PerturbODE(kind="knockout"))
    return adata


def test_a_screen_of_centred_data_knocks_out_to_the_lowest_value(screen, messages):
    entry, lowest = screen.uns["dynamics"], np.asarray(screen.X).min(0)
    np.testing.assert_allclose(entry["lowest"], lowest, rtol=1e-6)
    unseen = np.flatnonzero(np.isnan(np.asarray(entry["screen"]["effect"], float)))
    names = [str(screen.var_names[i]) for i in unseen]
    found = scdash.tl.predict_perturbations(screen, names)
    np.testing.assert_allclose(np.asarray(found.X)[range(len(unseen)), unseen], lowest[unseen], atol=1e-5)
    assert f"{names[0]} at {lowest[unseen[0]]:.3g}" in messages()
    cells = predictor_of(entry).cells(np.asarray(screen.X[:5]), np.eye(12, dtype=bool)[0], "knockout", None)
    assert (cells >= lowest - 1e-6).all() and cells.min() < 0


def test_genes_of_a_screen_without_a_target_are_warned_about(screen, messages):
    edges = screen.uns["dynamics"]["edges"]
    degree = edges[edges["weight"] != 0].groupby("source", observed=True).size()
    degree = degree.reindex(screen.var_names, fill_value=0)
    found = scdash.tl.predict_perturbations(
        screen, [f"{a}+{b}" for a, b in zip(degree.index, degree.index[1:], strict=False)]
    )
    np.testing.assert_array_equal(found.obs["n_targets"], degree.to_numpy()[:-1] + degree.to_numpy()[1:])
    assert (degree == 0).any() == ("n_targets is 0" in messages())


def test_every_predictor_knocks_out_to_the_lowest_value(carried_field):
    centre, lowest = np.array([0.5, 0.2]), np.array([-1.0, 0.0])
    nothing, unseen = np.zeros(2), np.full(2, np.nan)
    model = Equilibrium(np.zeros((2, 2)), nothing, unseen)
    found = [
        AtRest(model, centre, lowest),
        LinearScm(model, np.ones(2), centre, lowest),
        Constant(nothing, unseen, centre, lowest),
    ]
    for predictor in found:
        changed = predictor.changes(np.eye(2, dtype=bool), ("knockout", "knockout"))
        np.testing.assert_allclose(np.diag(changed) + centre, lowest)
    carried = Carried(*carried_field, centre, lowest)
    cells = carried.cells(np.ones((3, 2)), np.array([True, False]), "knockout", None)
    np.testing.assert_allclose(cells[:, 0], lowest[0], atol=0.05)  # decays towards the level


@pytest.fixture
def carried_field():
    from scdash.fields.perturbode import PerturbODE
    from scdash.training.flow import EXPONENTIAL, Flow
    from scdash.training.interventions import Strengths

    field = PerturbODE(n_genes=2, n_modules=1)
    params = field.init(1, torch.Generator().manual_seed(0))
    return field, params, Strengths.from_values(np.ones(2), np.full(2, 0.5)), Flow(20.0, 40, EXPONENTIAL)
