"""The rules that hold for every public function: signature, annotations, docstring."""

import inspect
import re
from typing import Any

import pytest

import scdash

from .cases import AFTER, DRAWING, DRAWN_FROM_TABLES, NEED_CELLRANK, ON_ARRAYS, RETURNING, WRITING, public

MODULES = ("pp", "tl", "pl", "get", "datasets", "metrics", "simulate")
NAMES = [
    f"{module}.{name}"
    for module in MODULES
    for name in sorted(getattr(scdash, module).__all__)
    if inspect.isfunction(getattr(getattr(scdash, module), name))
]
ON_DATA = [name for name in NAMES if name.split(".")[0] in ("pp", "tl", "pl", "get")]
ON_TABLES = DRAWN_FROM_TABLES | {"pl.sparsity_path", "pl.knockout_trends", "pl.knockout_volcano"}


def parameters(name):
    return inspect.signature(public(name)).parameters


def test_every_function_is_listed_once_in_the_reference():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    listed = re.findall(rf"^   ((?:{'|'.join(MODULES)})\.\w+)$", page, flags=re.M)
    assert len(listed) == len(set(listed))
    assert set(NAMES) - set(listed) == set(), "add a line for each of them to docs/api.md"
    assert [name for name in listed if not hasattr(getattr(scdash, name.split(".")[0]), name.split(".")[1])] == []


def test_every_function_on_data_has_a_case():
    told = {*WRITING, *RETURNING, *AFTER, *DRAWING, *DRAWN_FROM_TABLES, *ON_ARRAYS, *NEED_CELLRANK}
    assert told <= set(NAMES)
    assert set(ON_DATA) - told == set(), "add a call for each of them to tests/public/cases.py"


@pytest.mark.parametrize("name", sorted(set(ON_DATA) - ON_ARRAYS))
def test_data_come_first_and_at_most_two_arguments_are_positional(name):
    found = parameters(name)
    first = next(iter(found))
    assert first in ({"adata", "mdata", "data"} | ({"table", "perturbed"} if name in ON_TABLES else set()))
    positional = [p.name for p in found.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(positional) <= 2
    assert not any(p.kind is p.VAR_POSITIONAL for p in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_call_has_at_most_twenty_named_arguments(name):
    named = [p.name for p in parameters(name).values() if p.kind is not p.VAR_KEYWORD]
    assert len(named) <= (27 if name == "tl.fit_dynamics" else 20)


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_annotated(name):
    signature = inspect.signature(public(name))
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert bare == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", [name for name in NAMES if name.split(".")[0] in ("pp", "tl", "get", "metrics")])
def test_no_argument_takes_just_anything(name):
    """Arguments that are handed on (`**fit`) have the types of the function that they go to."""
    told = [p for p in parameters(name).values() if p.kind is not p.VAR_KEYWORD]
    assert [
        p.name for p in told if p.annotation in (Any, "Any") or "Mapping[str, typing.Any]" in str(p.annotation)
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_documented(name):
    text = inspect.getdoc(public(name))
    assert text, name
    summary = text.splitlines()[0]
    assert summary.endswith((".", ":")) and len(summary) < 140
    if name.startswith("metrics.") and "arameters as in :func:" in text:
        return
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    named = {part.strip() for line in lines for part in line.split(",")}
    arguments = [p.name for p in parameters(name).values() if p.kind is not p.VAR_KEYWORD]
    assert [argument for argument in arguments if argument not in named] == []
    if not name.startswith(("pl.", "metrics.")):
        assert re.search(r"^Returns\n-------$", text, flags=re.M)


@pytest.mark.parametrize("name", sorted(WRITING))
def test_what_writes_takes_copy_and_says_what_it_writes(name):
    copy = parameters(name)["copy"]
    assert copy.kind is copy.KEYWORD_ONLY and copy.default is False
    returns = inspect.getdoc(public(name)).split("Returns\n-------")[1]
    assert "None, or the copy" in returns or "None" in returns
    assert re.search(r"Written|written", returns)


def test_whatever_takes_copy_is_among_those_that_write():
    assert {name for name in NAMES if "copy" in parameters(name)} - NEED_CELLRANK == set(WRITING)
