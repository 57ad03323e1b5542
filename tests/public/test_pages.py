"""Code on pages calls functions that exist, with arguments that they have, and the answers of the FAQ run."""

import ast
import doctest
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import matplotlib.pyplot as plt
import pytest

import scdash

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^ *```(?:python|\{code-cell\}[^\n]*)\n(.*?)^ *```", flags=re.M | re.S)
NAME = re.compile(r"scdash(\.\w+)+")
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if "_build" not in page.parts]


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page, those of lists without their indent."""
    return [textwrap.dedent(block) for block in FENCE.findall(page.read_text())]


def calls(page: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a name of scdash in the Python blocks of a page."""
    for block in blocks(page):
        code = doctest.script_from_examples(block) if ">>>" in block else block
        for node in ast.walk(
            ast.parse("\n".join(line for line in code.splitlines() if not line.startswith(("%", ":"))))
        ):
            if isinstance(node, ast.Call) and NAME.fullmatch(name := ast.unparse(node.func)):
                yield name, node


def problem(name: str, call: ast.Call) -> str | None:
    """Return what is wrong with a call, as far as the signature says."""
    function: Any = scdash
    for part in name.split(".")[1:]:
        function = getattr(function, part, None)
        if function is None:
            return f"{name} does not exist"
    known = inspect.signature(function).parameters
    handed = [parameter for parameter in known.values() if parameter.kind is parameter.VAR_KEYWORD]
    record = get_args(handed[0].annotation) if handed else ()  # Unpack[...] names what it takes
    if handed and not record:
        return None
    names = {*known, *(record[0].__annotations__ if record else ())}
    unknown = [keyword.arg for keyword in call.keywords if keyword.arg and keyword.arg not in names]
    if unknown:
        return f"{name} has no {', '.join(unknown)}"
    positional = [parameter for parameter in known.values() if parameter.kind is not parameter.KEYWORD_ONLY]
    variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in positional)
    return f"{name} takes fewer positional arguments" if len(call.args) > len(positional) and not variable else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_calls_on_pages_fit_the_signatures(page: Path) -> None:
    assert [found for name, call in calls(page) if (found := problem(name, call))] == []


def test_a_wrong_call_is_found() -> None:
    def found(text: str) -> str | None:
        call = ast.parse(text).body[0]
        assert isinstance(call, ast.Expr) and isinstance(call.value, ast.Call)
        return problem(ast.unparse(call.value.func), call.value)

    assert found("scdash.get.grn(adata, only_network=True)") is None
    assert found("scdash.get.grn(adata, true)") == "scdash.get.grn takes fewer positional arguments"
    assert found("scdash.get.grn(adata, edges=3)") == "scdash.get.grn has no edges"
    assert found("scdash.pl.velocity(adata, cmap='magma')") is None
    assert found("scdash.pl.velocity(adata, colour='magma')") == "scdash.pl.velocity has no colour"
    assert found("scdash.get.graph(adata)") == "scdash.get.graph does not exist"


def test_the_answers_of_the_faq_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    text = "\n".join(blocks(ROOT / "docs" / "faq.md"))
    test = doctest.DocTestParser().get_doctest(text, {}, "faq", None, 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        test, out=said.append
    )
    scdash.settings.verbosity = before
    plt.close("all")
    assert result.attempted > 30
    assert result.failed == 0, "".join(said)
