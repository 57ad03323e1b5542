"""Solves compiled as a whole equal those of single operations, and what they are made of equals its formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scdash._core.threads import one_thread
from scdash.fields import Phoenix
from scdash.fields import phoenix_training as _phoenix_training
from scdash.solve import integrate, rk4_path

FIELD = Phoenix(7, encoder="modules", n_hidden=3)
SINGLE = np.finfo(np.float32).eps


def drawn(models: int, batch: int, intervals: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    params = {
        name: (p + 0.3 * torch.randn(p.shape, generator=generator)).requires_grad_()
        for name, p in FIELD.init(models, generator).items()
    }
    x = torch.rand(models, batch, 7, generator=generator).requires_grad_()
    times = torch.rand(models, batch, intervals + 1, generator=generator).cumsum(2)
    return params, x, times


def gradients(path, params, x):
    weight = torch.linspace(-1, 1, path.numel()).to(path.dtype).reshape(path.shape)
    return torch.autograd.grad((path.square() * weight).sum(), [x, *params.values()])


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_a_compiled_solve_and_its_gradients_are_those_of_double_precision(models, batch, intervals, steps, seed):
    params, x, times = drawn(models, batch, intervals, seed)
    assert FIELD.evaluator(params).compiled(x) is not None
    found = rk4_path(FIELD.evaluator(params), params, x, times, steps)
    exact = {name: p.detach().double().requires_grad_() for name, p in params.items()}
    start = x.detach().double().requires_grad_()
    expected = integrate(FIELD.bind(exact), start, times, steps=steps)[1:]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    pairs = zip(["x", *params], gradients(found, params, x), gradients(expected, exact, start), strict=True)
    for name, a, b in pairs:
        scale = float(b.abs().max()) + 1e-3
        torch.testing.assert_close(
            a.double() / scale, b / scale, rtol=0, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_times_may_be_shared_by_models_and_examples_and_states_be_a_view():
    params, x, _ = drawn(2, 5, 1)
    shared = torch.tensor([0.0, 0.4, 0.5])
    turned = x.detach().mT.contiguous().mT
    found = rk4_path(FIELD.evaluator(params), params, turned, shared, 2)
    expected = rk4_path(FIELD.evaluator(params), params, x, shared.expand(2, 5, 3), 2)
    assert torch.equal(found, expected)


def test_without_gradients_nothing_but_the_last_evaluation_is_kept(monkeypatch):
    from scdash.fields.modules_loops import CompiledModules

    params, x, times = drawn(2, 5, 3)
    asked, keep = [], CompiledModules.keep
    monkeypatch.setattr(CompiledModules, "keep", lambda self, n, batch: asked.append(n) or keep(self, n, batch))
    expected = rk4_path(FIELD.evaluator(params), params, x, times, 2)
    with torch.no_grad():
        found = rk4_path(FIELD.evaluator(params), params, x, times, 2)
    assert asked == [4 * 2 * 3, 1]
    assert torch.equal(found, expected)


def test_a_path_is_differentiated_once_and_says_so_the_second_time():
    params, x, times = drawn(1, 2, 1)
    total = rk4_path(FIELD.evaluator(params), params, x, times, 1).sum()
    torch.autograd.grad(total, list(params.values()), retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated already"):
        torch.autograd.grad(total, list(params.values()))


def test_what_a_solve_kept_is_freed_with_its_path():
    """A reference from the record to the path would keep both until the garbage collector comes by."""
    import gc
    import weakref

    params, x, times = drawn(1, 2, 1)
    gc.disable()
    try:
        path = rk4_path(FIELD.evaluator(params), params, x, times, 1)
        record = weakref.ref(path.grad_fn.record.phi)
        assert record() is not None
        del path
        assert record() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("reason", ["double", "large"])
def test_other_solves_go_operation_by_operation(reason, monkeypatch):
    params, x, _ = drawn(1, 2, 1)
    if reason == "double":
        params, x = {name: p.double() for name, p in params.items()}, x.double()
    else:
        monkeypatch.setattr(_phoenix_training, "CACHED", 20)  # 7 genes x 3 units
    assert FIELD.evaluator(params).compiled(x) is None


def test_nan_and_infinity_are_not_hidden():
    params, x, times = drawn(1, 3, 1)
    for bad in (np.nan, np.inf):
        start = x.detach().clone()
        start[0, 1, 2] = bad
        found = rk4_path(FIELD.evaluator(params), params, start, times, 1)
        finite = torch.isfinite(found[0, 0]).all(1)
        assert finite.tolist() == [True, False, True]
    with torch.no_grad():
        params["b_prods"] += 1000.0
    assert not bool(torch.isfinite(rk4_path(FIELD.evaluator(params), params, x, times, 1)).any())


def test_the_vectorised_logarithm_and_exponential_are_exact_to_single_precision():
    from numba import njit

    from scdash._core.compiled import OPTIONS
    from scdash.fields.modules_loops import exp_of, log_of

    @njit(**OPTIONS)  # not kept: these are loops of another file
    def apply(x, y, logs, exps):
        for i in range(len(x)):
            logs[i], exps[i] = log_of(x[i]), exp_of(y[i])

    x = np.geomspace(1e-37, 1e38, 200_001).astype(np.float32)
    y = np.linspace(-87, 88, len(x)).astype(np.float32)
    logs, exps = np.empty_like(x), np.empty_like(x)
    apply(x, y, logs, exps)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(logs - exact) / np.maximum(np.abs(exact), 1)).max() < 2 * SINGLE
    assert np.abs(exps / np.exp(y.astype(np.float64)) - 1).max() < 2 * SINGLE


def test_models_side_by_side_are_those_one_after_another():
    params, x, times = drawn(5, 3, 2)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            path = rk4_path(FIELD.evaluator(params), params, x, times, 2)
            found.append((path, *gradients(path, params, x)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert torch.equal(found[0][0], other[0])
        for a, b in zip(found[0][1:], other[1:], strict=True):
            # BLAS may add up the examples in another order in another thread, which differs by rounding on some processors
            torch.testing.assert_close(a, b, rtol=1e-6, atol=2e-7)


def test_one_thread_restores_what_was_set_and_nests():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
