"""Messages in scanpy's style on `logging.getLogger("scdash")`, and progress bars that obey the same verbosity."""

import builtins
import importlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO, cast

from tqdm import tqdm

logger = logging.getLogger("scdash")
LEVELS = ("errors only", "warnings", "what is done, reports and progress bars", "the same with details and hints")


@dataclass(repr=False)
class Settings:
    """Package-wide settings: `verbosity` 0 errors only, 1 warnings, 2 info and progress bars (default), 3 hints."""

    _verbosity: int = 2

    def __repr__(self) -> str:
        return f"scdash.settings: verbosity={self._verbosity} ({LEVELS[self._verbosity]})"

    @property
    def verbosity(self) -> int:
        """Level of output, 0 to 3."""
        return self._verbosity

    @verbosity.setter
    def verbosity(self, level: int) -> None:
        if level not in (0, 1, 2, 3):
            raise ValueError(f"verbosity must be 0, 1, 2 or 3, found {level!r}.")
        self._verbosity = level
        logger.setLevel({0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}[level])


settings = Settings()


def output_stream() -> TextIO | None:
    """Return where messages go, as scanpy's do: stdout in a notebook, else stderr, or `scanpy.settings.logfile` if set.

    Scanpy keeps the standard stream that it found when it was imported. Here the current one is meant, so that messages can
    be captured by redirecting it. None where there is none (pythonw, some servers).
    """
    scanpy = sys.modules.get("scanpy")
    chosen = getattr(getattr(scanpy, "settings", None), "logfile", None)
    if chosen is not None and not getattr(chosen, "closed", False):
        name = str(getattr(chosen, "name", "")).strip("<>")
        if name not in ("stdout", "stderr"):
            return cast("TextIO", chosen)
        return sys.stdout if name == "stdout" else sys.stderr
    return sys.stdout if hasattr(builtins, "__IPYTHON__") else sys.stderr


class _ScanpyHandler(logging.Handler):
    """Writes messages to `output_stream`, unless they reach handlers of the root logger: nothing is said twice.

    They do where the user asks for it by `logging.getLogger("scdash").propagate = True`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if logger.propagate and logging.getLogger().handlers:
            return
        stream = output_stream()
        if stream is None:
            return
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except (OSError, ValueError):  # a full disk, or a stream that was closed: a message is not worth a fit
            self.handleError(record)


def _set_up() -> None:
    if not logger.handlers:
        logger.addHandler(_ScanpyHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


_set_up()


@contextmanager
def step(start: str) -> Iterator[list[str]]:
    """Log `start`, then "finished (0:00:03)" with whatever lines the body appended about what was added.

    An interrupt from the keyboard that the body does not handle is told and passed on: results are written last, so there
    are none.
    """
    logger.info(start)
    began = time.perf_counter()
    added: list[str] = []
    try:
        yield added
    except KeyboardInterrupt:
        logger.warning("    interrupted before there was a result: nothing was written")
        raise
    seconds = int(time.perf_counter() - began)
    text = "".join(f"\n    {line}" for line in added)
    logger.info("    finished (%d:%02d:%02d)%s", seconds // 3600, seconds // 60 % 60, seconds % 60, text)


def progress_bar(total: int, description: str, *, progress: bool | None = None) -> "tqdm[Any]":
    """Return a tqdm bar; `progress=None` shows it only at verbosity 2 or more, and only once 2 s have passed.

    It is a widget in notebooks that have ipywidgets, and otherwise goes where messages go: standard output in a notebook,
    whose standard error looks like a failure there, and standard error elsewhere. Nothing is shown where there is no such
    stream; a file that messages go to gets none. Within `whole_call` the bar of the whole call moves instead, where what is
    described was expected.
    """
    whole = _WHOLE.get()
    if whole is not None and description in whole.costs:
        return _Part(whole, description)
    return _bar(total, description, progress=progress)


def _bar(total: float, description: str, *, progress: bool | None, **options: Any) -> "tqdm[Any]":
    notebook = hasattr(builtins, "__IPYTHON__")
    stream = sys.stdout if notebook else sys.stderr
    shown = (settings.verbosity >= 2 if progress is None else progress) and stream is not None
    widget = _widget_bar() if notebook and shown else None
    how: dict[str, Any] = {"total": total, "desc": description, "disable": not shown, "leave": bool(progress)}
    how["delay"] = 0 if progress else 2
    if widget is not None:
        return widget(**how)
    return tqdm(**how, **options, file=stream)


def _widget_bar() -> "type[tqdm[Any]] | None":
    """Return tqdm's bar for notebooks where ipywidgets can show it; without it tqdm would warn on standard error."""
    try:
        importlib.import_module("ipywidgets")
        from IPython import get_ipython
        from tqdm.notebook import tqdm_notebook
    except ImportError:
        return None
    in_kernel = hasattr(get_ipython(), "kernel")
    return cast("type[tqdm[Any]]", tqdm_notebook) if in_kernel else None


class Whole:
    """The bar of a whole call: every piece of work that is expected counts by what it costs."""

    def __init__(self, name: str, *, progress: bool | None) -> None:
        self.name, self.progress = name, progress
        self.costs: dict[str, float] = {}
        self.bar: tqdm[Any] | None = None

    def expect(self, work: Mapping[str, tuple[int, float]]) -> None:
        """Say what is left: name of a part -> number of pieces, and what one of them costs (in any unit, one for all)."""
        self.costs |= {name: cost for name, (_, cost) in work.items()}
        total = sum(number * cost for number, cost in work.values())
        if self.bar is not None:
            self.bar.total = self.bar.n + total
            return
        self.bar = _bar(total, self.name, progress=self.progress, bar_format=WHOLE_FORMAT, smoothing=0)

    def advance(self, name: str, pieces: float) -> None:
        """Count finished pieces; more than were expected do not take the bar beyond its end."""
        if self.bar is not None:
            self.bar.set_description_str(f"{self.name}: {name}", refresh=False)
            self.bar.update(max(0.0, min(self.costs[name] * pieces, (self.bar.total or 0) - self.bar.n)))

    def close(self) -> None:
        """End the bar, if it has begun."""
        if self.bar is not None:
            self.bar.close()


class _Part(tqdm):  # type: ignore[misc]
    """A bar that is not shown and moves that of the whole call."""

    def __init__(self, whole: Whole, name: str) -> None:
        super().__init__(disable=True)
        self._whole, self._name = whole, name
        whole.advance(name, 0)

    def update(self, n: float | None = 1) -> bool | None:
        self._whole.advance(self._name, 1 if n is None else n)
        return None


_WHOLE: ContextVar[Whole | None] = ContextVar("whole call", default=None)
WHOLE_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left"


@contextmanager
def whole_call(name: str, *, progress: bool | None = None) -> Iterator[None]:
    """Let one bar, with an estimate of the time left, stand for all that is expected within a `with` block; see `expect`."""
    whole = Whole(name, progress=progress)
    token = _WHOLE.set(whole)
    try:
        yield
    finally:
        _WHOLE.reset(token)
        whole.close()


def expect(work: Mapping[str, tuple[int, float]]) -> None:
    """Tell the bar of the whole call, where there is one, what is to be done; see `Whole.expect`."""
    whole = _WHOLE.get()
    if whole is not None:
        whole.expect(work)
