"""Effects against the authors' numbers, brute force, and their symmetries."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from scdash.fields import Phoenix, zero_fraction
from scdash.networks import (
    dependencies,
    effects,
    feature_sparsity,
    relative_contribution,
    sparse_effects,
    sparse_relative_contribution,
    spurious_sparsity,
    weight_sparsity,
)

NAMES = ("W_sums", "W_prods", "b_sums", "b_prods", "U_sums", "U_prods", "v")
Golden = dict[str, torch.Tensor]


@pytest.fixture
def golden(golden_numbers: Callable[[str], dict[str, np.ndarray]]) -> Golden:
    return {key: torch.as_tensor(value) for key, value in golden_numbers("phoenix_forward").items()}


def test_effects_and_sparsity_of_the_released_model(golden: Golden) -> None:
    field = Phoenix(5, encoder="modules", n_hidden=3)
    params = {name: golden[name].expand(2, *golden[name].shape) for name in NAMES}
    found = effects(field, params)
    torch.testing.assert_close(found[1], golden["D"], atol=1e-9, rtol=0)
    torch.testing.assert_close(relative_contribution(found, params["v"])[0], golden["D_tilde"], atol=1e-9, rtol=0)
    torch.testing.assert_close(zero_fraction(field, params).double(), golden["sparsity"].expand(2), atol=1e-7, rtol=0)
    sparse = sparse_effects(field, params)[1]
    np.testing.assert_allclose(sparse.toarray(), golden["D"], atol=1e-9)
    contribution = sparse_relative_contribution(sparse, golden["v"].numpy())
    np.testing.assert_allclose(contribution.toarray(), golden["D_tilde"], atol=1e-9)


def _pruned(field: Phoenix, seed: int = 0) -> tuple[Golden, Golden]:
    generator = torch.Generator().manual_seed(seed)
    params = field.init(2, generator, torch.float64)
    params = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in params.items()}
    masks = {k: m & (torch.rand(m.shape, generator=generator) < 0.3) for k, m in field.start_masks(params).items()}
    return {name: p * masks[name] if name in masks else p for name, p in params.items()}, masks


@pytest.mark.parametrize("encoder", ["genes", "modules"])
def test_sparse_effects_equal_dense_ones_with_exact_zeros(encoder: str) -> None:
    field = Phoenix(20, encoder=encoder, n_hidden=4)  # type: ignore[arg-type]
    params, _ = _pruned(field)
    dense = effects(field, params)
    for model, found in enumerate(sparse_effects(field, params)):
        assert isinstance(found, csr_array) and found.nnz == int((dense[model] != 0).sum()) < 400
        np.testing.assert_allclose(found.toarray(), dense[model], atol=1e-12)


def test_relative_contributions_sum_to_one_in_every_row_that_acts() -> None:
    effect = torch.tensor([[[1.0, -3.0], [0.0, 0.0], [2.0, 2.0]]])
    found = relative_contribution(effect, torch.tensor([[2.0, 1.0, -1.0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.25, -0.75], [0.0, 0.0], [0.0, 0.0]]]))
    torch.testing.assert_close(relative_contribution(effect)[0, 2], torch.tensor([0.5, 0.5]))
    none = sparse_relative_contribution(csr_array(effect[0].numpy()), np.array([2.0, 1.0, -1.0]))
    np.testing.assert_allclose(none.toarray(), found[0])
    assert none.nnz == 2


def test_dependencies_bound_effects_and_count_both_genes_of_a_product() -> None:
    field = Phoenix(4, pairs=((0, 1), (2, 2)))
    params = {name: p * 0 for name, p in field.init(1, torch.Generator().manual_seed(0)).items()}
    params["U_prods"][0, 3, 0] = -2.0
    params["U_prods"][0, 1, 1] = 0.5
    expected = torch.zeros(1, 4, 4)
    expected[0, 3, :2], expected[0, 1, 2] = 2.0, 0.5
    torch.testing.assert_close(dependencies(field, params), expected)
    assert float(effects(field, params).abs().sum()) == 0  # products have no linear effect
    assert float(feature_sparsity(field, params)) == pytest.approx(13 / 16)
    assert float(weight_sparsity(field, params)) == pytest.approx((16 + 8 - 2) / 24)
    spurious = spurious_sparsity(field, params, np.array([True, False, True, True]))
    assert float(spurious) == pytest.approx(3 / 4)  # of column 1, only target 3 depends on it
    assert torch.isnan(spurious_sparsity(field, params, np.ones(4, bool))).all()
    with pytest.raises(ValueError, match="each of the 4 genes"):
        spurious_sparsity(field, params, np.ones(3, bool))


@pytest.mark.parametrize("encoder", ["genes", "modules"])
def test_relabelling_genes_relabels_the_effects(encoder: str) -> None:
    field = Phoenix(6, encoder=encoder, n_hidden=3)  # type: ignore[arg-type]
    params, _ = _pruned(field)
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    axes = {
        "W_sums": (2,),
        "W_prods": (2,),
        "U_prods": (1,),
        "v": (1,),
        "U_sums": (1, 2) if encoder == "genes" else (1,),
    }
    relabelled = dict(params)
    for name, places in axes.items():
        for axis in places if name in params else ():
            relabelled[name] = relabelled[name].index_select(axis, order)
    torch.testing.assert_close(effects(field, relabelled), effects(field, params)[:, order][:, :, order])
