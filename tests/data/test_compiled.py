"""Compiled loops are the functions they are made of, kept on disk where that is possible."""

import numba
import pytest

from scdash._core import compiled as _compiled


def double(x):
    return 2 * x


def test_a_loop_is_its_function():
    assert _compiled.loop(double)(4) == 8


def test_without_a_place_for_compiled_code_loops_are_compiled_each_time(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def njit(*, cache, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert _compiled.loop(double) is double
    assert asked == [True, True, False]  # beside the package, in a temporary folder, nowhere
