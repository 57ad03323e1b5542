"""Scaled values are refused; noise around 0, normalised values and changes from a reference are not."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import as_expression, check_scaled


def cells(rng, n=400, genes=30):
    mean = 0.2 + rng.gamma(1, 1.5, genes)
    return np.log1p(rng.poisson(mean, (n, genes))).astype(np.float32)


def scaled(x, clip=np.inf):
    return np.clip((x - x.mean(0)) / x.std(0), -clip, clip)


@pytest.mark.parametrize("clip", [np.inf, 10, 2])
@pytest.mark.parametrize("states", [True, False])
def test_scaled_values_are_refused_unless_allowed(clip, states):
    x = as_expression(scaled(cells(np.random.default_rng(0)), clip))
    with pytest.raises(ValueError, match="X looks scaled: .* negative.*allow_scaled=True"):
        check_scaled(x, states=states, known=True)
    check_scaled(x, states=states, known=True, allow=True)


def test_sparse_and_dense_agree():
    x = scaled(cells(np.random.default_rng(0)))
    with pytest.raises(ValueError, match="looks scaled"):
        check_scaled(as_expression(sp.csr_matrix(x)), states=False, known=True)


def test_log_values_and_noise_around_zero_pass():
    rng = np.random.default_rng(1)
    for x in (
        cells(rng),
        cells(rng) + rng.normal(0, 0.05, (400, 30)),
        rng.random((400, 30)) + rng.normal(0, 0.1, (400, 30)),
    ):
        for states in (True, False):
            check_scaled(as_expression(x), states=states, known=True)


def test_changes_from_a_reference_pass_as_states_and_need_a_word_as_cells():
    rng = np.random.default_rng(2)
    changes = rng.normal(0, 1, (40, 30)) * rng.gamma(2, 0.5, 30)
    changes -= changes.mean(0)
    check_scaled(as_expression(changes), states=True, known=True)
    with pytest.raises(ValueError, match="looks scaled"):
        check_scaled(as_expression(changes), states=False, known=True)


@pytest.mark.reference
@pytest.mark.parametrize(
    "name",
    ["phoenix_yeast/phoenix_yeast_500", "hsmm_myoblast/hsmm_822", "semrau_ra/semrau_ra_41", "paul15_240/paul15_240"],
)
def test_real_data_are_refused_once_scaled_and_not_before(reference, name):
    import anndata as ad
    import scanpy as sc

    adata = ad.read_h5ad(reference / f"{name}.h5ad")
    for states in (True, False):
        check_scaled(as_expression(adata.X), states=states, known=True)
    adata.X = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    sc.pp.scale(adata, max_value=10)
    for states in (True, False):
        with pytest.raises(ValueError, match="looks scaled"):
            check_scaled(as_expression(adata.X), states=states, known=True)


def test_negative_values_that_are_not_centred_pass():
    rng = np.random.default_rng(3)
    logs = np.log10(rng.gamma(2, 1, (400, 30)) + 0.01) - 1
    assert (logs < 0).mean() > 0.5
    for states in (True, False):
        check_scaled(as_expression(logs), states=states, known=True)


def test_what_only_looks_scaled_is_a_warning(messages):
    x = as_expression(scaled(cells(np.random.default_rng(0))))
    check_scaled(x, states=False, known=False)
    assert "X looks scaled" in messages() and "lowest value seen" in messages()
