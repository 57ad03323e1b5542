"""DASH against the authors' scores, the published formulas written out, and its limits lambda = 0 and 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from scdash.fields import Layer, Params, Phoenix, RegulatoryPath, VectorField
from scdash.sparsity import Context, GeometricSchedule, Prior, Sparsity, bio, dash, imp, prune_to, remove_lowest
from scdash.sparsity import _scores as scores

MATRICES = ("W_sums", "W_prods", "U_sums", "U_prods")


@pytest.fixture
def golden(golden_numbers: Callable[[str], dict[str, np.ndarray]]) -> dict[str, Tensor]:
    return {key: torch.as_tensor(value) for key, value in golden_numbers("dash_scores").items()}


@pytest.mark.parametrize("with_c", [False, True])
def test_two_prunings_of_the_released_code(golden: dict[str, Tensor], with_c: bool) -> None:
    field = Phoenix(5, encoder="modules", n_hidden=3)
    method = dash(lambdas=(float(golden["lambda1"]), float(golden["lambda2"])), scale="paper")
    prior = Prior(golden["P"], golden["C_unnormalised"] if with_c else None, missing="zero")
    memory = {f"W_{b}": golden[f"Omega_init_{b}"].expand(2, -1, -1) for b in ("sums", "prods")}
    masks = {name: torch.ones(2, *golden[f"t0_{name}"].shape, dtype=torch.bool) for name in MATRICES}
    for t in ("t0", "t1"):
        params = {name: golden[f"{t}_{name}"].expand(2, -1, -1) for name in MATRICES}
        params["v"] = golden["v"].expand(2, -1)
        assert method.score is not None
        found, _ = method.score(Context(field, params, masks, prior, memory))
        masks, memory = method.prune(field, params, masks, memory, float(golden["amount"][int(t[1])]), prior)
        for matrix in MATRICES:
            published = golden[f"{t}_{matrix.replace('W', 'Omega').replace('U', 'Psi')}"]
            torch.testing.assert_close(found[matrix][1], published, atol=1e-9, rtol=0)
            assert torch.equal(masks[matrix][0].double(), golden[f"{t}_mask_{matrix}"])


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scores_are_the_published_formulas() -> None:
    p = (_random(8, 8, seed=1) < 0.3).double()
    prior = Prior(p, missing="zero")
    coregulation = p.T @ p / (p.T @ p).sum()
    s, above, below = _random(2, 3, 8, seed=2), _random(2, 8, 3, seed=3), _random(2, 3, 8, seed=4)
    pinv = torch.linalg.pinv
    torch.testing.assert_close(scores.coregulation_part(s, prior), (pinv(s.mT) @ coregulation).abs())
    torch.testing.assert_close(scores.last_part(below, prior), (p @ pinv(below)).abs())
    torch.testing.assert_close(scores.first_part(above, prior), (pinv(above) @ p).abs())
    torch.testing.assert_close(scores.middle_part(above, below, prior), (pinv(above) @ p @ pinv(below)).abs())


def test_rank_deficient_scores_are_the_least_squares_ones() -> None:
    prior = Prior((_random(8, 8, seed=1) < 0.3).double(), missing="zero")
    p = prior.dense()[0]
    s = _random(1, 4, 8, seed=2)
    s[0, 3] = 0  # a hidden unit without weights
    torch.testing.assert_close(scores.last_part(s, prior), (p @ torch.linalg.pinv(s)).abs())
    equal = torch.ones(1, 4, 8, dtype=torch.float64)  # the paper's start: Omega Omega^T is singular
    expected = (p @ torch.linalg.pinv(equal)).abs()
    torch.testing.assert_close(scores.last_part(equal, prior), expected)


@dataclass(frozen=True)
class Chain(VectorField):
    """A linear field of any depth, to test the rules alone."""

    name: ClassVar[str] = "chain"
    n_genes: int
    widths: tuple[int, ...]

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        sizes = (self.n_genes, *self.widths, self.n_genes)
        return {
            f"W{i}": torch.randn(n_models, sizes[i + 1], sizes[i], generator=generator, dtype=dtype)
            for i in range(len(sizes) - 1)
        }

    def bind(self, params):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def paths(self) -> tuple[RegulatoryPath, ...]:
        def layer(name: str) -> Layer:
            return Layer(name, lambda p: p[name].abs(), lambda p: p[name])

        return (RegulatoryPath("net", tuple(layer(f"W{i}") for i in range(len(self.widths) + 1))),)


def test_deep_scores_are_the_appendix_written_out() -> None:
    field, p = Chain(7, (4, 3)), (_random(7, 7, seed=1) < 0.4).double()
    params = field.init(1, torch.Generator().manual_seed(0), torch.float64)
    masks = field.start_masks(params)
    lambdas = (0.2, 0.3, 0.4)
    method = dash(lambdas=lambdas, scale="paper")
    memory = method.start(field, params, torch.Generator().manual_seed(3))
    assert method.score is not None
    found, remembered = method.score(Context(field, params, masks, Prior(p, missing="zero"), memory))
    o1, o2, _ = (memory[f"W{i}"][0] for i in range(3))
    w1, w2, w3 = (params[f"W{i}"][0].abs() / params[f"W{i}"].abs().sum() for i in range(3))
    pinv = torch.linalg.pinv
    o3 = 0.6 * w3 + 0.4 * (p @ pinv(o2 @ o1)).abs()
    o2 = 0.7 * w2 + 0.3 * (pinv(o3) @ p @ pinv(o1)).abs()
    o1 = 0.8 * w1 + 0.2 * (pinv(o3 @ o2) @ p).abs()
    for name, expected in zip(("W0", "W1", "W2"), (o1, o2, o3), strict=True):
        # the product above the first layer has rank 3 of 4: the pseudo-inverse must be meant
        torch.testing.assert_close(found[name][0], expected, atol=1e-9, rtol=1e-7)
        assert torch.equal(remembered[name], found[name])


def _gene_wise(seed: int = 0) -> tuple[Phoenix, Params, Params]:
    field = Phoenix(8, pairs=((0, 1), (2, 3)))
    params = field.init(2, torch.Generator().manual_seed(seed), torch.float64)
    return field, params, field.start_masks(params)


def test_one_layer_scores_are_the_published_formula() -> None:
    field, params, masks = _gene_wise()
    p = (_random(8, 8, seed=1) < 0.4).double()
    method = dash(lambdas=torch.tensor([0.25, 0.5]), scale="paper")
    assert method.score is not None
    found, memory = method.score(Context(field, params, masks, Prior(p, missing="zero")))
    assert memory == {}
    gain = params["v"].relu()[:, :, None]
    for model, lam in enumerate((0.25, 0.5)):
        for name, known in (("U_sums", p), ("U_prods", torch.stack([p[:, :2].mean(1), p[:, 2:4].mean(1)], 1))):
            weight = (params[name].abs() * gain)[model]
            torch.testing.assert_close(found[name][model], (1 - lam) * weight / weight.sum() + lam * known)


def test_matched_scale_gives_both_summands_the_same_total_over_remaining_weights() -> None:
    importance, part = _random(2, 4, 6), 1e4 * _random(2, 4, 6, seed=1)
    mask = _random(2, 4, 6, seed=2) < 0.6
    weights, prior = scores.matched_scale(importance, part, mask)
    assert prior is not None
    torch.testing.assert_close((weights * mask).sum((1, 2)), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close((prior * mask).sum((1, 2)), torch.ones(2, dtype=torch.float64))
    # so the ranking does not change with the scale of either
    again = scores.mix(importance * 7, part * 1e-6, 0.5, mask, scores.matched_scale)
    torch.testing.assert_close(again, scores.mix(importance, part, 0.5, mask, scores.matched_scale))


def _prune(method: Sparsity, field: VectorField, params: Params, prior: Prior | None) -> Params:
    memory = method.start(field, params, torch.Generator().manual_seed(1))
    return method.prune(field, params, field.start_masks(params), memory, 0.6, prior)[0]


@pytest.mark.parametrize("encoder", ["genes", "modules"])
@pytest.mark.parametrize("scale", ["paper", "matched"])
def test_lambda_zero_and_no_prior_are_magnitude_pruning(encoder: str, scale: str) -> None:
    field = Phoenix(8, encoder=encoder, n_hidden=3)  # type: ignore[arg-type]
    params = field.init(2, torch.Generator().manual_seed(0))
    prior = Prior(_random(8, 8) < 0.3)
    magnitude = _prune(imp(), field, params, prior)
    for method, known in ((dash(lambdas=0.0, scale=scale), prior), (dash(scale=scale), None)):  # type: ignore[arg-type]
        found = _prune(method, field, params, known)
        assert all(torch.equal(found[name], magnitude[name]) for name in magnitude)
    kept = (
        params["U_sums"].abs()[magnitude["U_sums"]]
        * params["v"].relu()[:, :, None].expand_as(params["U_sums"])[magnitude["U_sums"]]
    )
    lost = (params["U_sums"].abs() * params["v"].relu()[:, :, None])[~magnitude["U_sums"]]
    assert kept.shape[0] > 0 and lost.shape[0] > 0


def test_bio_pruning_keeps_prior_edges_and_breaks_ties_by_magnitude() -> None:
    field, params, masks = _gene_wise()
    p = torch.zeros(8, 8)
    p[0, 1] = p[3, 2] = 1
    found, _ = bio().prune(field, params, masks, {}, 0.9, Prior(p, missing="zero"))
    assert found["U_sums"][:, [0, 3], [1, 2]].all()
    importance = (params["U_sums"].abs() * params["v"].relu()[:, :, None])[0]
    outside = masks["U_sums"][0] & (p == 0)
    kept = found["U_sums"][0] & outside
    assert kept.sum() == 6 - 2  # 56 weights, round(.9 * 56) = 50 gone
    assert importance[kept].min() > importance[outside & ~kept].max()
    with pytest.raises(ValueError, match="bio.*pass `prior`"):
        bio().prune(field, params, masks, {}, 0.5)


def test_targets_without_a_prior_edge_are_treated_as_the_mean_target() -> None:
    p = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    filled = torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    prior, x = Prior(p), _random(2, 3, 4)
    torch.testing.assert_close(prior.dense()[0], filled)
    torch.testing.assert_close(prior.times(x), filled @ x)
    torch.testing.assert_close(prior.transposed_times(x), filled.T @ x)
    torch.testing.assert_close(Prior(p, missing="zero").times(x), p @ x)
    torch.testing.assert_close(prior.coregulation_times(x), (p.T @ p / (p.T @ p).sum()) @ x)  # real edges only


def test_targets_the_prior_lacks_get_the_typical_row_by_rank_of_their_weights() -> None:
    part = torch.tensor([[[4.0, 0.0, 1.0], [9.0, 9.0, 9.0], [0.0, 3.0, 2.0]]]).double()
    weights = torch.tensor([[[1.0, 1.0, 1.0], [0.2, 0.9, 0.5], [1.0, 1.0, 1.0]]]).double()
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    known = torch.tensor([[True, False, True]])
    filled = scores.fill_unknown(part, weights, mask, known)
    expected = part.clone()
    expected[0, 1] = torch.tensor([0.0, 3.5, 1.5])  # means of (4, 3), (1, 2) and (0, 0): largest weight first
    torch.testing.assert_close(filled, expected)
    mask[0, 1, 1] = False  # what is pruned comes last, and does not count among the known
    mask[0, 0, 0] = False
    expected[0, 1] = torch.tensor([1.0, 0.0, 2.0])  # means of (1, 3), (0, 2), (0, 0)
    torch.testing.assert_close(scores.fill_unknown(part, weights, mask, known), expected)
    torch.testing.assert_close(scores.fill_unknown(part, weights, mask, torch.ones_like(known)), part)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_targets_the_prior_lacks_keep_as_many_inputs_as_others(seed: int) -> None:
    """One row for all of them let the seed decide between nearly all inputs and none."""
    field, n = Phoenix(100, encoder="modules", n_hidden=20), 100
    params = field.init(1, torch.Generator().manual_seed(seed), torch.float64)
    p = (_random(n, n, seed=seed) < 0.05).double()
    p[50:] = 0
    method, masks = dash(), field.start_masks(params)
    memory = method.start(field, params, torch.Generator().manual_seed(seed))
    masks, _ = method.prune(field, params, masks, memory, 0.9, Prior(p))
    inputs = masks["U_sums"][0].sum(1).double()
    assert 0.6 < inputs[50:].mean() / inputs[:50].mean() < 1.6
    assert (inputs[50:] > 0).double().mean() > 0.6


def test_priors_of_each_model_equal_single_ones() -> None:
    field = Phoenix(8, encoder="modules", n_hidden=3)
    params = field.init(2, torch.Generator().manual_seed(0), torch.float64)
    priors = [(_random(8, 8, seed=s) < 0.3).double() for s in (1, 2)]
    method = dash()
    memory = method.start(field, params, torch.Generator().manual_seed(1))
    together, _ = method.prune(field, params, field.start_masks(params), memory, 0.5, Prior(priors))
    for model, prior in enumerate(priors):
        one = {k: v[model : model + 1] for k, v in params.items()}
        alone, _ = method.prune(
            field, one, field.start_masks(one), {k: m[model : model + 1] for k, m in memory.items()}, 0.5, Prior(prior)
        )
        assert all(torch.equal(alone[name][0], together[name][model]) for name in alone)
    with pytest.raises(ValueError, match="2 models, but 1 are trained"):
        method.prune(field, one, field.start_masks(one), {k: m[:1] for k, m in memory.items()}, 0.5, Prior(priors))


def test_pruning_is_cumulative_exact_and_leaves_its_arguments_alone() -> None:
    field = Phoenix(10, encoder="modules", n_hidden=4)
    params = field.init(3, torch.Generator().manual_seed(0))
    method, prior = dash(), Prior(_random(10, 10) < 0.3)
    masks, memory = field.start_masks(params), method.start(field, params, torch.Generator().manual_seed(1))
    copies = [{k: v.clone() for k, v in given.items()} for given in (params, masks, memory)]
    remaining = 40
    for amount in (0.7, 0.1, 0.1):
        new, memory_new = method.prune(field, params, masks, memory, amount, prior)
        remaining -= round(amount * remaining)
        for name in masks:
            assert not (new[name] & ~masks[name]).any()
            assert (new[name].flatten(1).sum(1) == remaining).all()
        if amount == 0.7:
            for given, copy in zip((params, masks, memory), copies, strict=True):
                assert all(torch.equal(given[k], copy[k]) for k in copy)
        masks, memory = new, memory_new


def test_remove_lowest_orders_ties_by_the_second_key_then_by_place() -> None:
    score, mask = torch.tensor([[[1.0, 1.0, 1.0, 0.5]]]), torch.tensor([[[True, True, True, False]]])
    tie = torch.tensor([[[3.0, 1.0, 2.0, 9.0]]])
    assert remove_lowest(score, mask, torch.tensor([2]), tie=tie).tolist() == [[[True, False, False, False]]]
    assert remove_lowest(score, mask, torch.tensor([2])).tolist() == [[[False, False, True, False]]]
    assert remove_lowest(score, mask, torch.tensor([0])).tolist() == mask.tolist()


def test_prune_to_reaches_the_level_in_every_matrix_by_magnitude() -> None:
    field = Phoenix(10, encoder="modules", n_hidden=4)
    params = field.init(2, torch.Generator().manual_seed(0))
    params = {name: torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) for name, p in params.items()}
    pruned, masks = prune_to(field, params, torch.tensor([0.5, 0.9]))
    for name in MATRICES:
        assert (pruned[name] == 0).flatten(1).sum(1).tolist() == [20, 36]
        assert torch.equal(masks[name], pruned[name] != 0)
    # W_P is ranked by its exponential, so the lowest are the most negative
    assert params["W_prods"][1][masks["W_prods"][1]].min() > params["W_prods"][1][~masks["W_prods"][1]].max()
    again, _ = prune_to(field, pruned, 0.7)
    assert [(again["U_sums"] == 0).flatten(1).sum(1).tolist()] == [[28, 36]]
    with pytest.raises(ValueError, match=r"lie in \[0, 1\)"):
        prune_to(field, params, 1.0)


def test_the_published_schedule() -> None:
    plan = GeometricSchedule()
    assert [e for e in range(45) if plan.amount(e) > 0] == [3, 10, 20, 30, 40]
    assert plan.amount(3) == pytest.approx(0.7) and plan.amount(10) == pytest.approx(0.1)
    assert plan.density(35) == pytest.approx(0.3 * 0.9**3)
    assert plan.last_pruning_epoch(500) == 490 and plan.last_pruning_epoch(3) == 0
    limited = GeometricSchedule(until=0.75)
    assert [e for e in range(100) if limited.amount(e) > 0] == [3, 10, 20]
    assert limited.density(99) == pytest.approx(0.25) == 0.3 * (1 - limited.amount(10)) * (1 - limited.amount(20))
    with pytest.raises(ValueError, match="first must be a fraction"):
        GeometricSchedule(first=1.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dash(scale="papers"), "Did you mean 'paper'"),
        (lambda: dash(lambdas=1.5), r"fractions of the prior in \[0, 1\]"),
        (lambda: Prior(-torch.ones(3, 3)), "absolute values"),
        (lambda: Prior([torch.ones(3, 3), torch.ones(4, 4)]), "one shape"),
        (lambda: Prior(torch.ones(3, 3), torch.ones(2, 2)), r"C must be \(3, 3\)"),
        (lambda: Prior(torch.ones(3, 3), missing="none"), "Unknown missing"),
        (lambda: Prior(torch.ones(3)), "must be a matrix"),
    ],
)
def test_bad_settings_say_what_to_do(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        build()
