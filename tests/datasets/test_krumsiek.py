"""The Boolean myeloid model: rules and strengths of scanpy's file, its dynamics, and the fates."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.datasets import _krumsiek as module


@pytest.fixture(scope="module")
def model_file():
    path = Path(find_spec("scanpy").origin).parent / "sim_models" / "krumsiek11.txt"
    if not path.is_file():
        pytest.skip("this scanpy bundles no sim_models/krumsiek11.txt")
    return path.read_text()


@pytest.fixture(scope="module")
def simulated():
    return scdash.datasets.krumsiek11(60, rng=0)


def test_rules_are_those_that_scanpy_bundles(model_file):
    bundled = dict(re.findall(r"^(\S+) = ([^/\n]+)$", model_file, flags=re.M))
    assert [*bundled] == [*module.GENES]
    for (gene, rule), name in zip(module.RULES.items(), module.GENES, strict=True):
        theirs = bundled[name].replace("Pu.1", "PU1")
        assert ast.dump(ast.parse(rule, mode="eval")) == ast.dump(ast.parse(theirs, mode="eval")), gene


def test_truth_is_the_bundled_coupling_list(model_file, simulated):
    couplings = re.findall(r"^(\S+)\s+(\S+)\s+(-?[\d.]+)$", model_file, flags=re.M)
    theirs = {(regulator, target): float(value) for target, regulator, value in couplings}
    truth = simulated.uns["truth"]
    ours = {(e.source, e.target): e.weight for e in truth.itertuples()}
    assert ours == {pair: np.sign(value) for pair, value in theirs.items()}
    assert len(ours) == 30
    # the file's strengths are on their edges; every other edge has strength 1
    strength = {(r.replace("Pu.1", "PU1"), t.replace("Pu.1", "PU1")): abs(value) for (r, t), value in theirs.items()}
    assert {pair: s for pair, s in strength.items() if s != 1} == module._STRENGTH


def test_its_drift_is_that_of_scanpys_simulation():
    """One step without noise from each stored state leaves only the noise of scanpy's simulation."""
    import scanpy as sc

    with pytest.warns(UserWarning):
        bundled = sc.datasets.krumsiek11()
    assert list(bundled.var_names) == list(module.GENES)
    left = []
    for rows in np.split(bundled.X.astype(float), 4):
        step = module.integrate(rows[:-1], np.array([0.0, 0.1]), 0.0, np.random.default_rng(0))[:, -1]
        left.append(step - rows[1:])
    left = np.concatenate(left)
    # five sub-steps of noise .001, each decayed by .98 a step: .00215 (and values rounded to 4 decimals)
    wanted = 0.001 * np.sqrt(sum(0.98 ** (2 * k) for k in range(5)))
    np.testing.assert_allclose(left.std(0), wanted, rtol=0.15)
    assert np.abs(left.mean(0)).max() < 4 * wanted / np.sqrt(len(left))


def test_rules_hold_at_boolean_states():
    cubes = [module._cube(gene) for gene in module.RULES]
    sharp = [(genes, table, half * 1e-6) for genes, table, half in cubes]
    states = np.random.default_rng(0).integers(0, 2, (50, 11)).astype(float)
    got = module._production(states, sharp)
    for state, production in zip(states, got, strict=True):
        values = {gene: bool(bit) for gene, bit in zip(module.RULES, state, strict=True)}
        wanted = [float(eval(rule, {}, values)) for rule in module.RULES.values()]
        np.testing.assert_allclose(production, wanted, atol=1e-6)


def test_all_four_fates_are_reached_from_one_start(simulated):
    assert simulated.shape == (60 * 33, 11)
    assert (np.ptp(simulated.X[simulated.obs["time"] == 0], axis=0) == 0).all()
    fates = simulated.obs.groupby("trajectory", observed=True)["branch"].first().value_counts()
    assert set(fates.index) >= {"Ery", "Mk", "Mo", "Neu"} and fates.get("none", 0) < 6
    last = simulated[simulated.obs["time"] == 16]
    for fate, on, off in (
        ("Ery", "EKLF", "Fli1"),
        ("Mk", "Fli1", "EKLF"),
        ("Mo", "EgrNab", "Gfi1"),
        ("Neu", "Gfi1", "EgrNab"),
    ):
        mean = pd.Series(last[last.obs["branch"] == fate].X.mean(0), index=last.var_names)
        assert mean[on] > mean[off] + 0.3


def test_splits_hold_whole_trajectories_and_rows_are_states(simulated):
    by = simulated.obs.groupby("trajectory", observed=True)["split"].agg(["first", "nunique"])
    assert (by["nunique"] == 1).all() and by["first"].value_counts().to_dict() == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }


def test_seed_noise_and_storage(simulated, tmp_path):
    np.testing.assert_array_equal(simulated.X, scdash.datasets.krumsiek11(60, rng=0).X)
    assert not np.array_equal(simulated.X, scdash.datasets.krumsiek11(60, rng=1).X)
    noisy = scdash.datasets.krumsiek11(3, observation_noise=0.1)
    assert (noisy.X - noisy.layers["clean"]).std() == pytest.approx(0.1, rel=0.1)
    noisy.write_h5ad(tmp_path / "k.h5ad")
    back = ad.read_h5ad(tmp_path / "k.h5ad")
    pd.testing.assert_frame_equal(back.uns["truth"], noisy.uns["truth"], check_dtype=False, check_index_type=False)
    still = scdash.datasets.krumsiek11(2, noise=0.0)
    np.testing.assert_array_equal(still.X[:33], still.X[33:])
    with pytest.raises(ValueError, match="increase"):
        scdash.datasets.krumsiek11(2, times=[0, 0])
