"""One way to simulate a model: on its edges and in blocks of starts, with the states that dense products give."""

import numpy as np
import pytest
import torch

from scdash.fields import Mlp, Phoenix, Sonode, SparsePhoenix, VectorField
from scdash.networks import DynamicsModel, rollout
from scdash.networks import solver as _solver
from scdash.networks.interventions import intervene
from scdash.solve import integrate

GENES, EDGES, CELLS = 120, 500, 40


def sparse_model(pairs: tuple[tuple[int, int], ...] = ()) -> DynamicsModel:
    rng = np.random.default_rng(0)
    field = Phoenix(GENES, pairs=pairs)
    effects = np.zeros((GENES, GENES), np.float32)
    effects[rng.integers(GENES, size=EDGES), rng.integers(30, size=EDGES)] = rng.normal(size=EDGES)
    np.fill_diagonal(effects, 0)
    params = {"U_sums": torch.tensor(effects)[None], "bias": torch.full((1, GENES), 0.5)}
    params["v"] = torch.tensor(rng.uniform(-0.1, 0.8, (1, GENES)), dtype=torch.float32)
    if pairs:
        products = np.zeros((1, GENES, len(pairs)), np.float32)
        products[0, 5:9] = 1.5
        params["U_prods"] = torch.tensor(products)
    return as_model(field, params)


def as_model(field: VectorField, params: dict[str, torch.Tensor]) -> DynamicsModel:
    rng = np.random.default_rng(1)
    genes = np.array([f"g{i}" for i in range(field.n_genes)])
    lower, unit = rng.normal(size=field.n_genes), rng.uniform(0.5, 3, field.n_genes)
    return DynamicsModel(field, params, genes=genes, minimum=lower, scale=unit, time_scale=2.0)


def a_design(model: DynamicsModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    n = len(model.genes)
    starts = model.minimum.numpy() + rng.random((CELLS, n)) * model.range.numpy()
    return starts, rng.random((CELLS, n)) < 0.05, starts + 0.3 * model.range.numpy()


def dense_path(model: DynamicsModel, starts: np.ndarray, times: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Integrate all states at once by products with whole matrices, in steps that are much too short."""
    weights = {name: value.detach().double() for name, value in model.weights.items()}
    velocity, lower, unit = model.field.bind(weights), model.minimum.double(), model.range.double()
    state = model.field.lift(weights, ((torch.as_tensor(starts) - lower) / unit)[None])
    free = torch.ones_like(state)
    free[0, :, : held.shape[1]] = torch.as_tensor(~held).double()
    path = integrate(lambda x: velocity(x) * free, state, torch.as_tensor(times / model.time_scale), steps=40)
    return (model.field.observe(weights, path)[:, 0] * unit + lower).detach().numpy()


def models() -> dict[str, DynamicsModel]:
    drawn = torch.Generator().manual_seed(0)
    edges = SparsePhoenix(6, targets=(0, 1, 1, 4), regulators=(1, 0, 3, 0))
    return {
        "edges": sparse_model(),
        "edges and products": sparse_model(((0, 1), (3, 2), (40, 5))),
        "listed edges": as_model(edges, edges.init(1, drawn)),
        "mlp": as_model(Mlp(6, (4,)), Mlp(6, (4,)).init(1, drawn)),
        "second order": as_model(Sonode(5, (4,)), Sonode(5, (4,)).init(1, drawn)),
        "hidden units": as_model(Phoenix(6, "modules", 3), Phoenix(6, "modules", 3).init(1, drawn)),
    }


@pytest.mark.parametrize("name", list(models()))
def test_predictions_are_those_of_dense_products(name: str) -> None:
    model = models()[name]
    starts, _, _ = a_design(model)
    times = np.array([0.0, 0.7, 1.5, 4.0])
    column = {2: torch.as_tensor(starts[:, 2]), 0: torch.zeros(CELLS, dtype=torch.float64)}
    begun, held = starts.copy(), np.zeros(starts.shape, bool)
    begun[:, 0], held[:, [0, 2]] = 0, True
    start, solved = torch.as_tensor(starts), torch.as_tensor(times)
    for found, first, fixed in (
        (rollout(model, start, solved), starts, np.zeros_like(held)),
        (rollout(model, start, solved, held=column), begun, held),
    ):
        expected = dense_path(model, first, times, fixed)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-5)
        assert np.abs(expected[-1] - expected[0]).max() > 0.1  # something has moved


@pytest.mark.parametrize("name", list(models()))
def test_interventions_are_those_of_dense_products(name: str) -> None:
    model = models()[name]
    starts, held, levels = a_design(model)
    found = intervene(model, starts, 3.0, held, levels)
    expected = dense_path(model, np.where(held, levels, starts), np.array([0.0, 3.0]), held)[-1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3)
    np.testing.assert_allclose(found[held], levels[held], rtol=1e-6, atol=1e-6)


def test_sparse_models_are_solved_on_their_edges() -> None:
    for name, model in models().items():
        assert (_solver.Solver.of(model).edges is not None) == ("edges" in name)


def test_blocks_of_starts_do_not_matter_and_bound_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sparse_model()
    starts, held, levels = a_design(model)
    times = torch.tensor([0.0, 1.0, 2.0])
    whole = rollout(model, torch.as_tensor(starts), times), intervene(model, starts, 2.0, held, levels)
    seen: list[int] = []
    solve = _solver.Solver.path_of

    def counted(solver: _solver.Solver, z: torch.Tensor, *others: object) -> object:
        seen.append(len(z))
        return solve(solver, z, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(_solver.Solver, "path_of", counted)
    monkeypatch.setattr(_solver, "CACHED", 1)
    monkeypatch.setattr(_solver, "FEWEST", 7)
    parts = rollout(model, torch.as_tensor(starts), times), intervene(model, starts, 2.0, held, levels)
    assert max(seen) == 7 and sum(seen) >= 2 * 2 * CELLS
    np.testing.assert_allclose(parts[0], whole[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(parts[1], whole[1], rtol=0, atol=1e-5)


def test_a_table_of_predicted_states_is_no_copy() -> None:
    path = rollout(sparse_model(), torch.zeros(3, GENES), torch.tensor([0.0, 1.0])).numpy()
    assert path.shape == (2, 3, GENES)
    assert np.shares_memory(path.transpose(1, 0, 2).reshape(-1, GENES), path)
