"""SIM350 in the contract's AnnData; without the reference data a clear error."""

import numpy as np
import pandas as pd
import pytest

from scdash.datasets import sim350


def test_absent_data_says_where_it_was_sought(monkeypatch, tmp_path):
    monkeypatch.delenv("SCDASH_REFERENCE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SCDASH_REFERENCE_DATA.*grn_dynamics"):
        sim350()
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        sim350(folder=tmp_path)
    with pytest.raises(ValueError, match="negative"):
        sim350(noise=-1)


def test_a_small_folder_of_the_same_layout(tmp_path):
    """Gene order, orientation and splits, on a system of three genes made here."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "trajectories.npz",
        x_train=rng.random((150, 2, 3)).astype(np.float32),
        x_test=rng.random((10, 2, 3)),
        times=[0.0, 2.0],
        genes=np.array(["b", "a", "c"]),
        is_input=[1, 0, 0],
    )
    pd.DataFrame({"from": ["b", "a"], "to": ["a", "c"], "sign": [1, -1], "weight": 1, "EC50": 0.5, "n": 1.2}).to_csv(
        tmp_path / "edges.csv"
    )
    pd.DataFrame([[0, 1, 0], [0, 0, -1], [0, 0, 0]]).to_csv(
        tmp_path / "edge_prior_noise_0.025.csv.gz", header=False, index=False
    )
    adata = sim350(0.1, folder=tmp_path)
    assert adata.shape == (320, 3) and list(adata.var_names) == ["b", "a", "c"]
    assert adata.uns["prior"].values.tolist() == [["b", "a", 1.0], ["a", "c", -1.0]]
    np.testing.assert_array_equal(adata.varp["truth"].toarray(), [[0, 1, 0], [0, 0, -1], [0, 0, 0]])
    splits = adata.obs.groupby("trajectory", observed=True)["split"].first()
    assert np.flatnonzero(splits == "validation").tolist() == [3, 23, 25, 61, 74, 90, 103, 128, 139, 146]
    assert np.flatnonzero(splits == "test").tolist() == list(range(150, 160))


@pytest.fixture(scope="module")
def real(reference):
    return sim350(noise=0.05, moved=0.05, folder=reference / "sim350", rng=3)


@pytest.mark.reference
def test_the_published_counts(real, reference):
    stored = np.load(reference / "sim350" / "trajectories.npz")
    assert real.shape == (800, 350) and real.var["is_input"].sum() == 73
    np.testing.assert_allclose(real.layers["clean"][:750].reshape(150, 5, 350), stored["x_train"])
    np.testing.assert_allclose(real.layers["clean"][750:].reshape(10, 5, 350), stored["x_test"], rtol=1e-6)
    assert real.varp["truth"].nnz == 550 and (real.uns["truth"]["weight"] > 0).sum() == 374
    assert (real.X - real.layers["clean"]).std() == pytest.approx(0.025, rel=0.01)


@pytest.mark.reference
def test_the_true_network_predicts_the_prior_of_the_readme(reference):
    folder = reference / "sim350"
    truth = sim350(folder=folder, moved=0).uns["truth"]
    pairs = set(zip(truth["source"], truth["target"], strict=True))
    for moved, kept in ((0.0, 550), (0.05, 523), (0.1, 495), (0.2, 440)):
        prior = sim350(folder=folder, moved=moved).uns["prior"]
        assert len(prior) == 550
        assert len(pairs & set(zip(prior["source"], prior["target"], strict=True))) == kept
    drawn = sim350(folder=folder, moved=0.4).uns["prior"]
    assert len(pairs & set(zip(drawn["source"], drawn["target"], strict=True))) == 330


@pytest.mark.reference
def test_the_constant_predictor_has_its_known_error(reference):
    """specs/dash_phoenix.md says 5.2e-3: means of the training states at later times, against noise-free test states."""
    adata = sim350(noise=0.05, folder=reference / "sim350")
    noisy, clean = (x.reshape(160, 5, 350)[:, 1:] for x in (adata.X, adata.layers["clean"]))
    train = (adata.obs["split"] == "train").to_numpy().reshape(160, 5)[:, 0]
    constant = noisy[train].mean((0, 1))
    assert ((clean[150:] - constant) ** 2).mean() == pytest.approx(5.2e-3, rel=0.02)
    # against noisy states the noise comes on top: .025^2
    assert ((noisy[150:] - constant) ** 2).mean() == pytest.approx(5.18e-3 + 0.025**2, rel=0.02)
