"""Influence against a closed form, against one-at-a-time integration by scipy, and its blocks, resuming and checks."""

from collections.abc import Mapping
from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from scdash._core.errors import NonFiniteError
from scdash.fields import Layer, Phoenix, RegulatoryPath, VectorField
from scdash.networks import edges as _edges
from scdash.networks import solver as _solver
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.influences import influence as _influence
from scdash.networks.influences.influence import Perturbations, gene_influence


def a_model(n=12, *, encoder="modules", seed=0, zero=(), scale=None, dtype=torch.float64):
    field = Phoenix(n, encoder=encoder, n_hidden=5)
    params = field.init(1, torch.Generator().manual_seed(seed), dtype=dtype)
    generator = torch.Generator().manual_seed(seed + 1)
    for name in ("W_sums", "W_prods", "U_sums"):
        if name in params:
            params[name] = 0.5 * torch.randn(params[name].shape, generator=generator, dtype=dtype)
            if name != "U_sums" or encoder == "genes":
                params[name][..., list(zero)] = 0
    if encoder == "genes":
        params["U_sums"][:, range(n), range(n)] = 0
    return DynamicsModel(field, params, genes=np.array([f"G{i}" for i in range(n)]), scale=scale)


def a_design(n=12, k=6, seed=1, times=(0.0, 0.5, 1.0, 2.0)):
    rng = np.random.default_rng(seed)
    return Perturbations(rng.random((k, n)), rng.random((k, n)), np.array(times))


@pytest.mark.parametrize("accuracy", [_influence.ACCURACY, 1e-6])
def test_closed_form_of_one_regulator_on_one_target(accuracy, monkeypatch):
    """x0 is held by rate 0, so x1(t) - x1'(t) = u (phi(a) - phi(a')) (1 - exp(-v t)): as exact as is asked for."""
    monkeypatch.setattr(_influence, "ACCURACY", accuracy)
    field = Phoenix(2, encoder="genes")
    u, v = -0.7, 0.8
    params = {
        "U_sums": torch.tensor([[[0.0, 0.0], [u, 0.0]]], dtype=torch.float64),
        "bias": torch.full((1, 2), 0.3, dtype=torch.float64),
        "v": torch.tensor([[-1.0, v]], dtype=torch.float64),
    }
    model = DynamicsModel(field, params, genes=np.array(["a", "b"]))
    design = a_design(2, 50, times=(1.0, 2.0, 4.0))
    found = gene_influence(model, design)
    phi = lambda x: (x - 0.5) / (1 + np.abs(x - 0.5))
    response = u * (phi(design.values[:, 0]) - phi(design.starts[:, 0]))
    elapsed = design.times[1:] - design.times[0]
    expected = np.abs(response).mean() * (1 - np.exp(-v * elapsed))
    np.testing.assert_allclose(found.absolute[0], expected, rtol=2 * accuracy)
    np.testing.assert_allclose(found.signed[0], -expected, rtol=2 * accuracy)  # u < 0: raising a lowers b
    np.testing.assert_array_equal(found.absolute[1], 0)


@pytest.mark.parametrize("encoder", ["modules", "genes"])
def test_equals_one_gene_and_one_start_at_a_time_in_units_of_the_range(encoder, monkeypatch):
    monkeypatch.setattr(_influence, "ACCURACY", 1e-4)  # of all influences together; here each is looked at
    scale = np.linspace(0.5, 3, 12)
    model, design = a_model(encoder=encoder, scale=scale), a_design(k=2)
    design = Perturbations(design.starts * scale, design.values * scale, design.times)
    found = gene_influence(model, design)

    def path(x):
        rate = lambda t, y: model(t, torch.tensor(y)).detach().numpy()
        return solve_ivp(rate, (0, 2), x, t_eval=design.times[1:], rtol=1e-7, atol=1e-10).y.T / scale

    expected, signed = np.zeros((12, 3)), np.zeros((12, 3))
    for start, values in zip(design.starts, design.values, strict=True):
        base = path(start)
        for j in range(12):
            changed = start.copy()
            changed[j] = values[j]
            difference = np.delete(path(changed) - base, j, axis=1)
            expected[j] += np.abs(difference).mean(1) / 2
            signed[j] += difference.mean(1) * np.sign(values[j] - start[j]) / 2
    np.testing.assert_allclose(found.absolute, expected, rtol=1e-3)
    np.testing.assert_allclose(found.signed, signed, atol=1e-3 * expected.max())
    np.testing.assert_allclose(found.shift, np.abs(design.values - design.starts).mean(0) / scale)


def test_sparse_models_run_on_their_edges(monkeypatch):
    model, design = a_model(encoder="genes", dtype=torch.float32), a_design()
    with torch.no_grad():
        weight = model.weights["U_sums"]
        weight *= torch.rand(weight.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    assert _solver.Solver.of(model).edges is None
    dense = gene_influence(model, design)
    monkeypatch.setattr(_edges, "LARGE", 0)
    monkeypatch.setattr(_edges, "DENSE", 1.0)
    assert _solver.Solver.of(model).edges is not None
    sparse = gene_influence(model, design)
    np.testing.assert_allclose(sparse.absolute, dense.absolute, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(sparse.signed, dense.signed, rtol=1e-4, atol=1e-6)


def test_relabelling_genes_relabels_the_influence():
    model, design = a_model(encoder="genes"), a_design()
    order = np.random.default_rng(0).permutation(12)
    params = dict(model.weights)
    moved = {
        "U_sums": params["U_sums"][:, order][:, :, order],
        "bias": params["bias"][:, order],
        "v": params["v"][:, order],
    }
    other = DynamicsModel(model.field, moved, genes=model.genes[order])
    permuted = Perturbations(design.starts[:, order], design.values[:, order], design.times)
    np.testing.assert_allclose(
        gene_influence(other, permuted).absolute, gene_influence(model, design).absolute[order], rtol=1e-9
    )


@pytest.mark.parametrize("encoder", ["modules", "genes"])
def test_genes_without_outgoing_weights_are_not_integrated_and_zero(encoder, monkeypatch):
    model, design = a_model(encoder=encoder, zero=(2, 5)), a_design()
    found = gene_influence(model, design)
    np.testing.assert_array_equal(found.absolute[[2, 5]], 0)
    assert (np.delete(found.absolute, [2, 5], axis=0) > 0).all()
    monkeypatch.setattr(_influence, "outgoing", lambda *a: np.ones(12, bool))
    np.testing.assert_allclose(gene_influence(model, design).absolute, found.absolute, atol=1e-15)


def test_blocks_subsets_and_processes_give_the_same_numbers(monkeypatch):
    model, design = a_model(), a_design(k=7)
    whole = gene_influence(model, design)
    monkeypatch.setattr(_influence, "TASK", 1)
    tiny = gene_influence(model, design, max_memory=12 * 4 * 10 * 3)  # three states at a time, starts split too
    np.testing.assert_allclose(tiny.absolute, whole.absolute, rtol=1e-12)
    np.testing.assert_allclose(tiny.standard_error, whole.standard_error, rtol=1e-9)
    some = gene_influence(model, design, genes=np.array([7, 3]))
    np.testing.assert_allclose(some.signed, whole.signed[[7, 3]], rtol=1e-9)
    with joblib.parallel_config("threading", n_jobs=2):
        np.testing.assert_allclose(gene_influence(model, design, max_memory=2000).absolute, whole.absolute, rtol=1e-12)


@pytest.mark.slow
def test_processes_give_the_same_numbers():
    model, design = a_model(), a_design()
    np.testing.assert_array_equal(
        gene_influence(model, design, n_jobs=2).absolute, gene_influence(model, design).absolute
    )


def test_standard_error_covers_the_truth():
    """The influence over many starts lies within the interval of a few starts as often as it should."""
    model = a_model()
    truth = gene_influence(model, a_design(k=3000, seed=100)).absolute.mean(1)
    few = [gene_influence(model, a_design(k=40, seed=seed)) for seed in range(20)]
    inside = [np.abs(f.absolute.mean(1) - truth) <= 2 * f.standard_error for f in few]
    assert 0.85 < np.mean(inside) <= 1  # 95 % of normal intervals; 40 starts of a skewed mean


class Killed(Exception):
    pass


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    model, design, path = a_model(), a_design(), tmp_path / "folder" / "influence.npz"
    monkeypatch.setattr(_influence, "TASK", 1)
    whole = gene_influence(model, design, max_memory=1)
    finished = []

    def killer(count):
        finished.append(count)
        if sum(finished) == 5:
            raise Killed

    with pytest.raises(Killed):
        gene_influence(model, design, max_memory=1, checkpoint=path, progress=killer)
    computed = []
    original = _influence._run_task
    monkeypatch.setattr(_influence, "_run_task", lambda *a: computed.append(a[2]) or original(*a))
    counts = []
    resumed = gene_influence(model, design, max_memory=1, checkpoint=path, progress=counts.append)
    assert len(computed) == 7
    assert counts[0] == 5
    assert sum(counts) == 12
    np.testing.assert_array_equal(resumed.absolute, whole.absolute)
    with pytest.raises(ValueError, match="another model or other settings"):
        gene_influence(model, a_design(seed=2), max_memory=1, checkpoint=path)
    with pytest.raises(ValueError, match="another model or other settings"):  # blocks of another length
        gene_influence(model, design, max_memory=4 * 10 * 12 * 6 * 4, checkpoint=path)
    path.write_text("nonsense")
    with pytest.raises(ValueError, match="checkpoint"):
        gene_influence(model, design, max_memory=1, checkpoint=path)


@pytest.mark.parametrize("rate", [0.5, 10.0])
def test_step_resolves_the_fastest_rate_and_halving_it_changes_nothing(rate, monkeypatch):
    model, design = a_model(encoder="genes"), a_design(times=(0.0, 0.5, 2.0))
    with torch.no_grad():
        model.weights["v"].fill_(rate)
    found = gene_influence(model, design)
    assert found.steps >= 1.5 * rate / 0.5
    monkeypatch.setattr(_influence, "_checked_steps", lambda *a: 8 * found.steps)
    exact = gene_influence(model, design).absolute
    assert np.abs(found.absolute - exact).sum() <= 1.5 * _influence.ACCURACY * exact.sum()


def test_a_step_too_long_for_other_genes_than_the_pilots_is_found_out(monkeypatch):
    """A rate of 4 with steps of 1 multiplies by 5 a step: finite, and wrong."""
    model = a_model(encoder="genes", dtype=torch.float32)
    with torch.no_grad():
        model.weights["v"].fill_(4.0)
    design = a_design(times=np.arange(31.0))
    exact = gene_influence(model, design)
    monkeypatch.setattr(_influence, "_checked_steps", lambda *a: 1)
    found = gene_influence(model, design)
    assert np.abs(found.absolute - exact.absolute).sum() <= 0.05 * exact.absolute.sum()
    monkeypatch.setattr(_influence, "_relative_change", lambda *a: 0.0)
    wrong = gene_influence(model, design)
    assert np.abs(wrong.absolute - exact.absolute).sum() > exact.absolute.sum()


def test_a_single_start_has_an_influence_of_unknown_error():
    found = gene_influence(a_model(), a_design(k=1))
    assert np.isfinite(found.absolute).all()
    assert np.isinf(found.standard_error).all()


@dataclass(frozen=True)
class Explosive(VectorField):
    """dx/dt = w x^3, which leaves the finite numbers in finite time."""

    n_genes: int

    def init(self, n_models, generator, dtype=torch.float64):
        return {"w": torch.ones(n_models, self.n_genes, self.n_genes, dtype=dtype)}

    def bind(self, params: Mapping[str, Tensor]):
        return lambda x: (x**3) @ params["w"].mT

    def paths(self):
        return (RegulatoryPath("all", (Layer("w", lambda p: p["w"].abs(), lambda p: p["w"]),)),)


def test_a_trajectory_that_diverges_names_the_gene():
    field = Explosive(3)
    model = DynamicsModel(field, field.init(1, torch.Generator()), genes=np.array(["a", "b", "c"]))
    starts = np.full((2, 3), 0.1)
    values = starts.copy()
    values[:, 1] = 3.0
    with pytest.raises(NonFiniteError, match="change of b"):
        gene_influence(model, Perturbations(starts, values, np.array([0.0, 1.0])))


def test_bad_designs_say_so():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="finite"):
        Perturbations(x * np.nan, x, np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="increasing"):
        Perturbations(x, x, np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="starts and values"):
        Perturbations(x, x[:1], np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="3 genes, the model 12"):
        gene_influence(a_model(), Perturbations(x, x, np.array([0.0, 1.0])))
