"""What a public call changes in the process is set for the call alone, whoever else calls at the same time."""

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from scdash._core.process_state import SharedSetting, guarded, is_guarded, process_state
from scdash._core.threads import one_thread


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    grad, dtype, errors = torch.is_grad_enabled(), torch.get_default_dtype(), np.geterr()
    yield
    torch.set_grad_enabled(grad)
    torch.set_default_dtype(dtype)
    torch.set_default_device(None)
    np.seterr(**errors)


def needs() -> dict[str, object]:
    """Return what is set at this moment."""
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device().type,
        "autocast": torch.is_autocast_enabled("cpu"),
        "divide": np.geterr()["divide"],
    }


WANTED = {
    "grad": True, "inference": False, "dtype": torch.float32, "device": "cpu", "autocast": False, "divide": "warn",
}  # fmt: skip


def change_everything() -> None:
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    np.seterr(all="raise")


def test_everything_is_set_inside_and_restored_after() -> None:
    change_everything()
    before = needs()
    assert all(before[name] != WANTED[name] for name in ("grad", "dtype", "device", "divide"))
    with process_state():
        assert needs() == WANTED
        assert torch.zeros(1).device.type == "cpu" and torch.zeros(1).dtype == torch.float32
    assert needs() == before


def test_what_an_error_leaves_is_restored_too() -> None:
    change_everything()
    before = needs()
    with pytest.raises(RuntimeError, match="inside"), process_state():
        raise RuntimeError("inside")
    assert needs() == before


def test_contexts_of_the_user_are_undone_inside_and_go_on_after() -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        before = needs()
        assert before["inference"] and before["autocast"] and before["device"] == "meta"
        with process_state():
            assert needs() == WANTED
            weight = torch.ones(2, requires_grad=True)
            (weight * 3).sum().backward()
            assert weight.grad is not None and weight.grad.tolist() == [3, 3]
        assert needs() == before


def test_the_last_of_several_threads_restores_what_the_first_found() -> None:
    torch.set_default_dtype(torch.float64)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen: dict[str, object] = {}

    def first() -> None:
        with process_state():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with process_state():
            second_in.set()
            first_out.wait(10)
            seen["after the first has left"] = torch.get_default_dtype()

    threads = [threading.Thread(target=one) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"after the first has left": torch.float32}
    assert torch.get_default_dtype() == torch.float64


def test_a_shared_setting_is_changed_once_and_undone_once() -> None:
    events: list[str] = []

    def change() -> Callable[[], object]:
        events.append("changed")
        return lambda: events.append("undone")

    setting = SharedSetting(change)
    for _ in range(2):
        with setting.held(), setting.held():
            assert events[-1] == "changed"
    assert events == ["changed", "undone"] * 2


def test_blas_threads_of_the_process_are_restored_after_overlapping_calls() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    with threadpool_limits(limits=2, user_api="blas"):
        before, entered, leave = threads(), threading.Event(), threading.Event()

        def other() -> None:
            with one_thread():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with one_thread():
            thread.start()
            entered.wait(10)
            assert threads() == {1}
        assert threads() == {1}  # the other thread still computes
        leave.set()
        thread.join()
        assert threads() == before


def _in_child(queue: "multiprocessing.Queue[tuple[int, int, int]]") -> None:
    before = torch.get_num_threads()
    with process_state():
        inside = torch.get_num_threads()
    queue.put((before, inside, torch.get_num_threads()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_process_computes_in_one_thread_for_the_call_alone() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        assert queue.get(timeout=60) == (2, 1, 2)
        child.join()
        with process_state():
            assert torch.get_num_threads() == 2  # this process was not forked
    finally:
        torch.set_num_threads(threads)


@guarded
def decorated(number: int, *, more: int = 1) -> int:
    """Add."""
    return number + more


def test_a_guarded_function_stays_what_it_was() -> None:
    assert decorated(1, more=2) == 3 and decorated.__doc__ == "Add." and decorated.__name__ == "decorated"
    assert is_guarded(decorated) and not is_guarded(needs)


def test_public_functions_can_be_pickled() -> None:
    import scdash

    assert pickle.loads(pickle.dumps(scdash.tl.fit_dynamics)) is scdash.tl.fit_dynamics
