"""Messages in scanpy's style on `logging.getLogger("scdash")`, and progress bars that obey the same verbosity."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

logger = logging.getLogger("scdash")


@dataclass
class Settings:
    """Package-wide settings: `verbosity` 0 errors only, 1 warnings, 2 info and progress bars (default), 3 hints."""

    _verbosity: int = 2

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


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the current sys.stderr, so that notebooks and pytest's capture both see the messages."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _set_up() -> None:
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


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
    """Return a tqdm bar; `progress=None` shows it only at verbosity 2 or more, and only once 2 s have passed."""
    shown = settings.verbosity >= 2 if progress is None else progress
    return tqdm(total=total, desc=description, disable=not shown, delay=0 if progress else 2, leave=bool(progress))
