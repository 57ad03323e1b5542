"""The browser check of built pages finds what a reader would stumble over, and says so where there is no browser."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

from scdash import pl

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "pages_in_browser.py"
if not SCRIPT.exists():
    pytest.skip("the checks of a clone are not here", allow_module_level=True)
spec = importlib.util.spec_from_file_location("pages_in_browser", SCRIPT)
assert spec is not None and spec.loader is not None
browser = importlib.util.module_from_spec(spec)
spec.loader.exec_module(browser)

PROGRAM = next((found for found in map(shutil.which, browser.BROWSERS) if found), None)
PAGE = (
    '<!doctype html><html><head><meta name="viewport" content="width=device-width, initial-scale=1"></head>'
    '<body><input type="search" style="width:90px"><article>{}</article></body></html>'
)
PAGES = {
    "good": "<p>words</p>",
    "wide": '<p style="width:700px">words</p>',
    "title": "<h1>" + "scdash" * 12 + "</h1>",
    "silent": '<img src="none.png">',
    "lost": '<a href="nowhere.html#part">words</a> <a href="good.html">words</a>',
    "twice": '<input type="search" style="width:90px">',
    "outside": '<script src="https://localhost:1/mathjax.js"></script>',
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if PROGRAM is None:
        pytest.skip("no browser is installed")
    root = tmp_path_factory.mktemp("pages")
    for name, body in PAGES.items():
        (root / f"{name}.html").write_text(PAGE.format(body))
    try:
        return browser.check(PROGRAM, root, [*PAGES, "absent"], None)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"{PROGRAM} cannot be used here: {error}")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("wide", r"wide at 390 px: the page is \d+ pixels wider than the window"),
        ("wide", "wide at 390 px: reaches beyond the right edge: p words"),
        ("title", "title at 390 px: reaches beyond the right edge: h1 scdash"),
        ("silent", "silent at 1280 px: image without alt text: none.png"),
        ("silent", "silent at 1280 px: image that cannot be read: .*none.png"),
        ("lost", "lost at 1280 px: link to a file that is not there: file:.*nowhere.html"),
        ("twice", "twice at 1280 px: 2 search boxes are seen, not one"),
        ("outside", "outside at 1280 px: needs something from outside: https://localhost:1/mathjax.js"),
        ("absent", "absent: is not among the built pages"),
    ],
)
def test_faults_are_found(faults: list[str], page: str, expected: str) -> None:
    assert any(re.fullmatch(expected + ".*", fault) for fault in faults if fault.startswith(page)), faults


def test_files_that_are_there_are_not_lost(faults: list[str]) -> None:
    assert not [fault for fault in faults if "good.html" in fault]


def test_a_good_page_has_no_faults(faults: list[str]) -> None:
    assert not [fault for fault in faults if fault.startswith("good")]
    assert not [fault for fault in faults if fault.startswith("wide at 1280")]


def test_without_a_browser_the_reason_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pages_in_browser.py", str(tmp_path)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.main() == 0 and "not opened in a browser: none of" in capsys.readouterr().out
    program = tmp_path / browser.BROWSERS[0]
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert browser.main() == 0 and "chromium-headless-shell: " in capsys.readouterr().out


def test_the_gallery_has_a_card_with_a_text_for_every_figure() -> None:
    cards = re.findall(
        r":::\{grid-item-card\} pl\.(\w+)\n:img-top: \S+/(\w+)\.png\n:img-alt: \S.*\n",
        (ROOT / "docs" / "gallery.md").read_text(),
    )
    assert {name for name, _ in cards} == set(pl.__all__) - {"project_velocity"}
    assert all(name == picture for name, picture in cards)
