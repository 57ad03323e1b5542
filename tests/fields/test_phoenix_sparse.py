"""The gene-wise PHOENIX on a list of edges is the gene-wise PHOENIX."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash.fields import FIELDS, Phoenix, SparsePhoenix, field_class, zero_fraction
from scdash.networks import DynamicsModel, effects, pack, sparse_effects, strongest_effects, unpack
from scdash.sparsity import Prior, as_sparsity

TARGETS, REGULATORS = (0, 0, 2, 3, 5), (1, 4, 0, 4, 1)


@pytest.fixture
def pair():
    small, whole = SparsePhoenix(6, TARGETS, REGULATORS), Phoenix(6)
    generator = torch.Generator().manual_seed(0)
    params = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64)
        for name, p in small.init(2, generator).items()
    }
    dense = torch.zeros(2, 6, 6, dtype=torch.float64)
    dense[:, TARGETS, REGULATORS] = params["U_sums"][:, 0]
    return small, params, whole, params | {"U_sums": dense}


def test_velocity_and_gradients(pair) -> None:
    small, params, whole, dense = pair
    x = torch.rand(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for field, weights in ((small, params), (whole, dense)):
        leaves = {name: p.clone().requires_grad_() for name, p in weights.items()}
        start = x.clone().requires_grad_()
        velocity = field.velocity(leaves, field.lift(leaves, start))
        again = field.velocity(leaves, start + velocity)
        found.append((again, torch.autograd.grad((again**2).sum(), [start, *leaves.values()])))
    (ours, mine), (theirs, its) = found
    torch.testing.assert_close(ours, theirs)
    names = ["x", *params]
    for name, a, b in zip(names, mine, its, strict=True):
        torch.testing.assert_close(
            a[:, 0] if name == "U_sums" else a, b[:, TARGETS, REGULATORS] if name == "U_sums" else b
        )


def test_network_and_sparsity(pair) -> None:
    small, params, whole, dense = pair
    params["U_sums"][0, 0, 2] = dense["U_sums"][0, 2, 0] = 0
    torch.testing.assert_close(zero_fraction(small, params), zero_fraction(whole, dense))
    torch.testing.assert_close(effects(small, params), effects(whole, dense))
    for a, b in zip(sparse_effects(small, params), sparse_effects(whole, dense), strict=True):
        assert abs(a - b).max() == 0 and a.nnz == b.nnz
    one = {name: p[:1] for name, p in params.items()}
    assert abs(strongest_effects(small, one)[0] - sparse_effects(small, one)[0]).max() == 0


@pytest.mark.parametrize("missing", ["mean", "zero"])
def test_dash_prunes_the_same_edges(pair, missing: str) -> None:
    small, params, whole, dense = pair
    prior = Prior(sp.csr_matrix(([1.0, 2.0, 1.0], ([0, 2, 1], [1, 0, 4])), shape=(6, 6)), missing=missing)
    method = as_sparsity("dash", lambdas=0.5, scale="paper")
    masks = {"U_sums": torch.ones(2, 1, 5, dtype=torch.bool)}
    whole_masks = {"U_sums": dense["U_sums"] != 0}
    left, _ = method.prune(small, params, masks, {}, 0.4, prior)
    expected, _ = method.prune(whole, dense, whole_masks, {}, 0.4, prior)
    assert torch.equal(left["U_sums"][:, 0], expected["U_sums"][:, TARGETS, REGULATORS])
    assert left["U_sums"].sum() == 6


def test_stored_as_a_matrix_and_rebuilt(pair) -> None:
    small, params, *_ = pair
    one = {name: p[:1].float() for name, p in params.items()}
    one["U_sums"][0, 0, 1] = 0  # a pruned edge stays an edge of the field
    stored = pack(one, small)
    assert stored["U_sums"].shape == (6, 6)
    again = unpack(stored, small)
    assert all(torch.equal(again[name], value) for name, value in one.items())
    assert field_class("phoenix_sparse").from_config(small.config()) == small
    assert "phoenix_sparse" not in FIELDS  # users ask for "phoenix"
    model = DynamicsModel(small, one, genes=np.arange(6))
    assert model(0.0, torch.rand(3, 6)).shape == (3, 6)


def test_edges_have_an_order() -> None:
    with pytest.raises(ValueError, match="sorted"):
        SparsePhoenix(3, (1, 0), (0, 1))
    with pytest.raises(ValueError, match="0 to 2"):
        SparsePhoenix(3, (0, 3), (1, 1))
