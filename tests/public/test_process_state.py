"""No public function depends on the state of the process, or leaves it changed."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import scdash
from scdash._core.process_state import is_guarded

from .cases import DRAWING, KEPT, MEASURING, RETURNING, WRITING, public
from .same import difference
from .test_signatures import NAMES

CASES = WRITING | RETURNING | KEPT | DRAWING | MEASURING


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before
    plt.close("all")


def test_every_public_function_sets_what_it_needs() -> None:
    assert [name for name in NAMES if not is_guarded(public(name))] == []


def state() -> dict[str, Any]:
    """Return what a user may have set, and the random streams that are everybody's."""
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "errors": np.geterr(),
        "torch stream": torch.get_rng_state().tolist(),
        "numpy stream": str(np.random.get_state()),
        "python stream": random.getstate(),
        "filters": len(warnings.filters),
        "rcParams": dict(plt.rcParams),
    }


@contextmanager
def hostile() -> Iterator[None]:
    """Change all that `process_state` speaks of, and the seeds."""
    grad, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    streams = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(12345)
    try:
        with np.errstate(all="raise"), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.set_default_device(None)
        torch.set_num_threads(threads)
        torch.set_rng_state(streams[0])
        np.random.set_state(streams[1])
        random.setstate(streams[2])


def result(name: str) -> tuple[Any, Any]:
    """Return what a call gives back, and the data that it may have written to."""
    case = CASES[name]
    data = case.data()
    return case.call(public(name), data), data


def comparable(found: Any) -> Any:
    """Return what two calls can share: tables and data as they are, the weights of a module, nothing of a drawing."""
    if hasattr(found, "weights"):
        return {key: value.detach().numpy() for key, value in found.weights.items()}
    return None if isinstance(found, plt.Axes) or isinstance(found, (list, dict, tuple)) else found


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_hostile_state_changes_no_result_and_is_left_as_it_was(name: str) -> None:
    expected, data = result(name)
    case_data = CASES[name].data()
    with hostile():
        before = state()
        found = CASES[name].call(public(name), case_data)
        assert state() == before
    assert difference(data, case_data) is None
    assert difference(comparable(expected), comparable(found)) is None


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")  # of mudata within itself, whatever is called
def test_warnings_as_errors_stop_no_call(name: str) -> None:
    data = CASES[name].data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "From 0.4 .update", FutureWarning)
        # of anndata 0.13 and scanpy 1.12 within themselves, with pandas 3.1
        warnings.filterwarnings("ignore", "The '[a-z._]+' option is deprecated")
        CASES[name].call(public(name), data)
