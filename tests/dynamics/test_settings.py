"""Which settings of training suit cells of one trajectory, of several, of lineages, and states."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scdash.dynamics.whole_trajectories.settings import dense_epochs, mixed_starts, whole_settings

LINEAGES = np.array([0, 1])
KINDS: dict[str, dict[str, Any]] = {
    "one trajectory": {"learning_halves": ("a half",)},
    "batches": {"lineage": np.zeros(4)},
    "lineages": {"learning_halves": ("a half",), "lineage": LINEAGES},
    "lineages of batches": {"lineage": np.repeat(LINEAGES, 3)},
    "sampled times": {"left_out_times": True},
    "states": {"cells": False},
    "states of a genome": {"cells": False, "n_genes": 11_000},
}


def of_kind(name: str, **training: Any) -> Any:
    """Return what stands for the problem and the options of a kind of data."""
    known = {"cells": True, "n_genes": 500, "lineage": None, "learning_halves": (), "left_out_times": False}
    made = SimpleNamespace(**(known | KINDS[name]), training=training)
    return made, made


@pytest.mark.parametrize(
    ("name", "batch", "from_start", "rate"),
    [
        ("one trajectory", 32, 0.25, 1e-2),
        ("batches", 64, 0.0, 1e-2),
        ("lineages", 64, 0.8, 1e-2),
        ("lineages of batches", 64, 0.8, 1e-2),
        ("sampled times", 64, 0.0, 1e-2),
        ("states", 64, 0.0, 1e-3),
        ("states of a genome", 16, 0.0, 1e-3),
    ],
)
def test_every_kind_of_data_has_its_batches_and_starts(name, batch, from_start, rate):
    found = whole_settings(*of_kind(name))
    assert (found.batch_size, found.from_start, found.learning_rate) == (batch, from_start, rate)


def test_settings_of_the_user_come_first():
    found = whole_settings(*of_kind("one trajectory", batch_size=7, learning_rate=0.5, max_epochs=3))
    assert (found.batch_size, found.learning_rate, found.from_start) == (7, 0.5, 0.25)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("one trajectory", (0, 30, 100)),
        ("batches", (0, 30, 100)),
        ("lineages", (0, 30, 100, 300)),
        ("sampled times", (0, 30, 100, 300)),
        ("states", (0, 30, 100)),
        ("states of a genome", (0, 30)),
    ],
)
def test_every_kind_of_data_has_epochs_to_choose_among(name, epochs):
    assert dense_epochs(*of_kind(name)) == epochs


def test_a_bound_on_epochs_is_the_last_that_may_be_chosen():
    assert dense_epochs(*of_kind("lineages", max_epochs=50)) == (0, 30, 50)
    assert dense_epochs(*of_kind("lineages", max_epochs=100)) == (0, 30, 100)


@pytest.mark.parametrize(("name", "several"), [("batches", True), ("one trajectory", False), ("sampled times", False)])
def test_starts_may_be_mixed_where_whole_trajectories_of_cells_are_left_out(name, several):
    assert mixed_starts(*of_kind(name)) == ((False, True) if several else (False,))
