import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scdash._core.errors import NotFittedError
from scdash.get._biology import influence, perturbable_genes, subnetwork
from scdash.networks.influences.of_fit import gene_range, perturbations
from scdash.tl._influence import gene_influence


def test_the_hub_comes_first_and_genes_without_targets_last(fitted):
    before = fitted.X.copy()
    assert gene_influence(fitted, n_starts=20) is None
    np.testing.assert_array_equal(fitted.X, before)
    table = influence(fitted)
    assert table.loc[0, "gene"] == "G3"
    assert len(table) == 24
    reach = table.set_index("gene")["absolute"]
    assert (reach[["G3", "G10", "G6"]] > 0).all()
    assert (reach.drop(["G3", "G10", "G6"]) == 0).all()
    assert table.loc[0, "out_degree"] == 7
    assert table.loc[0, "signed"] > 0  # six targets up, one down
    assert fitted.varm["dynamics_influence"].loc["G29"].isna().all()
    assert fitted.varm["dynamics_influence"].index.equals(fitted.var_names)


def test_spread_and_agreement_come_from_the_replicates(fitted):
    gene_influence(fitted, n_starts=10)
    entry = fitted.uns["dynamics_influence"]
    assert entry["by_model"].shape == (24, 3)
    table = influence(fitted).set_index("gene")
    assert table.loc["G3", "spread"] == pytest.approx(entry["by_model"][3].std(ddof=1))
    assert table.loc["G3", "absolute"] == pytest.approx(entry["by_model"][3].mean())
    assert entry["agreement"]["models"] == 3
    gene_influence(fitted, n_starts=10, models="main")
    assert fitted.uns["dynamics_influence"]["by_model"].shape == (24, 1)
    assert np.isnan(influence(fitted).loc[0, "spread"])
    assert influence(fitted).set_index("gene").loc["G3", "absolute"] == pytest.approx(entry["by_model"][3, 0])


@pytest.mark.parametrize("change", ["low", "high", "redraw"])
def test_starts_from_the_data_and_changes_towards_its_range(fitted, change):
    gene_influence(fitted, starts="data", change=change, n_starts=30, rng=1)
    states = np.asarray(fitted.uns["dynamics"]["series"]["states"])
    shift = fitted.varm["dynamics_influence"]["shift"].to_numpy()[:24]
    drawn = states[np.random.default_rng(1).integers(10, size=30)]
    if change != "redraw":
        edge = states.min(0) if change == "low" else states.max(0)
        np.testing.assert_allclose(shift, np.abs(drawn - edge).mean(0) / 3, rtol=1e-6)
    assert (shift <= np.ptp(states, axis=0) / 3 + 1e-9).all()


def test_table_by_time_and_default_times(fitted):
    gene_influence(fitted, n_starts=5)
    table = influence(fitted, by_time=True)
    assert len(table) == 24 * 10
    assert table["time"].min() == pytest.approx(0.4)
    assert table["time"].max() == pytest.approx(4.0)
    mean = table.groupby("gene")["absolute"].mean()
    np.testing.assert_allclose(mean["G3"], influence(fitted).loc[0, "absolute"])


def test_same_seed_same_numbers_and_copy_leaves_the_original(fitted):
    one = gene_influence(fitted, n_starts=5, rng=3, copy=True)
    other = gene_influence(fitted, n_starts=5, rng=3, copy=True)
    pd.testing.assert_frame_equal(one.varm["dynamics_influence"], other.varm["dynamics_influence"])
    assert "dynamics_influence" not in fitted.varm
    different = gene_influence(fitted, n_starts=5, rng=4, copy=True)
    assert not one.varm["dynamics_influence"].equals(different.varm["dynamics_influence"])


def test_some_genes_only_and_a_checkpoint(fitted, tmp_path):
    gene_influence(fitted, n_starts=5, genes=["G3", "G7"], checkpoint=tmp_path)
    assert influence(fitted)["gene"].tolist() == ["G3", "G7"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model0.npz", "model1.npz", "model2.npz"]


def test_results_survive_h5ad_and_subsetting(fitted, tmp_path):
    gene_influence(fitted, n_starts=5)
    fitted.write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(again.varm["dynamics_influence"], fitted.varm["dynamics_influence"])
    pd.testing.assert_frame_equal(influence(again), influence(fitted))
    part = again[:, ["G3", "G20", "G29"]].copy()
    assert influence(part)["gene"].tolist()[0] == "G3"
    gene_influence(part, n_starts=5)  # the model needs nothing of the AnnData but its entry
    assert set(influence(part)["gene"]) == {"G3", "G20"}


def test_bad_arguments_name_themselves(fitted):
    with pytest.raises(NotFittedError, match="fit_dynamics"):
        gene_influence(fitted, key="other")
    with pytest.raises(NotFittedError, match="gene_influence"):
        influence(fitted)
    with pytest.raises(ValueError, match=r"starts 'unform'.*'uniform'"):
        gene_influence(fitted, starts="unform")
    with pytest.raises(ValueError, match="change"):
        gene_influence(fitted, change="up")
    with pytest.raises(ValueError, match="n_starts"):
        gene_influence(fitted, n_starts=0)
    with pytest.raises(KeyError, match="did you mean|Did you mean"):
        gene_influence(fitted, genes=["g33"])
    with pytest.raises(ValueError, match="increasing"):
        gene_influence(fitted, times=[0, 0])
    assert "dynamics_influence" not in fitted.varm


def test_perturbable_genes_count_targets_and_descendants(fitted):
    table = perturbable_genes(fitted).set_index("gene")
    assert len(table) == 24
    assert table.loc["G3", ["n_targets", "n_reached"]].tolist() == [7, 8]
    assert table.loc["G10", ["n_targets", "n_reached"]].tolist() == [1, 1]
    assert table.loc["G0", "n_targets"] == 0
    assert (table["low"] <= table["high"]).all()


def test_subnetwork_below_and_above(fitted):
    below = subnetwork(fitted, "G3")
    assert set(below["source"]) == {"G3"}
    assert len(below) == 7
    two = subnetwork(fitted, "G3", depth=2)
    assert two.set_index(["source", "target"]).loc[("G10", "G20"), "step"] == 2
    above = subnetwork(fitted, "G20", depth=2, upstream=True)
    assert set(zip(above["source"], above["target"], above["step"], strict=True)) == {
        ("G10", "G20", 1),
        ("G3", "G10", 2),
    }
    with pytest.raises(KeyError, match="G3"):
        subnetwork(fitted, "g3x")


def test_ranges_are_those_of_the_data_whatever_units_the_field_runs_in(fitted):
    lower, unit = gene_range(fitted.uns["dynamics"])
    np.testing.assert_allclose(lower, 0)
    np.testing.assert_allclose(unit, 3)
    design = perturbations(fitted.uns["dynamics"], starts="uniform", change="redraw", n_starts=500, times=None, rng=0)
    assert 0 <= design.starts.min() < 0.02
    assert 2.98 < design.starts.max() <= 3
    gene_influence(fitted, n_starts=200, models="main")
    row = influence(fitted).set_index("gene").loc["G3"]
    assert row["shift"] == pytest.approx(1 / 3, abs=0.06)  # mean distance of two uniform numbers
    # no target can have moved further than its range
    assert row["absolute"] < 7 / 23
