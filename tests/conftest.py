"""Shared fixtures; tests marked `reference` or `gpu` skip with a reason where their data or device is absent."""

import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Shared machines are slow at times, and a submission must not fail on an example that the next run does not draw.
settings.register_profile("scdash", deadline=None, derandomize=True)
settings.load_profile("scdash")

REFERENCE = Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REFERENCE.is_dir():
        return
    skip = pytest.mark.skip(reason=f"reference data not found at {REFERENCE} (set SCDASH_REFERENCE_DATA)")
    for item in items:
        if "reference" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def messages_reach_pytest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let pytest's fixtures see our messages: `caplog` at the root logger, `capsys` on standard error; verbosity is restored."""
    if "caplog" in request.fixturenames:
        monkeypatch.setattr(logging.getLogger("scdash"), "propagate", True)
    if (scanpy := sys.modules.get("scanpy")) is not None:  # it has kept the stream of the time when it was imported
        scanpy.settings.logfile = sys.__stderr__
    ours = getattr(sys.modules.get("scdash"), "settings", None)
    before = None if ours is None else ours.verbosity
    yield
    if ours is not None and before is not None:  # benchmarks set it to 0
        ours.verbosity = before


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of reference data."""
    return REFERENCE


@pytest.fixture
def joblib_backend() -> Callable[[str], AbstractContextManager[None]]:
    """Contexts in which joblib spreads work with a backend, by name; "dask" and "ray" skip where they are not installed."""

    @contextmanager
    def backend(name: str) -> Iterator[None]:
        import joblib

        with ExitStack() as stack:
            if name == "dask":
                distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
                cluster = distributed.LocalCluster(
                    n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
                )
                stack.enter_context(cluster)
                stack.enter_context(stack.enter_context(distributed.Client(cluster)).as_current())
            if name == "ray":
                ray = pytest.importorskip("ray", reason="ray is not installed")
                from ray.util.joblib import register_ray

                register_ray()
                ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
                stack.callback(ray.shutdown)
            stack.enter_context(joblib.parallel_config(name, n_jobs=1 if name == "sequential" else 2))
            yield

    return backend


GOLDEN = Path(__file__).parent / "data_golden"


@pytest.fixture(scope="session")
def golden_numbers() -> Callable[[str], dict[str, Any]]:
    """Numbers that the authors' code gave, by name of the file in `data_golden`, as arrays; each says where it is from."""

    def read(name: str) -> dict[str, Any]:
        stored = json.loads((GOLDEN / f"{name}.json").read_text())
        return {key: np.asarray(value, dtype=np.float64) for key, value in stored.items() if key != "source"}

    return read


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


@pytest.fixture
def messages() -> Iterator[Callable[[], str]]:
    """Return a function that gives all messages logged by scdash in this test, at any level, as one text."""
    stream, log = io.StringIO(), logging.getLogger("scdash")
    handler, level = logging.StreamHandler(stream), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield stream.getvalue
    log.removeHandler(handler)
    log.setLevel(level)
