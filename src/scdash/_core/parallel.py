"""Where work is done: independent pieces of it through joblib, as `joblib.parallel_config` says, and on which device."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import joblib
from joblib.parallel import BACKENDS, DEFAULT_BACKEND, get_active_backend

from scdash._core.logging import logger, progress_bar, settings
from scdash._core.process_state import process_state
from scdash._core.threads import one_thread

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
ATTEMPTS = 3  # a piece that takes its worker down every time must not be tried for ever


def spread(
    function: Callable[..., T],
    pieces: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int | None = None,
    threads: bool = False,
) -> Iterator[tuple[int, T]]:
    """Yield (number, function(*piece)) as pieces finish; in their order where there is one process.

    Any backend of joblib will do, so `function` must be one that can be pickled: no lambda and no inner function. Where the
    backend cannot hand over results one by one (multiprocessing, ray), all are yielded when the last has arrived.
    joblib gives a whole call up when one of its workers is killed (loky's TerminatedWorkerError, a BrokenExecutor). Here
    what has arrived is kept and the rest is run again, at most `ATTEMPTS` times in all. dask moves the pieces of a lost
    worker by itself. Errors of a piece are raised.

    `threads`: each piece computes in one thread, mostly in loops that release Python's lock. Where nothing is said about
    joblib, as many pieces run side by side as torch may use threads.
    """
    side_by_side = min(_torch_threads(), len(pieces)) if threads and n_jobs is None and _nothing_said() else 1
    left = dict(enumerate(pieces))
    for attempt in range(1, ATTEMPTS + 1):
        calls = [
            joblib.delayed(_numbered)(function, number, piece, settings.verbosity, threads=threads)
            for number, piece in left.items()
        ]
        try:
            for number, result in _parallel(n_jobs, side_by_side)(calls):
                del left[number]
                yield number, result
            return
        except BrokenExecutor:
            if attempt == ATTEMPTS:
                raise
            logger.warning("    a worker was lost; %d of %d pieces of work are run again", len(left), len(pieces))


def spread_all(
    function: Callable[..., T],
    pieces: Sequence[tuple[Any, ...]],
    description: str,
    *,
    n_jobs: int | None = None,
    progress: bool | None = None,
    threads: bool = False,
) -> list[T]:
    """Return the results of all pieces in order, with a progress bar over pieces; `threads` as in `spread`."""
    if not pieces:  # no bar for no work
        return []
    found: dict[int, T] = {}
    with progress_bar(len(pieces), description, progress=progress) as bar:
        for number, result in spread(function, pieces, n_jobs=n_jobs, threads=threads):
            found[number] = result
            bar.update()
    return [found[number] for number in range(len(pieces))]


def workers() -> int:
    """Return the number of processes that joblib is set up with; 1 unless `joblib.parallel_config` says otherwise."""
    return int(joblib.effective_n_jobs(None))


def _parallel(n_jobs: int | None, threads: int) -> joblib.Parallel:
    """Return joblib's Parallel, which yields results as they arrive where the backend can do so."""
    if threads > 1:
        return joblib.Parallel(threads, backend="threading", return_as="generator_unordered", batch_size=1)
    # one piece a batch: a lost worker then loses no other
    try:
        return joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    except ValueError as error:  # joblib has no other way to ask a backend for it
        if "return_as" not in str(error):
            raise
        return joblib.Parallel(n_jobs=n_jobs, batch_size=1)


def _nothing_said() -> bool:
    """Return whether joblib is as it is imported: no `parallel_config`, and not within a piece of work."""
    backend, n_jobs = get_active_backend()
    return n_jobs is None and backend.nesting_level == 0 and isinstance(backend, BACKENDS[DEFAULT_BACKEND])


def _torch_threads() -> int:
    import torch

    return int(torch.get_num_threads())


def _numbered(
    function: Callable[..., T], number: int, piece: tuple[Any, ...], verbosity: int, *, threads: bool
) -> tuple[int, T]:
    """Do one piece; this is where a worker process begins, which has settings and a state of its own."""
    if settings.verbosity != verbosity:
        settings.verbosity = verbosity
    with process_state(), one_thread() if threads else nullcontext():
        return number, function(*piece)


def use_jobs(n_jobs: int | None) -> AbstractContextManager[Any]:
    """Return a context in which work is spread over `n_jobs` processes; None changes nothing."""
    return nullcontext() if n_jobs is None else joblib.parallel_config(n_jobs=n_jobs)


def resolve_device(name: str) -> "torch.device":
    """Return the device; "auto" is CUDA where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name!r} is no torch device; use 'auto', 'cpu' or 'cuda'.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r} was asked for, but torch finds no CUDA device; use 'auto' or 'cpu'.")
    return device
