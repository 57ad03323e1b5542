"""`perturbation_fates`: fates through CellRank (extra `velocity`; what needs it is skipped where it is absent)."""

import importlib.util

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash
from scdash.networks import fate_probabilities
from scdash.networks.cellrank_calls import cellrank, means_over_neighbours

needs_cellrank = pytest.mark.skipif(
    importlib.util.find_spec("cellrank") is None, reason='CellRank is not installed: pip install "scdash[velocity]"'
)
pytestmark = pytest.mark.filterwarnings("ignore")


def fork(cells_per_arm=60, seed=0):
    """Cells on a stem that splits into two arms, in 10 dimensions; obs: arm, and how far along."""
    rng = np.random.default_rng(seed)
    along = np.tile(np.linspace(0, 2, cells_per_arm), 2)
    side = np.repeat([1.0, -1.0], cells_per_arm)
    points = np.zeros((len(along), 10))
    points[:, 0], points[:, 1] = along, side * np.maximum(along - 1, 0) * 1.5
    points += 0.03 * rng.normal(size=points.shape)
    adata = ad.AnnData(points, obs=pd.DataFrame({"along": along, "side": side}))
    adata.obs_names = [f"c{k}" for k in range(len(along))]
    adata.obs["end"] = np.where(along > 1.9, np.where(side > 0, "up", "down"), None)
    adata.obs["end"] = adata.obs["end"].astype("category")
    sc.pp.neighbors(adata, n_neighbors=10, use_rep="X")
    return adata


@needs_cellrank
def test_cells_end_where_they_move_to(capfd):
    adata = fork()
    towards = np.zeros(adata.shape)
    towards[:, 0], towards[:, 1] = 1, 1.5 * (adata.obs["along"] > 0.7)  # at the fork everything goes up
    none = np.zeros(adata.shape)
    none[:, 0] = 1
    terminal = adata.obs["end"].cat.set_categories(["down", "up"])
    ((even, up),) = fate_probabilities(adata, [(none, towards)], terminal)
    assert capfd.readouterr().err == ""  # no progress bars of CellRank
    stem = (adata.obs["along"] < 0.8).to_numpy()
    np.testing.assert_allclose(up.sum(axis=1), 1, atol=1e-4)
    assert up[stem, 1].mean() > 0.7  # the second state is "up", as its categories say
    assert 0.2 < even[stem, 1].mean() < 0.8
    arms = (adata.obs["along"] > 1.5).to_numpy()
    assert up[arms & (adata.obs["side"] > 0).to_numpy(), 1].mean() > 0.9


@needs_cellrank
def test_both_moves_of_a_pair_have_the_scale_of_the_first():
    adata = fork()
    terminal = adata.obs["end"].cat.set_categories(["down", "up"])
    rng = np.random.default_rng(0)
    one = np.c_[np.ones(len(adata)), rng.normal(size=(len(adata), 9))]
    ((first, second),) = fate_probabilities(adata, [(one, one)], terminal)
    np.testing.assert_array_equal(first, second)
    ((_, after),) = fate_probabilities(adata, [(np.tile(np.eye(10)[0], (len(adata), 1)), one)], terminal)
    assert (
        np.abs(after - first).max() > 1e-4
    )  # evaluated by the scale of the moves without intervention, not by its own


@needs_cellrank
def test_numpy_is_left_as_it_was():
    before = np.testing.assert_array_equal
    with cellrank():
        np.testing.assert_array_equal(x=1, y=1)
        np.testing.assert_array_equal(1, 1, err_msg="equal")
        with pytest.raises(AssertionError):
            np.testing.assert_array_equal(x=1, y=2)
    assert np.testing.assert_array_equal is before
    with pytest.raises(KeyError), cellrank():
        raise KeyError
    assert np.testing.assert_array_equal is before


@pytest.fixture
def branching(fitted):
    """The fit of `a_fit` with neighbours and clusters; G3 drives G10 to G15, by which the ends differ."""
    rng = np.random.default_rng(1)
    fitted.X[:, 10:16] = np.linspace(0, 3, 40)[:, None] + 0.1 * rng.random((40, 6))
    fitted.obs["clusters"] = pd.Categorical(["low"] * 8 + ["early"] * 12 + ["late"] * 12 + ["high"] * 8)
    sc.pp.neighbors(fitted, n_neighbors=8, use_rep="X")
    return fitted


ENDS = ("clusters", ["low", "high"])


@needs_cellrank
def test_fates_of_a_knockout(branching):
    before = branching.copy()
    scdash.tl.perturbation_fates(branching, "G3", terminal_states=ENDS, groupby="clusters", duration=0.5)
    result = branching.uns["dynamics_fates"]
    table = result["table"]
    assert list(table.columns) == ["group", "state", "control", "perturbed", "change", "sd", "n_cells"]
    assert set(table["group"]) == {"early", "late"}  # cells of terminal states are in no group
    assert set(table["n_cells"]) == {12}
    sums = table.groupby("group")[["control", "perturbed", "change"]].sum()
    np.testing.assert_allclose(sums["control"], 1, atol=1e-3)
    np.testing.assert_allclose(sums["change"], 0, atol=1e-3)
    np.testing.assert_allclose(table["perturbed"] - table["control"], table["change"], atol=1e-6)
    change = branching.obsm["dynamics_fates"]
    early = (branching.obs["clusters"] == "early").to_numpy()
    of_early = table[(table["group"] == "early") & (table["state"] == "high")]["change"].iloc[0]
    assert change.loc[early, "high"].mean() == pytest.approx(of_early, abs=1e-5)
    assert of_early < 0  # without G3 nothing drives G10 to G15 up
    np.testing.assert_allclose(branching.obsm["dynamics_fates_control"].sum(axis=1), 1, atol=1e-3)
    assert (table["sd"] > 0).all()  # three models
    assert result["params"]["n_models"] == 3 and list(result["params"]["n_targets"]) == [7]
    assert (
        branching.obsp.keys() == before.obsp.keys()
        and branching.uns["neighbors"].keys() == before.uns["neighbors"].keys()
    )
    axes = scdash.pl.perturbation_fates(branching, show=False)
    assert len(axes) == 2


@needs_cellrank
def test_the_noise_of_single_cells_hides_no_effect(branching):
    """A model of means says of a single cell above all that its noise is lost; fates are of the means of neighbours."""
    noisy = branching.copy()
    noisy.X = noisy.X + np.random.default_rng(3).normal(0, 1.5, noisy.shape).astype(np.float32)
    found = []
    for adata in (branching, noisy):
        scdash.tl.perturbation_fates(adata, "G3", terminal_states=ENDS, duration=0.5)
        found.append(adata.uns["dynamics_fates"]["table"].set_index("state").loc["high", "change"])
    assert found[1] == pytest.approx(found[0], rel=0.5)


def test_a_cell_counts_among_its_neighbours():
    near = np.array([[0, 0.2, 0], [0.2, 0, 0.9], [0, 0.9, 0]])
    states = np.array([[0.0, 1], [3, 1], [6, 4]])
    np.testing.assert_allclose(means_over_neighbours(states, near), [[1.5, 1], [3, 2], [4.5, 2.5]])


@needs_cellrank
def test_fates_survive_a_file(branching, tmp_path):
    scdash.tl.perturbation_fates(branching, "G3", terminal_states=ENDS, duration=0.5)
    branching.write_h5ad(tmp_path / "fates.h5ad")
    again = ad.read_h5ad(tmp_path / "fates.h5ad")
    pd.testing.assert_frame_equal(again.obsm["dynamics_fates"], branching.obsm["dynamics_fates"])
    assert set(again.uns["dynamics_fates"]["table"]["group"]) == {"all"}
    scdash.pl.perturbation_fates(again, states=["high"], show=False)


@needs_cellrank
def test_a_gene_without_targets_changes_no_fate(branching):
    scdash.tl.perturbation_fates(branching, "G23", terminal_states=ENDS, duration=0.5)
    np.testing.assert_allclose(branching.obsm["dynamics_fates"], 0, atol=1e-5)


CELLS = {"low": ["c0", "c1"], "high": ["c38", "c39"]}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("clusters", ["low", "hihg"]), KeyError, "'hihg' is no label of adata.obs.*'high'"),
        (("clusters", ["low"]), ValueError, "at least two"),
        ("clusters", ValueError, "all 40 cells are in a terminal state"),
        ("cluster", KeyError, "terminal_states='cluster'"),
        ({"low": ["c0"], "high": ["nobody"]}, KeyError, "cell 'nobody' of state 'high'"),
        ({"low": ["c0"], "high": ["c0"]}, ValueError, "cell 'c0' is in two states"),
        (3, TypeError, "terminal_states must be a column"),
    ],
)
def test_terminal_states_that_are_refused(branching, given, error, message):
    with pytest.raises(error, match=message):
        scdash.tl.perturbation_fates(branching, "G3", terminal_states=given)
    assert "dynamics_fates" not in branching.uns and "dynamics_fates" not in branching.obsm


def test_forms_of_terminal_states(branching):
    from scdash._data.terminal_states import read_terminal_states

    branching.obs["ends"] = branching.obs["clusters"].where(branching.obs["clusters"].isin(["low", "high"]))
    by_column, by_labels = (read_terminal_states(branching, given) for given in ("ends", ENDS))
    assert by_column.astype(object).equals(by_labels.astype(object))
    by_cells = read_terminal_states(branching, CELLS)
    assert by_cells.value_counts().to_dict() == {"high": 2, "low": 2}


def test_neighbours_are_asked_for(branching):
    del branching.obsp["connectivities"]
    with pytest.raises(KeyError, match="scanpy.pp.neighbors"):
        scdash.tl.perturbation_fates(branching, "G3", terminal_states=ENDS)
    assert "dynamics_fates" not in branching.uns


def test_a_figure_needs_a_result(branching):
    with pytest.raises(KeyError, match="perturbation_fates"):
        scdash.pl.perturbation_fates(branching)


@pytest.mark.skipif(importlib.util.find_spec("cellrank") is not None, reason="CellRank is installed")
def test_without_cellrank_the_error_says_what_to_install(branching):
    with pytest.raises(ImportError, match=r"scdash\[velocity\]"):
        scdash.tl.perturbation_fates(branching, "G3", terminal_states=ENDS)
    assert "dynamics_fates" not in branching.uns
