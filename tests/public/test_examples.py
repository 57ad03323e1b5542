"""The examples of docstrings run and print what they say."""

import doctest
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest

import scdash

from .cases import drawn, evaluated, screen_fit

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Examples that are read, not run, because they show the user's own data or need a network; each has "# doctest: +SKIP".
MOST_SKIPPED = 68
# What the examples of docstrings begin with, as docs/api.md says: small fits of each kind.
GIVEN: dict[str, Callable[[], Any]] = {"adata": drawn, "screen": screen_fit, "mdata": evaluated}


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(scdash.__path__, "scdash."):
        yield found.name


def examples() -> Iterator[doctest.DocTest]:
    for name in modules():
        module = importlib.import_module(name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs={"scdash": scdash}):
            if test.examples:
                yield test


EXAMPLES = list(examples())
RUN = [t for t in EXAMPLES if not all(e.options.get(doctest.SKIP) for e in t.examples)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before
    plt.close("all")


@pytest.mark.parametrize("test", RUN, ids=lambda test: test.name)
def test_an_example_prints_what_it_says(test: doctest.DocTest) -> None:
    said: list[str] = []
    source = "".join(example.source for example in test.examples)
    for name, make in GIVEN.items():
        if re.search(rf"\b{name}\b", source) and not re.search(rf"^{name} = ", source, flags=re.M):
            test.globs[name] = make()
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_few_examples_are_left_out() -> None:
    lines = [example for test in EXAMPLES for example in test.examples]
    skipped = sum(bool(example.options.get(doctest.SKIP)) for example in lines)
    assert len(lines) > 100  # decorated functions are found, too
    assert skipped <= MOST_SKIPPED, f"{skipped} of {len(lines)} lines are not run"
