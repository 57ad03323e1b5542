"""Shared fixtures; tests marked `reference` or `gpu` skip with a reason where their data or device is absent."""

import os
from pathlib import Path

import pytest

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
