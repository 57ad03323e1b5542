"""`velocity=` of `fit_dynamics`: measured dx/dt of cells, its weight, and what is refused."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdash

QUICK = {
    "training": scdash.Training(max_epochs=5),
    "validation": scdash.Validation(null_models=False),
    "progress": False,
    "observations": scdash.Cells(n_bins=10),
}
GENES = 10


def flowing(cells=240, seed=0):
    """Cells on a path with variation across it, and their true dx/dt per unit of another time for each gene."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((GENES, GENES)) < 0.3, rng.normal(0, 1.2, (GENES, GENES)), 0)
    np.fill_diagonal(weights, 0)

    def velocity(x):
        u = x / 3 - 0.5
        return 0.3 * (3 * (0.5 + (u / (1 + np.abs(u))) @ weights.T) - x)

    time = np.sort(rng.random(cells))
    x = np.clip(1.5 + 1.4 * rng.normal(size=GENES) + 0.5 * rng.normal(size=(cells, GENES)), 0.2, 3)
    for _ in range(40):
        x = x + (time[:, None] * 10 / 40) * velocity(x)
    adata = sc.AnnData(np.clip(x, 0, None).astype(np.float32))
    adata.var_names, adata.obs_names = [f"g{k}" for k in range(GENES)], [f"c{k}" for k in range(cells)]
    adata.obs["dpt_pseudotime"] = time
    adata.layers["velocity"] = (velocity(adata.X) * np.linspace(0.2, 4, GENES)).astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def fitted():
    adata = flowing()
    scdash.tl.fit_dynamics(adata, velocity="velocity", **QUICK)
    return adata


def test_velocities_are_used_and_reported(fitted):
    entry = fitted.uns["dynamics"]
    table = entry["params"]["velocity_choices"]
    assert list(table["weight"]) == [0, 0.1, 0.3, 1]
    assert entry["params"]["chosen"]["velocity_weight"] == entry["metrics"]["velocity_weight"] > 0
    chosen = table[table["chosen"]]
    assert len(chosen) == 1 and float(chosen["cosine"].iloc[0]) > float(table["cosine"].iloc[0])
    assert "Velocity: weight" in entry["report"]
    assert -1 <= entry["metrics"]["velocity_cosine"] <= 1
    assert scdash.get.settings(fitted)["velocity"] == "velocity"


def test_the_chosen_weight_reaches_the_model(fitted):
    params = fitted.uns["dynamics"]["params"]
    assert params["training"]["velocity_weight"] == params["chosen"]["velocity_weight"] > 0
    plain = flowing()
    scdash.tl.fit_dynamics(plain, **QUICK)
    assert (fitted.varp["dynamics_grn"] != plain.varp["dynamics_grn"]).nnz > 0


def test_velocities_of_other_cells_are_not_used():
    """Velocities of random cells, forwards or backwards, say nothing: the weight is 0, and the fit is the one without."""
    adata, rng = flowing(), np.random.default_rng(0)
    adata.layers["velocity"] = adata.layers["velocity"][rng.permutation(adata.n_obs)]
    adata.layers["velocity"] *= rng.choice([-1, 1], (adata.n_obs, 1)).astype(np.float32)
    scdash.tl.fit_dynamics(adata, velocity="velocity", **QUICK)
    plain = flowing()
    scdash.tl.fit_dynamics(plain, **QUICK)
    assert adata.uns["dynamics"]["params"]["chosen"]["velocity_weight"] == 0
    np.testing.assert_array_equal(adata.varp["dynamics_grn"].toarray(), plain.varp["dynamics_grn"].toarray())


def test_genes_without_a_velocity_are_left_out():
    adata = flowing()
    adata.layers["velocity"][:, 3] = np.nan
    scdash.tl.fit_dynamics(adata, velocity="velocity", **QUICK)
    other = flowing()
    other.layers["velocity"][:, 3] *= -7  # flagged as one that has none, so its values mean nothing
    other.var["velocity_genes"] = np.arange(GENES) != 3
    scdash.tl.fit_dynamics(other, velocity="velocity", **QUICK)
    np.testing.assert_array_equal(adata.varp["dynamics_grn"].toarray(), other.varp["dynamics_grn"].toarray())


def test_the_unit_of_time_of_a_gene_does_not_matter(fitted):
    adata = flowing()
    adata.layers["velocity"] *= np.float32(8)
    scdash.tl.fit_dynamics(adata, velocity="velocity", **QUICK)
    a, b = (one.varp["dynamics_grn"].toarray() for one in (adata, fitted))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def nan_cell(adata):
    adata.layers["velocity"][7, 2] = np.nan


def other_genes(adata):
    adata.layers["velocity"][:, 2:] = 0
    adata.layers["velocity"][:, :2] = np.nan


def negative_counts(adata):
    adata.layers["spliced"] = -np.ones(adata.shape)
    adata.layers["unspliced"] = np.ones(adata.shape)


def logged_counts(adata):
    adata.layers["spliced"] = np.log1p(np.arange(adata.n_vars) * np.ones(adata.shape))
    adata.layers["unspliced"] = np.ones(adata.shape) / 3  # fractions alone are no logarithms: multi-mapping reads


def no_overlap(adata):
    adata.layers["spliced"] = np.ones(adata.shape)
    adata.layers["unspliced"] = np.zeros(adata.shape)


def nothing(adata):
    pass


COUNTS = ("spliced", "unspliced")


@pytest.mark.parametrize(
    ("change", "given", "error", "message"),
    [
        (nothing, "velocty", KeyError, "velocity='velocty' is not in adata.layers. Did you mean 'velocity'"),
        (nothing, ("velocity",), TypeError, "velocity must be the name of a layer"),
        (nothing, 3, TypeError, "velocity must be the name of a layer"),
        (nothing, COUNTS, KeyError, "velocity='spliced' is not in adata.layers"),
        (nan_cell, "velocity", ValueError, "first at cell 'c7', gene 'g2'"),
        (other_genes, "velocity", ValueError, "a velocity for 0 of the 10 modelled genes"),
        (negative_counts, COUNTS, ValueError, "must hold counts, found 2400 negative"),
        (logged_counts, COUNTS, ValueError, r"layers\['spliced'\] \(velocity\) looks like logarithms"),
        (no_overlap, COUNTS, ValueError, "a velocity for 0 of the 10 modelled genes"),
    ],
)
def test_what_cannot_be_read_is_refused(change, given, error, message):
    adata = flowing()
    change(adata)
    before = set(adata.uns) | set(adata.varp) | set(adata.layers)
    with pytest.raises(error, match=message):
        scdash.tl.fit_dynamics(adata, velocity=given, **QUICK)
    assert set(adata.uns) | set(adata.varp) | set(adata.layers) == before


def test_what_has_no_use_for_velocities_refuses_them():
    adata = flowing()
    with pytest.raises(ValueError, match="velocity would have no effect"):
        scdash.tl.fit_dynamics(adata, velocity="velocity", start="random", training=scdash.Training(max_epochs=2))
    states = scdash.simulate.grn_dynamics(n_genes=10, n_trajectories=6, rng=0)
    states.layers["velocity"] = np.ones(states.shape)
    with pytest.raises(ValueError, match="velocity would have no effect"):
        scdash.tl.fit_dynamics(states, velocity="velocity", time_key="time", trajectory_key="trajectory")
    assert "dynamics" not in adata.uns and "dynamics" not in states.uns


@pytest.mark.skipif(
    importlib.util.find_spec("scvelo") is None, reason='scVelo is not installed: pip install "scdash[velocity]"'
)
@pytest.mark.filterwarnings("ignore")
def test_spliced_and_unspliced_counts():
    """Unspliced counts run ahead of spliced ones by what these will change, so velocities point along time."""
    rng = np.random.default_rng(0)
    adata = flowing()
    mean, ahead = (
        np.expm1(adata.X),
        np.expm1(adata.X) + np.maximum(adata.layers["velocity"] * (1 + adata.X), -0.5 * adata.X),
    )
    adata.layers["spliced"] = rng.poisson(5 * mean).astype(float)
    adata.layers["unspliced"] = rng.poisson(2 * np.maximum(ahead, 0)).astype(float)
    scdash.tl.fit_dynamics(adata, velocity=COUNTS, **QUICK)
    entry = adata.uns["dynamics"]
    assert np.isfinite(entry["metrics"]["velocity_cosine"])
    assert scdash.get.settings(adata)["velocity"] == COUNTS
    again = flowing()
    for name in COUNTS:
        again.layers[name] = adata.layers[name]
    scdash.tl.fit_dynamics(again, **scdash.get.settings(adata), progress=False)
    np.testing.assert_array_equal(adata.varp["dynamics_grn"].toarray(), again.varp["dynamics_grn"].toarray())


def test_batches_lineages_and_sampled_times_take_velocities():
    adata = flowing()
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "a", "b"))
    adata.obsm["weights"] = pd.DataFrame({"one": 1.0, "two": 1.0}, index=adata.obs_names)
    adata.obs["hours"] = np.floor(adata.obs["dpt_pseudotime"] * 4)
    ways = (
        {"batch_key": "batch"},
        {"trajectory_key": "weights"},
        {"time_key": "hours", "observations": scdash.Cells(couplings="none")},
    )
    for way in ways:
        scdash.tl.fit_dynamics(adata, velocity="velocity", **(QUICK | way))
        assert np.isfinite(adata.uns["dynamics"]["metrics"]["velocity_cosine"]), way
