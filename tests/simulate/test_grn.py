"""Random systems in the manner of SIM350: what lands in the AnnData, and that the counts asked for are kept."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scdash
from scdash.simulate import corrupt_prior, grn_dynamics, shuffle_prior


@pytest.fixture(scope="module")
def simulated():
    return grn_dynamics(120, 30, n_test=4, noise=0.1, prior_moved=0.2, rng=1)


def edges_of(adata, name):
    return set(zip(adata.uns[name]["source"], adata.uns[name]["target"], strict=True))


def test_rows_are_states_sorted_by_trajectory_and_time(simulated):
    assert simulated.shape == (34 * 5, 120)
    assert simulated.obs["time"].tolist() == [0, 2, 3, 7, 9] * 34
    assert simulated.obs["trajectory"].cat.categories.size == 34
    by = simulated.obs.groupby("trajectory", observed=True)["split"].agg(["first", "nunique"])
    assert (by["nunique"] == 1).all()
    assert by["first"].value_counts().to_dict() == {"train": 28, "test": 4, "validation": 2}
    series = scdash._data.series_from_states(
        simulated.X, simulated.var_names, simulated.obs["time"], simulated.obs["trajectory"], simulated.obs["split"]
    )
    assert len(series.pairs("test")) == 16


def test_truth_is_the_same_in_uns_and_varp_and_inputs_have_no_regulators(simulated):
    truth = simulated.uns["truth"]
    assert len(truth) == round(550 / 350 * 120) == simulated.varp["truth"].nnz
    assert not truth.duplicated(["source", "target"]).any()
    assert (truth["source"] != truth["target"]).all()
    for row in truth.itertuples():
        at = simulated.var_names.get_loc(row.source), simulated.var_names.get_loc(row.target)
        assert simulated.varp["truth"][at] == row.weight
    regulated = set(truth["target"])
    assert set(simulated.var_names[~simulated.var["is_input"]]) == regulated
    assert simulated.var["is_input"].sum() == round(73 / 350 * 120)


def test_inputs_stay_constant_and_noise_has_the_size_said(simulated):
    clean = simulated.layers["clean"].reshape(34, 5, 120)
    still = np.ptp(clean, axis=1).max(0) == 0
    np.testing.assert_array_equal(still, simulated.var["is_input"])
    assert clean.min() >= 0 and clean.max() <= 1
    added = simulated.X - simulated.layers["clean"]
    n = added.size
    assert added.std() == pytest.approx(0.05, rel=4 / np.sqrt(2 * n))
    assert abs(added.mean()) < 4 * 0.05 / np.sqrt(n)
    quiet = grn_dynamics(20, 4, n_test=1, noise=0, rng=1)
    np.testing.assert_array_equal(quiet.X, quiet.layers["clean"])


def test_the_prior_is_the_truth_with_a_fifth_of_its_edges_moved(simulated):
    prior = simulated.uns["prior"]
    assert len(prior) == len(simulated.uns["truth"])
    kept = len(edges_of(simulated, "prior") & edges_of(simulated, "truth"))
    assert kept == len(prior) - round(0.2 * len(prior))


def test_effects_have_the_sign_of_their_edge():
    """Raising one input raises its pure activation targets and lowers its repression targets, at all times."""
    from scdash.simulate._grn import random_circuit, random_start

    rng = np.random.default_rng(0)
    system = random_circuit(
        60,
        94,
        n_inputs=12,
        n_regulators=16,
        repressor_fraction=0.4,
        and_fraction=0.6,
        ec50=(0.4, 0.6),
        exponent=(1.1, 1.7),
        rng=rng,
    )
    start = np.repeat(random_start(system, 1, rng), 2, axis=0)
    source = np.flatnonzero(system.inputs)[0]
    start[0, source], start[1, source] = 0.2, 0.8
    production = system.production(start)
    change = dict(zip(system.regulated, production[1] - production[0], strict=True))
    targets = system.target[system.regulator == source]
    for target, sign in zip(targets, system.sign[system.regulator == source], strict=True):
        assert change.pop(target) * sign > 0
    assert all(value == 0 for value in change.values())


def test_it_resembles_sim350_in_scale():
    """Spread of expression over trajectories is that of SIM350 (.185 at the start, .06 later) within a third."""
    adata = grn_dynamics(200, 40, n_test=4, noise=0, rng=0)
    spread = adata.layers["clean"].reshape(44, 5, 200).std(0).mean(1)
    np.testing.assert_allclose(spread, [0.185, 0.067, 0.063, 0.063, 0.063], rtol=0.34)
    assert 0.35 < adata.X.mean() < 0.6


def test_seeds(simulated):
    again = grn_dynamics(120, 30, n_test=4, noise=0.1, prior_moved=0.2, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(simulated.X, again.X)
    pd.testing.assert_frame_equal(simulated.uns["prior"], again.uns["prior"])
    other = grn_dynamics(120, 30, n_test=4, noise=0.1, prior_moved=0.2, rng=2)
    assert edges_of(simulated, "truth") != edges_of(other, "truth")


def test_it_survives_h5ad_unchanged(simulated, tmp_path):
    simulated.write_h5ad(tmp_path / "s.h5ad")
    back = ad.read_h5ad(tmp_path / "s.h5ad")
    np.testing.assert_array_equal(back.X, simulated.X)
    for name in ("truth", "prior"):
        pd.testing.assert_frame_equal(back.uns[name], simulated.uns[name], check_dtype=False, check_index_type=False)
    assert dict(back.uns["simulation"]) == dict(simulated.uns["simulation"])


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.floats(1.0, 2.5), st.integers(0, 99))
def test_any_size_gives_the_edges_asked_for(n_genes, per_gene, seed):
    n_inputs, n_regulators = max(1, round(73 / 350 * n_genes)), max(1, round(97 / 350 * n_genes))
    regulated = n_genes - n_inputs
    room = n_regulators * regulated - max(0, n_regulators - n_inputs)
    n_edges = min(max(regulated, round(per_gene * regulated)), room)
    adata = grn_dynamics(n_genes, 2, n_test=1, n_validation=1, n_edges=n_edges, rng=seed)
    truth = adata.uns["truth"]
    assert len(truth) == n_edges and truth["target"].nunique() == regulated
    assert truth["weight"].isin([-1, 1]).all() and np.isfinite(adata.X).all()


@pytest.mark.parametrize("n_genes", [*range(3, 16), 30])
def test_the_default_number_of_edges_fits_few_genes(n_genes):
    adata = grn_dynamics(n_genes, 4, n_test=1, rng=n_genes)
    truth, regulated = adata.uns["truth"], n_genes - int(adata.var["is_input"].sum())
    assert regulated <= len(truth) <= round(550 / 350 * n_genes)
    assert truth["target"].nunique() == regulated


def test_it_needs_no_square_array():
    """Memory of the genome's size would be 1 GB for one n x n array of doubles."""
    import tracemalloc

    tracemalloc.start()
    adata = grn_dynamics(3000, 4, n_test=1, times=(0, 1), rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert adata.shape == (10, 3000)
    assert peak < 3000 * 3000 * 4  # one such array in single precision


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_genes": 2}, "n_genes must be at least 3"),
        ({"n_genes": 10, "n_edges": 2}, "fewer than the"),
        ({"n_genes": 10, "n_edges": 500}, "more than the"),
        ({"n_trajectories": 1}, "leaves no training"),
        ({"times": (0, 0, 1)}, "increase"),
        ({"times": (0,)}, "at least two"),
        ({"noise": -0.1}, "negative"),
        ({"prior_moved": 1.5}, "between 0 and 1"),
    ],
)
def test_bad_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        grn_dynamics(**({"n_genes": 20, "n_trajectories": 4, "n_test": 1} | options))


TRUTH = pd.DataFrame(
    {"source": [f"a{i}" for i in range(20)], "target": [f"b{i}" for i in range(20)], "weight": [1.0, -1.0] * 10}
)


@given(st.floats(0, 1), st.integers(0, 50))
def test_moved_edges_keep_their_sign_and_land_on_free_pairs(moved, seed):
    before = TRUTH.copy()
    prior = corrupt_prior(TRUTH, moved, rng=seed)
    pd.testing.assert_frame_equal(TRUTH, before)
    assert prior["weight"].tolist() == TRUTH["weight"].tolist()
    assert not prior.duplicated(["source", "target"]).any() and (prior["source"] != prior["target"]).all()
    assert len(prior.merge(TRUTH, on=["source", "target"])) == 20 - round(moved * 20)


def test_moved_edges_land_anywhere_among_the_genes_given():
    names = [*TRUTH["source"], *TRUTH["target"], *[f"c{i}" for i in range(60)]]
    prior = pd.concat([corrupt_prior(TRUTH, 1.0, genes=names, rng=seed) for seed in range(60)])
    share = prior["source"].str.startswith("c").mean()  # 60 of 100 genes, 1200 draws
    assert share == pytest.approx(0.6, abs=4 * np.sqrt(0.6 * 0.4 / 1200))


def test_no_room_for_moved_edges():
    full = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"], "weight": [1.0, 1.0]})
    with pytest.raises(ValueError, match="no room"):
        corrupt_prior(full, 1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        corrupt_prior(full, -0.1)


@pytest.mark.slow
def test_genome_scale():
    adata = grn_dynamics(11165, 36, n_test=1, rng=0)
    assert adata.shape == (185, 11165) and adata.varp["truth"].nnz == round(550 / 350 * 11165)


def test_a_shuffled_prior_keeps_its_shape_and_forgets_its_genes():
    genes = [f"g{i}" for i in range(200)]
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"source": rng.choice(genes[:30], 400), "target": rng.choice(genes[20:], 400)})
    prior = pairs.drop_duplicates(ignore_index=True).assign(weight=lambda t: np.arange(len(t)) % 2 * 2.0 - 1)
    shuffled = shuffle_prior(prior, genes=[*genes, "alone"], rng=1)
    for column in ("source", "target"):
        degrees = [table[column].value_counts().sort_values().to_numpy() for table in (prior, shuffled)]
        np.testing.assert_array_equal(*degrees)
    assert set(shuffled["source"]) == set(prior["source"])  # regulators stay regulators, with other targets
    np.testing.assert_array_equal(shuffled["weight"], prior["weight"])
    # one renaming for the whole network: edges of one gene stay together
    assert (shuffled["source"].groupby(prior["source"]).nunique() == 1).all()
    assert (shuffled["target"].groupby(prior["target"]).nunique() == 1).all()
    same = prior.merge(shuffled, on=["source", "target"])
    assert len(same) < 0.2 * len(prior)
    pd.testing.assert_frame_equal(shuffled, shuffle_prior(prior, genes=[*genes, "alone"], rng=1))
    few = shuffle_prior(prior, genes=genes[:40], rng=0)
    assert len(few) == (prior["source"].isin(genes[:40]) & prior["target"].isin(genes[:40])).sum()
    with pytest.raises(ValueError, match="align_prior"):
        shuffle_prior(prior, genes=["G1", "G2"])
