"""Shared fixtures; tests marked `reference` or `gpu` skip with a reason where their data or device is absent."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow at times, and a submission must not fail on an example that the next run does not draw.
settings.register_profile("scdash", deadline=None, derandomize=True)
settings.load_profile("scdash")


def _compiled_code() -> Path:
    """Return a folder for numba's compiled code that is named after its sources.

    numba looks at the date of one file only, and would go on using loops that call others (`solve._rk4_loops`) after
    those have changed: a wrong formula would pass.
    """
    files = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
    sources = [text for text in (file.read_bytes() for file in files) if b"_compiled" in text]
    return Path(tempfile.gettempdir()) / f"scdash-numba-{hashlib.sha256(b''.join(sources)).hexdigest()[:16]}"


os.environ.setdefault("NUMBA_CACHE_DIR", str(_compiled_code()))
REFERENCE = Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REFERENCE.is_dir():
        return
    skip = pytest.mark.skip(reason=f"reference data not found at {REFERENCE} (set SCDASH_REFERENCE_DATA)")
    for item in items:
        if "reference" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of reference data."""
    return REFERENCE


COUNTED: Counter[str] = Counter()


@pytest.fixture(scope="session")
def tally() -> Callable[..., None]:
    """Count what a suite tried, as `tally("kills survived", 20)`: printed at the end, kept in docs/reliability.md."""

    def add(what: str, number: int = 1) -> None:
        COUNTED[what] += number

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not COUNTED:
        return
    terminalreporter.section("counts")
    for what in sorted(COUNTED):
        terminalreporter.line(f"{COUNTED[what]:6d}  {what}")
