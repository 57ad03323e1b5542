"""What the API pages are made of: results that render as a list, links that lead somewhere, an example for everything."""

import inspect
import re
from functools import reduce

import pytest

import scdash

from .test_signatures import NAMES, public

SECTION = r"^{}\n-+\n(.*?)(?=^[A-Z][\w ]*\n-{{3,}}$|\Z)"
NAMED = re.compile(r"`{1,2}(scdash(?:\.\w+)+)")


def section(name: str, title: str) -> str:
    found = re.search(SECTION.format(title), inspect.getdoc(public(name)) or "", flags=re.S | re.M)
    return found.group(1).rstrip() if found else ""


@pytest.mark.parametrize("name", NAMES)
def test_results_are_names_and_types_with_indented_text(name: str) -> None:
    lines = section(name, "Returns").splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        if not line or line.startswith(" "):
            continue
        explained = following.startswith("    ")
        slot = re.match(r"`{1,2}[^`]+`{1,2}(, `[^`]+`)*( : .+)?$", line)
        is_type = re.match(r"[\w.]+( (or|of) [\w.]+)*$", line)
        assert slot or is_type, f"{name}: prose at the margin of Returns would be drawn as types: {line!r}"
        assert not line.endswith((".", ",", ":")), f"{name}: a name or type, not a sentence: {line!r}"
        assert explained or slot or line in ("AnnData", "MuData"), f"{name}: nothing is said about {line!r}"


@pytest.mark.parametrize("name", NAMES)
def test_there_is_somewhere_to_go_next(name: str) -> None:
    listed = re.findall(r"^(scdash\.\w+\.\w+) : (.+)$", section(name, "See Also"), flags=re.M)
    assert listed, f"{name} has no See Also"
    assert f"scdash.{name}" not in [target for target, _ in listed]
    for target, text in listed:
        assert target.removeprefix("scdash.") in NAMES and len(text) > 10


@pytest.mark.parametrize("name", NAMES)
def test_there_is_an_example(name: str) -> None:
    text = section(name, "Examples")
    assert ">>> " in text, f"{name} has no example"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mentioned_of_scdash_exists(name: str) -> None:
    for mentioned in NAMED.findall(inspect.getdoc(public(name)) or ""):
        parts = mentioned.split(".")[1:]
        reduce(getattr, parts, scdash)  # an AttributeError names a link that leads nowhere


@pytest.mark.parametrize("name", [name for name in NAMES if name.split(".")[0] in ("pp", "tl", "pl", "get")])
def test_data_have_a_type(name: str) -> None:
    parameters = inspect.signature(public(name)).parameters
    for argument in {"adata", "mdata", "data", "perturbed", "predicted"} & set(parameters):
        assert str(parameters[argument].annotation) not in ("Any", "typing.Any"), f"{name}: {argument} has no type"
    assert str(inspect.signature(public(name)).return_annotation) not in ("Any", "typing.Any")


def test_text_for_markdown_is_not_in_docstrings() -> None:
    for name in NAMES:
        assert not re.search(r"\{(doc|ref|func|class|mod|cite)\}`", inspect.getdoc(public(name)) or ""), name
