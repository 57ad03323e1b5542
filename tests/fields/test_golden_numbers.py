"""The committed numbers of the authors' code are those of the reference data, to the last digit that is stored."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.reference
@pytest.mark.parametrize("name", ["dash_scores", "pathreg", "phoenix_forward"])
def test_committed_numbers_are_those_of_the_files(
    reference: Path, golden_numbers: Callable[[str], dict[str, np.ndarray]], name: str
) -> None:
    committed = golden_numbers(name)
    with np.load(reference / "golden" / f"{name}.npz") as data:
        assert committed and set(committed) <= set(data.files)
        for key, value in committed.items():
            np.testing.assert_allclose(value, data[key], rtol=1e-14, atol=1e-300)
