"""Random parts and bootstraps, and what is counted over refits: the same for genes, for edges and for matrices of edges."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scdash.resampling.draws import drawn_within, stratified_part
from scdash.resampling.stability import Selections, check_repeats, pairs_of_refits, ranked, write_result


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_part_has_the_size_asked_for_of_every_kind_and_nothing_twice() -> None:
    kinds = np.array([0] * 10 + [7] * 4 + [3])
    part = stratified_part(kinds, lambda n: max(1, n // 2), rng())
    assert len(set(part.tolist())) == len(part)
    np.testing.assert_array_equal(np.bincount(kinds[part], minlength=8)[[0, 3, 7]], [5, 1, 2])


def test_draws_stay_within_their_group() -> None:
    groups = [np.array([4, 5, 6]), np.array([], np.int64), np.arange(20, 40)]
    once = drawn_within(groups, lambda n: n // 2, rng())
    assert [len(part) for part in once] == [1, 0, 10] and len(set(once[2].tolist())) == 10
    again = drawn_within(groups, lambda n: n, rng(), replace=True)
    assert [set(part.tolist()) <= set(of.tolist()) for part, of in zip(again, groups, strict=True)] == [True] * 3
    assert len(again[2]) == 20 > len(set(again[2].tolist()))


def test_edges_that_a_refit_lacks_count_as_zero() -> None:
    first = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"], "weight": [2.0, -1.0]})
    pairs, found = pairs_of_refits([first, first.head(1), first.assign(weight=[1.0, -4.0])])
    table = ranked({**pairs, "frequency": found.frequency, "weight": found.mean}, by="weight")
    assert table[["source", "target"]].to_numpy().tolist() == [["a", "b"], ["b", "c"]]
    np.testing.assert_allclose(table["frequency"], [1, 2 / 3])
    np.testing.assert_allclose(table["weight"], [5 / 3, -5 / 3])
    np.testing.assert_allclose(found.sd, np.std([[2, -1], [2, 0], [1, -4]], axis=0))


def test_equal_frequencies_are_ranked_by_size_whatever_the_sign() -> None:
    found = Selections(np.ones((2, 3), bool), np.array([[1.0, -3.0, 2.0]] * 2))
    table = ranked({"gene": ["a", "b", "c"], "frequency": found.frequency, "score": found.mean}, by="score")
    assert list(table["gene"]) == ["b", "c", "a"]


@pytest.mark.parametrize(("n", "fraction", "whole"), [(1, 0.5, False), (2, 0.0, True), (2, 1.0, False), (2, 1.1, True)])
def test_there_must_be_something_to_compare(n: int, fraction: float, whole: bool) -> None:
    with pytest.raises(ValueError, match="n_repeats" if n < 2 else "subsample"):
        check_repeats(n, "subsample", fraction, whole=whole)
    check_repeats(2, "subsample", 1.0, whole=True)


def test_what_is_counted_is_written_with_its_report() -> None:
    uns: dict[str, Any] = {}
    added: list[str] = []
    entry = {"edges": pd.DataFrame({"frequency": [1.0]}), "params": {"n_repeats": 2}, "report": "one edge."}
    table = write_result(uns, "again", "edges", entry, added, "how often")
    assert table.attrs["report"] == "one edge." == uns["again"]["report"]
    assert added == ["added uns['again'], how often"] and "format" in str(uns["again"])
