"""A prior that is split into non-negative factors, for modules of PerturbODE that are as many as the genes."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from scdash.fields import Params, PerturbODE
from scdash.sparsity import Context, GeometricSchedule, Prior, bio, dash, imp
from scdash.sparsity import _scores as scores

GENES = 30


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def edges() -> Tensor:
    """Return about 90 edges (target, regulator); every gene is a target."""
    found = (random(GENES, GENES, seed=1) < 0.1).double()
    found[torch.arange(GENES), (torch.arange(GENES) * 7 + 3) % GENES] = 1
    return found


@pytest.fixture
def field() -> PerturbODE:
    return PerturbODE(GENES, GENES)


@pytest.fixture
def params(field: PerturbODE) -> Params:
    generator = torch.Generator().manual_seed(0)
    return field.centred(field.init(2, generator), torch.linspace(0.5, 2, GENES))


def auc(network: Tensor, edges: Tensor) -> float:
    return float(roc_auc_score(edges.flatten().numpy() > 0, network.flatten().numpy()))


def test_the_factors_multiply_to_the_prior_where_pseudo_inverses_do_not(edges: Tensor) -> None:
    prior, first = Prior(edges, missing="zero"), random(1, GENES, GENES, seed=2)
    last, own = scores.factor_parts(random(1, GENES, GENES, seed=3), first, prior)
    assert auc((last @ own)[0], edges) > 0.99
    assert auc((scores.last_part(first, prior) @ first)[0], edges) < 0.8


def test_factors_are_non_negative_balanced_and_keep_zeros(edges: Tensor) -> None:
    start = [random(2, GENES, 12, seed=3), random(2, 12, GENES, seed=4)]
    start[0][0, :, 5], start[1][1, 2] = 0, 0  # units that have lost all weights of a layer
    start = [m * (random(*m.shape, seed=5 + i) < 0.5) for i, m in enumerate(start)]
    last, first = scores.factor_parts(*start, Prior(edges, missing="zero"))
    for found, begun in zip((last, first), start, strict=True):
        assert torch.isfinite(found).all() and (found >= 0).all()
        assert (found[begun == 0] == 0).all()
    torch.testing.assert_close(last.sum(-2), first.sum(-1))


def test_factors_are_nearer_to_the_prior_than_the_weights(edges: Tensor) -> None:
    prior, last, first = Prior(edges, missing="zero"), random(1, GENES, 8, seed=3), random(1, 8, GENES, seed=4)
    begun = last @ first
    begun = begun * (begun * edges).sum() / begun.square().sum()  # in the best unit
    found = torch.matmul(*scores.factor_parts(last, first, prior))
    assert float((edges - found).square().sum()) < 0.9 * float((edges - begun).square().sum())


def test_stacked_models_and_names_of_genes_do_not_matter(edges: Tensor) -> None:
    prior, last, first = Prior(edges, missing="zero"), random(2, GENES, 8, seed=3), random(2, 8, GENES, seed=4)
    found = scores.factor_parts(last, first, prior)
    alone = scores.factor_parts(last[1:], first[1:], prior)
    for stacked, single in zip(found, alone, strict=True):
        torch.testing.assert_close(stacked[1:], single)
    order = torch.randperm(GENES, generator=torch.Generator().manual_seed(6))
    moved = Prior(edges[order][:, order], missing="zero")
    renamed = scores.factor_parts(last[:, order], first[:, :, order], moved)
    torch.testing.assert_close(renamed[0], found[0][:, order])
    torch.testing.assert_close(renamed[1], found[1][:, :, order])


@pytest.mark.parametrize("method", ["dash", "bio"])
def test_pruned_modules_keep_the_prior(method: str, field: PerturbODE, params: Params, edges: Tensor) -> None:
    """Down to a tenth of the weights of both layers in ten prunings, as while a screen is trained."""
    schedule = GeometricSchedule(first=0.5, first_epoch=1, then=0.2, every=1)
    kept = {}
    for name, pruning in (
        ("imp", imp(schedule=schedule)),
        (method, {"dash": dash, "bio": bio}[method](schedule=schedule)),
    ):
        masks, memory = field.start_masks(params), pruning.start(field, params, torch.Generator().manual_seed(0))
        for epoch in range(1, 9):
            masks, memory = pruning.prune(
                field, params, masks, memory, pruning.amount(epoch), Prior(edges, missing="zero")
            )
        pruned = params | {layer: params[layer] * masks[layer] for layer in ("A", "B")}
        network = field.network(pruned)[0] != 0
        kept[name] = (float(network[edges > 0].float().mean()), float(network[edges == 0].float().mean()))
        assert float(masks["A"].float().mean()) == pytest.approx(0.5 * 0.8**7, abs=0.005)
    assert kept[method][0] > 0.8 > 2 * kept[method][1]
    assert kept["imp"][0] < 0.6


def test_the_published_formulas_are_there_on_their_own_scale(field: PerturbODE, params: Params, edges: Tensor) -> None:
    method, prior = dash(lambdas=(0.2, 0.3), scale="paper"), Prior(edges, missing="zero")
    memory = method.start(field, params, torch.Generator().manual_seed(0))
    assert set(memory) == {"B"}
    assert method.score is not None
    found, _ = method.score(Context(field, params, field.start_masks(params), prior, memory))
    b, a = (params[name].abs().double() for name in ("B", "A"))
    first = 0.8 * b / b.sum((-2, -1), keepdim=True) + 0.2 * scores.coregulation_part(memory["B"], prior)
    torch.testing.assert_close(found["B"], first)
    last = 0.7 * a / a.sum((-2, -1), keepdim=True) + 0.3 * scores.last_part(first, prior)
    torch.testing.assert_close(found["A"], last)


def test_without_weight_the_prior_counts_nowhere(field: PerturbODE, params: Params, edges: Tensor) -> None:
    masks, prior = field.start_masks(params), Prior(edges)
    by_weight, _ = imp().prune(field, params, masks, {}, 0.5, prior)
    none, _ = dash(lambdas=0.0).prune(field, params, masks, {}, 0.5, prior)
    for name in ("A", "B"):
        assert torch.equal(by_weight[name], none[name])


def test_targets_that_the_prior_lacks_keep_as_many_inputs_as_others(
    field: PerturbODE, params: Params, edges: Tensor
) -> None:
    edges = edges.clone()
    edges[:5] = 0
    method = dash(lambdas=0.95)
    assert method.score is not None
    masks = field.start_masks(params)
    means = {}
    for missing in ("mean", "zero"):
        found, _ = method.score(Context(field, params, masks, Prior(edges, missing=missing)))
        means[missing] = float(found["A"][:, :5].mean() / found["A"][:, 5:].mean())
    assert means["mean"] == pytest.approx(1, abs=0.1) and means["zero"] < 0.2


def test_gene_wise_networks_take_the_prior_itself() -> None:
    assert not any(path.factorised for path in PerturbODE(GENES).paths())
    assert all(path.factorised for path in PerturbODE(GENES, 4).paths())
