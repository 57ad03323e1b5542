"""Sparse reduced-rank regression: golden vectors of the authors' code, closed forms, and the degenerate cases."""

from pathlib import Path

import numpy as np
import pytest

from scdash.paired.group_elastic import Penalty
from scdash.paired.reduced_rank import Regression, fix_signs
from scdash.paired.standardize import Scale


def centred(seed: int = 0, n: int = 90, p: int = 20, q: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = x[:, :5] @ rng.normal(size=(5, 2)) @ rng.normal(size=(2, q)) + rng.normal(size=(n, q))
    return (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)


def regression(x: np.ndarray, y: np.ndarray) -> Regression:
    return Regression(x, y, Scale(np.zeros(x.shape[1]), np.ones(x.shape[1])))


@pytest.mark.reference
@pytest.mark.parametrize("case", range(9))
def test_golden_vectors(reference: Path, case: int) -> None:
    stored = np.load(reference / "golden" / "srrr.npz")
    problem = regression(stored["X"], stored["Y"])
    rank, lam, alpha = stored[f"c{case}_params"]
    found = problem.fit(int(rank), Penalty(lam, alpha), relaxed=False)
    np.testing.assert_allclose(found.encoder, stored[f"c{case}_W"], atol=1e-6)
    np.testing.assert_allclose(found.decoder, stored[f"c{case}_V"], atol=1e-6)
    if alpha > 0 and len(found.selected):
        np.testing.assert_allclose(found.loss, stored[f"c{case}_loss"], atol=1e-6)
        relaxed = problem.fit(int(rank), Penalty(lam, alpha))
        np.testing.assert_allclose(relaxed.encoder, stored[f"c{case}_W_relaxed"], atol=1e-6)
        np.testing.assert_allclose(relaxed.decoder, stored[f"c{case}_V_relaxed"], atol=1e-6)


def test_loss_is_the_residual_written_out() -> None:
    x, y = centred()
    problem = regression(x, y)
    found = problem.fit(2, Penalty(0.1), relaxed=False)
    residual = np.sum((y - x @ found.encoder @ found.decoder.T) ** 2) / np.sum(y**2)
    assert found.loss[-1] == pytest.approx(residual, abs=1e-12)
    assert (np.diff(found.loss) < 1e-9).all()


def test_decoder_is_orthonormal_and_signs_are_fixed() -> None:
    x, y = centred(1)
    for relaxed in (False, True):
        found = regression(x, y).fit(3, Penalty(0.05), relaxed=relaxed)
        np.testing.assert_allclose(found.decoder.T @ found.decoder, np.eye(3), atol=1e-10)
        assert (found.decoder[np.abs(found.decoder).argmax(0), range(3)] > 0).all()


def test_ridge_is_its_closed_form() -> None:
    """B = (X'X + n lambda)^-1 X'Y projected on the top right singular vectors of X B."""
    x, y = centred(2)
    found = regression(x, y).fit(2, Penalty(0.3, 0.0))
    coefficients = np.linalg.solve(x.T @ x + len(x) * 0.3 * np.eye(20), x.T @ y)
    right = np.linalg.svd(x @ coefficients)[2][:2]
    np.testing.assert_allclose(found.encoder @ found.decoder.T, coefficients @ right.T @ right, atol=1e-10)


def test_full_rank_ridge_is_ridge() -> None:
    x, y = centred(3)
    found = regression(x, y).fit(6, Penalty(0.2, 0.0))
    coefficients = np.linalg.solve(x.T @ x + len(x) * 0.2 * np.eye(20), x.T @ y)
    np.testing.assert_allclose(found.encoder @ found.decoder.T, coefficients, atol=1e-10)


def test_fewer_genes_than_the_rank_survive() -> None:
    """The released code crashes here; the relaxed fit is the ridge of the genes that are left."""
    x, y = centred(4)
    problem = regression(x, y)
    top = np.linalg.norm(x.T @ y / len(x), axis=1).max()
    found = problem.fit(6, Penalty(0.95 * top))
    assert 1 <= len(found.selected) < 6
    kept = x[:, found.selected]
    gram = kept.T @ kept + len(x) * found.penalty.lam * np.eye(len(found.selected))
    expected = np.zeros((20, 6))
    expected[found.selected] = np.linalg.solve(gram, kept.T @ y)
    np.testing.assert_allclose(found.encoder @ found.decoder.T, expected, atol=1e-10)
    np.testing.assert_allclose(found.decoder.T @ found.decoder, np.eye(6), atol=1e-10)


def test_nothing_selected_predicts_the_mean() -> None:
    x, y = centred(5)
    found = regression(x, y).fit(2, Penalty(100.0))
    assert not found.encoder.any()
    assert not found.decoder.any()
    assert not found.predict(x).any()


@pytest.mark.parametrize("wanted", [1, 3, 7, 20])
def test_lambda_is_found_for_a_number_of_genes(wanted: int) -> None:
    x, y = centred(6)
    assert len(regression(x, y).fit_to_size(2, wanted).selected) == wanted


def test_genes_keep_their_names_when_they_change_places() -> None:
    x, y = centred(7)
    order = np.random.default_rng(0).permutation(20)
    plain, moved = regression(x, y).fit(2, Penalty(0.1)), regression(x[:, order], y).fit(2, Penalty(0.1))
    np.testing.assert_allclose(moved.encoder, plain.encoder[order], atol=1e-7)


@pytest.mark.parametrize("rank", [0, 7])
def test_rank_out_of_range_is_named(rank: int) -> None:
    x, y = centred()
    with pytest.raises(ValueError, match=f"rank must lie between 1 and .* 6, found {rank}"):
        regression(x, y).fit(rank, Penalty(0.1))


def test_number_of_genes_out_of_range_is_named() -> None:
    x, y = centred()
    with pytest.raises(ValueError, match="n_features must lie between 1 and the number of genes"):
        regression(x, y).fit_to_size(2, 21)


def test_fixing_signs_changes_no_product() -> None:
    rng = np.random.default_rng(0)
    encoder, decoder = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    new_encoder, new_decoder = fix_signs(encoder, decoder)
    np.testing.assert_allclose(new_encoder @ new_decoder.T, encoder @ decoder.T)
    assert (new_decoder[np.abs(new_decoder).argmax(0), range(3)] > 0).all()
