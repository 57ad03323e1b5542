import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scdash._errors import NotFittedError
from scdash.get._biology import perturbation_scores as get_scores
from scdash.networks import module_from_entry, rollout
from scdash.networks._interventions import intervene
from scdash.tl._perturbation_scores import perturbation_scores
from scdash.tl._perturbation_shift import perturbation_shift


def test_interventions_of_a_batch_equal_rollouts_one_by_one(fitted):
    model = module_from_entry(fitted.uns["dynamics"])
    rng = np.random.default_rng(0)
    starts, held = rng.random((5, 24)) * 3, np.zeros((5, 24), bool)
    held[0, 3] = held[1, 6] = held[2, [3, 10]] = True
    found = intervene(model, starts, 2.0, held, np.full((5, 1), 0.7))
    for row in range(5):
        columns = {int(c): torch.tensor([0.7]) for c in np.flatnonzero(held[row])}
        start = torch.as_tensor(starts[row : row + 1], dtype=torch.float32)
        expected = rollout(model, start, torch.tensor([0.0, 2.0]), held=columns)[-1, 0].numpy()
        np.testing.assert_allclose(found[row], expected, atol=2e-3)
    assert (found[held] == np.float32(0.7)).all()


def test_knocking_out_the_driver_holds_its_lineage_back(fitted):
    """The path of lineage "a" is made of what G3 drives; that of "b" lies in genes that G3 does not reach."""
    series = fitted.uns["dynamics"]["series"]
    states = np.asarray(series["states"])
    states[:5] = states[0]
    states[:5, 3] = 3.0  # the driver is on
    states[4, 10:16] += 1.5
    states[5:] = states[5]
    states[9, 0:2] += 1.0
    perturbation_scores(fitted)
    table = get_scores(fitted).set_index(["trajectory", "gene"])
    assert get_scores(fitted).loc[0, ["gene", "trajectory"]].tolist() == ["G3", "a"]
    assert table.loc[("a", "G3"), "score"] < -0.1
    assert table.loc[("a", "G3"), "agreement"] == 1
    assert abs(table.loc[("b", "G3"), "score"]) < 1e-6
    assert set(table.index.get_level_values("gene")) == {"G3", "G6", "G10"}
    perturbation_scores(fitted, kind="overexpression", level=2.0, genes=["G3"], trajectories="a")
    assert get_scores(fitted)["score"].item() > 0
    assert "test_mse 0.01" in get_scores(fitted).attrs["report"]


def test_score_is_the_published_projection(fitted):
    perturbation_scores(fitted, genes="G3", trajectories="b", models="main")
    model = module_from_entry(fitted.uns["dynamics"])
    states = np.asarray(fitted.uns["dynamics"]["series"]["states"])[5:]
    start, times = torch.as_tensor(states[:1], dtype=torch.float32), torch.tensor([0.0, 4.0])
    difference = rollout(model, start, times, held={3: torch.zeros(1)})[-1, 0] - rollout(model, start, times)[-1, 0]
    others = np.arange(24) != 3
    path = (states[-1] - states[0])[others]
    expected = difference.numpy()[others] @ path / (path @ path)
    assert get_scores(fitted)["score"].item() == pytest.approx(expected, abs=1e-3)
    assert np.isnan(get_scores(fitted)["spread"].item())
    assert "n_models > 1" in get_scores(fitted).attrs["report"]


def test_a_model_no_better_than_a_constant_is_said_to_be_so(fitted):
    fitted.uns["dynamics"]["metrics"]["test_mse"] = 0.06
    perturbation_scores(fitted)
    assert "no better than a trivial predictor" in get_scores(fitted).attrs["report"]


def test_shift_of_cells_by_group(fitted):
    fitted.obs["lineage"] = ["x"] * 30 + ["y"] * 10
    before = fitted.X.copy()
    perturbation_shift(fitted, "G3", groupby="lineage", duration=1.0)
    np.testing.assert_array_equal(fitted.X, before)
    shift = fitted.layers["dynamics_shift"]
    assert shift.nnz == 40 * 24 and shift[:, 24:].nnz == 0 and fitted.var["dynamics_shift_genes"].sum() == 24
    shift = shift.toarray()
    reached = [3, 4, *range(10, 16), 20]
    assert (np.abs(shift[:, reached]) > 0).all()
    assert np.abs(np.delete(shift[:, :24], reached, axis=1)).max() < 1e-6
    np.testing.assert_allclose(shift[:, 3], -before[:, 3], atol=1.5)  # held at 0, the other relaxes
    assert (shift[:, 10:16] < 0).all()
    assert (shift[:, 4] > 0).all()
    table = fitted.uns["dynamics_shift"]["table"]
    assert set(table["group"]) == {"x", "y"}
    assert "G3" not in set(table["gene"])
    row = table[(table["group"] == "y") & (table["gene"] == "G12")]
    assert row["change"].item() == pytest.approx(shift[30:, 12].mean(), rel=1e-5)


def test_results_survive_h5ad(fitted, tmp_path):
    fitted.obs["lineage"] = pd.Categorical(["x"] * 40)
    perturbation_scores(fitted)
    perturbation_shift(fitted, {"G3": 1.0}, groupby="lineage")
    fitted.write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(get_scores(again), get_scores(fitted))
    np.testing.assert_array_equal(again.layers["dynamics_shift"].toarray(), fitted.layers["dynamics_shift"].toarray())


def test_bad_arguments_name_themselves(fitted):
    with pytest.raises(NotFittedError, match="perturbation_scores"):
        get_scores(fitted)
    with pytest.raises(KeyError, match="G3"):
        perturbation_scores(fitted, genes=["g3x"])
    with pytest.raises(ValueError, match="trajectory 'c'"):
        perturbation_scores(fitted, trajectories="c")
    with pytest.raises(ValueError, match="positive"):
        perturbation_shift(fitted, "G3", duration=-1)
    with pytest.raises(KeyError, match="groupby|lineage"):
        perturbation_shift(fitted, "G3", groupby="lineage")


@pytest.mark.parametrize(("error", "worse"), [(0.4, False), (1.0, True)])
def test_scores_of_a_model_that_was_judged_by_folds_are_told_its_error_over_that_of_a_constant(fitted, error, worse):
    fitted.uns["dynamics"]["metrics"] = {"held_out_error": error}
    perturbation_scores(fitted)
    report = get_scores(fitted).attrs["report"]
    assert f"held-out error {error:.3g} of a constant's" in report
    assert ("no better than a trivial predictor" in report) is worse
