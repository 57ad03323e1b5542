import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scdash._core.errors import NotFittedError
from scdash.get._biology import perturbation_scores as get_scores
from scdash.networks import module_from_entry, rollout
from scdash.networks.interventions import intervene
from scdash.tl._perturb import perturb
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


def one_lineage_of_two_batches(fitted):
    """Both trajectories become batches of a lineage made of what G3 drives; in the second one G3 is off."""
    entry = fitted.uns["dynamics"]
    states = np.asarray(entry["series"]["states"])
    states[:] = states[0]
    states[:5, 3], states[5:, 3] = 3.0, 0.0
    states[[4, 9], 10:16] += 1.5
    entry["series"]["lineage"], entry["lineage_names"] = np.zeros(10, int), np.array(["T cells"])
    return states


def test_knocking_out_the_driver_holds_its_lineage_back(fitted):
    """The path of lineage "a" is made of what G3 drives; that of "b" lies in genes that G3 does not reach."""
    series = fitted.uns["dynamics"]["series"]
    states = np.asarray(series["states"])
    states[:5] = states[0]
    states[:5, 3] = 3.0  # the driver is on
    states[4, 10:16] += 1.5
    states[5:] = states[5]
    states[9, 0:2] += 1.0
    perturbation_scores(fitted, trajectories="a")
    assert get_scores(fitted).loc[0, ["gene", "lineage"]].tolist() == ["G3", "a"]
    perturbation_scores(fitted)
    table = get_scores(fitted).set_index(["lineage", "gene"])
    assert table.loc[("a", "G3"), "along_path"] < -0.1
    assert table.loc[("a", "G3"), "agreement"] == 1
    assert abs(table.loc[("b", "G3"), "along_path"]) < 1e-6  # the end moves, but not along this path
    assert table.loc[("b", "G3"), "score"] > 0.1
    assert set(table.index.get_level_values("gene")) == {"G3", "G6", "G10"}
    perturbation_scores(fitted, kind="overexpression", level=2.0, genes=["G3"], trajectories="a")
    assert get_scores(fitted)["along_path"].item() > 0
    assert "test_mse 0.01" in get_scores(fitted).attrs["report"]


def test_scores_are_the_distance_and_the_part_along_the_path(fitted):
    perturbation_scores(fitted, genes="G3", trajectories="b", models="main")
    model = module_from_entry(fitted.uns["dynamics"])
    states = np.asarray(fitted.uns["dynamics"]["series"]["states"])[5:]
    start, times = torch.as_tensor(states[:1], dtype=torch.float32), torch.tensor([0.0, 4.0])
    difference = rollout(model, start, times, held={3: torch.zeros(1)})[-1, 0] - rollout(model, start, times)[-1, 0]
    others = np.arange(24) != 3
    path, moved = (states[-1] - states[0])[others], difference.numpy()[others]
    row = get_scores(fitted).iloc[0]
    assert row["score"] == pytest.approx(np.linalg.norm(moved) / np.linalg.norm(path), abs=1e-3)
    assert row["along_path"] == pytest.approx(moved @ path / (path @ path), abs=1e-3)
    assert row["expression"] == pytest.approx(states[:, 3].mean())
    assert row["change"] == pytest.approx(states[-1, 3] - states[0, 3])
    assert np.isnan(row[["spread", "batch_spread", "agreement"]].astype(float)).all()
    assert "n_models > 1" in get_scores(fitted).attrs["report"]


def test_scores_of_batches_are_averaged_and_their_spread_is_shown(fitted):
    states = one_lineage_of_two_batches(fitted)
    alone = []
    for trajectory in ("a", "b"):
        perturbation_scores(fitted, genes="G3", trajectories=trajectory)
        alone.append(get_scores(fitted).iloc[0])
        assert alone[-1]["lineage"] == "T cells" and alone[-1]["n_trajectories"] == 1
        assert np.isnan(alone[-1]["batch_spread"])
    assert alone[0]["score"] > alone[1]["score"] + 0.1
    for wanted in (None, "T cells", ["a", "b"]):
        perturbation_scores(fitted, genes="G3", trajectories=wanted)
        row = get_scores(fitted).iloc[0]
        assert len(get_scores(fitted)) == 1 and row["n_trajectories"] == 2
        for column in ("score", "along_path", "expression", "change"):
            assert row[column] == pytest.approx((alone[0][column] + alone[1][column]) / 2, abs=1e-12)
        assert row["batch_spread"] == pytest.approx(np.std([one["score"] for one in alone], ddof=1))
    assert row["expression"] == pytest.approx(states[:, 3].mean())


def test_without_names_a_lineage_is_called_by_its_first_trajectory(fitted):
    one_lineage_of_two_batches(fitted)
    del fitted.uns["dynamics"]["lineage_names"]
    perturbation_scores(fitted, genes="G3")
    assert get_scores(fitted)["lineage"].tolist() == ["a"]


def test_genes_without_a_target_have_no_score_and_stand_last(fitted, messages):
    series = fitted.uns["dynamics"]["series"]
    np.asarray(series["states"])[:, 1] = 9.0
    fitted.uns["dynamics"]["params"]["regulators"] = np.array(["G0", "G1", "G3", "G6"])
    perturbation_scores(fitted, trajectories="a")
    table = get_scores(fitted)
    assert table["gene"].tolist()[2:] == ["G1", "G0"] and set(table["gene"][:2]) == {"G3", "G6"}
    assert table["score"].isna().tolist() == [False, False, True, True]
    assert (table["n_targets"] == 0).tolist() == [False, False, True, True]
    assert table["along_path"].isna().tolist() == table["agreement"].isna().tolist() == [False, False, True, True]
    assert table["expression"].notna().all()
    assert "2 genes have no target" in table.attrs["report"]
    perturbation_scores(fitted, genes=["G0"], trajectories="a")
    assert get_scores(fitted)["score"].isna().all()
    fitted.uns["dynamics"]["params"]["regulators"] = np.array(["G0", "G1"])
    with pytest.raises(ValueError, match="nothing to perturb"):
        perturbation_scores(fitted)


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


def test_the_spread_over_models_is_kept_for_every_time(fitted):
    found = perturb(fitted, "G3")
    models = [
        module_from_entry(fitted.uns["dynamics"], weights) for weights in fitted.uns["dynamics"]["replicates"].values()
    ]
    assert found.layers["spread"].shape == found.shape
    held = {int(np.flatnonzero(models[0].genes == "G3")[0]): torch.zeros(2)}
    times = torch.as_tensor(np.unique(found.obs["time"]))
    starts = torch.as_tensor(found[(found.obs["condition"] == "control") & (found.obs["time"] == 0)].X)
    for condition, options in (("control", {}), ("perturbed", {"held": held})):
        paths = np.array([rollout(model, starts, times, **options).numpy() for model in models])
        rows = found.obs["condition"] == condition
        expected = paths.std(axis=0, ddof=1).swapaxes(0, 1).reshape(-1, found.n_vars)
        np.testing.assert_allclose(found.layers["spread"][rows], expected, atol=1e-5)
    del fitted.uns["dynamics"]["replicates"]
    assert "spread" not in perturb(fitted, "G3").layers


def test_changes_end_at_0_for_genes_that_are_never_below_it(fitted):
    entry = fitted.uns["dynamics"]
    entry["minimum"][4] -= 1.0  # what G3 represses, below 0
    found = perturb(fitted, {"G3": 20.0}, times=[0.0, 40.0])
    free, held = (found[found.obs["condition"] == name] for name in ("control", "perturbed"))
    last = found.obs["time"].max()
    ends = [part[part.obs["time"] == last].to_df() for part in (free, held)]
    assert (ends[1].drop(columns="G3") < 0).any(axis=None)  # what the model says
    table = found.uns["change"].set_index("gene")
    others = table.index.drop("G3")
    assert (table.loc[others, ["control", "perturbed"]] >= 0).all(axis=None)
    assert table.loc["G3", "perturbed"] == 20  # as it was asked for
    for name, end in zip(("control", "perturbed"), ends, strict=True):
        np.testing.assert_allclose(table.loc[others, name], end[others].clip(lower=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(table["change"], table["perturbed"] - table["control"])
    below = others[(ends[1][others] < 0).any()][0]
    place = list(entry["genes"]).index(below)
    entry["series"]["states"][0, place] = -0.5  # its data go below 0: so may the prediction
    again = perturb(fitted, {"G3": 20.0}, times=[0.0, 40.0]).uns["change"].set_index("gene")
    assert again.loc[below, "perturbed"] < table.loc[below, "perturbed"]


def test_the_observed_states_are_those_of_the_fit_without_re_drawn_ones(fitted):
    series = fitted.uns["dynamics"]["series"]
    names = np.array([str(name) for name in series["trajectory"]])
    first = names == names[0]
    series["origin"] = np.where(first, names, names[0])  # all others are made of its cells
    observed = perturb(fitted, "G3", start=None).uns["observed"]
    assert set(observed["trajectory"]) == {names[0]}
    np.testing.assert_allclose(observed["states"], np.asarray(series["states"])[first], rtol=1e-6)
    np.testing.assert_allclose(observed["time"], np.asarray(series["time"])[first])
