"""Figures show the user's time where every rank stands for one value of it, and name the ranks elsewhere."""

import anndata as ad
import numpy as np
import pytest

from scdash._core.time_axis import time_axis


@pytest.fixture
def adata() -> ad.AnnData:
    found = ad.AnnData(np.zeros((5, 2), dtype="f4"))
    found.obs["pseudotime"] = [0.0, 0.1, 0.1, 0.5, 1.0]
    found.obs["dynamics_position"] = [1.0, 4.0, 4.0, 7.0, 9.0]
    return found


ENTRY = {"params": {"time_key": "pseudotime", "model_time": True}}


def test_ranks_become_times(adata) -> None:
    axis = time_axis(adata, ENTRY, "dynamics")
    assert axis.name == "pseudotime"
    np.testing.assert_allclose(axis.shown([1.0, 4.0, 5.5, 9.0]), [0.0, 0.1, 0.3, 1.0])


def test_the_unit_is_named(adata) -> None:
    entry = {"params": ENTRY["params"] | {"time_unit": "h"}}
    assert time_axis(adata, entry, "dynamics").name == "pseudotime (h)"


def test_ranks_within_batches_stay_ranks(adata) -> None:
    adata.obs["pseudotime"] = [0.0, 0.1, 0.9, 0.5, 1.0]  # two cells of rank 4, of different times
    axis = time_axis(adata, ENTRY, "dynamics")
    assert axis.name == "rank of pseudotime (0 to 10)"
    np.testing.assert_array_equal(axis.shown([1.0, 4.0]), [1.0, 4.0])


def test_times_that_were_changed_or_are_gone_are_not_used(adata) -> None:
    for times in ([5.0, 4.0, 4.0, 2.0, 1.0], [np.nan] * 5, list("abcde")):
        adata.obs["pseudotime"] = times
        assert time_axis(adata, ENTRY, "dynamics").name.startswith("rank of")
    del adata.obs["pseudotime"]
    assert time_axis(adata, ENTRY, "dynamics").name.startswith("rank of")


def test_states_have_the_time_of_the_user_already(adata) -> None:
    axis = time_axis(adata, {"params": {"time_key": "day", "time_unit": "d"}}, "dynamics")
    assert axis.name == "day (d)" and axis.shown([3.0]).tolist() == [3.0]
