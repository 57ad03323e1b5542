"""What a public call needs of the process it runs in: set when the call begins, as it was before when the call ends.

A notebook may have switched gradients off, changed torch's default type or device, or told NumPy to raise on division by
zero. None of this may change a result or stop a fit, and none of it is ours to keep changed.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")
AUTOCAST_DEVICES = ("cpu", "cuda")
NUMPY_ERRORS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # its defaults


class SharedSetting:
    """A setting of the whole process that calls in several threads need at the same time.

    The first of them changes it and the last of them undoes the change. With a plain "read, set, set back" in every
    thread, the second thread would read what the first has set, and leave that behind.

    `change`: makes the change and returns a function that undoes it.
    """

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._calls = 0
        self._undo: Callable[[], object] | None = None
        if hasattr(os, "register_at_fork"):  # another thread of the parent may have held the lock
            os.register_at_fork(after_in_child=self._renew_lock)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the setting changed within a `with` block."""
        with self._lock:
            if self._calls == 0:
                self._undo = self._change()
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                if self._calls == 0 and self._undo is not None:
                    self._undo()
                    self._undo = None

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


@contextmanager
def process_state() -> Iterator[None]:
    """Set what our computations need within a `with` block, and restore what was set before.

    Gradients are switched on and inference mode and autocast off; torch creates float32 tensors on the CPU unless told
    otherwise; NumPy warns on division by zero and on invalid values. In a process that was forked from one that had
    loaded torch, one thread computes: OpenMP's other threads do not exist there, and waiting for them would never end.
    Nothing of torch is touched, and it is not imported, where it has not been loaded: then nobody has changed it.
    """
    with ExitStack() as stack:
        stack.enter_context(np.errstate(**NUMPY_ERRORS))
        if "torch" in sys.modules:
            _enter_torch(stack)
        yield


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Run a public function within `process_state`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with process_state():
            return function(*args, **kwargs)

    call.__dict__["guarded"] = True
    return call


def is_guarded(function: Callable[..., Any]) -> bool:
    """Return whether a function is decorated with `guarded`."""
    return bool(getattr(function, "guarded", False))


def _enter_torch(stack: ExitStack) -> None:
    import torch

    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(mode=False))
    stack.enter_context(torch.enable_grad())
    stack.enter_context(_DEFAULT_DTYPE.held())
    if torch.get_default_device().type != "cpu":  # this makes every operation slower, so it is not always done
        stack.enter_context(torch.device("cpu"))
    for device in AUTOCAST_DEVICES:
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
    if _forked_with_torch:
        stack.enter_context(_single_threaded())


def _set_float32() -> Callable[[], object]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    return lambda: torch.set_default_dtype(before)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let OpenMP, of torch and of scikit-learn, compute in the calling thread alone."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            yield
    finally:
        torch.set_num_threads(before)


def _note_fork() -> None:
    global _forked_with_torch
    _forked_with_torch = "torch" in sys.modules


_DEFAULT_DTYPE = SharedSetting(_set_float32)
_forked_with_torch = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
