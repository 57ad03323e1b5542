"""Open built pages in a headless browser and look for what a reader would stumble over; only the standard library is used.

`python .ci/pages_in_browser.py docs/_build/html [--screenshots FOLDER] [PAGE ...]` opens every page at 1280 and 390 pixels and
asks the browser: does anything reach beyond the right edge, has every image a text in its place, is there one search box, is every
linked file there, does the page need scripts from outside? Without a browser it says so and ends with 0. The browser is spoken
to through a pipe (Chrome DevTools protocol).
"""

import argparse
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WIDTHS = {1280: 800, 390: 844}  # pixels: a laptop and a telephone
PAGES = (
    "index", "installation", "quickstart", "recipes", "faq", "gallery", "api", "concepts/evidence", "tutorials/myoblasts",
    "generated/scdash.tl.fit_dynamics",
)  # fmt: skip
SECONDS = 50.0  # for all pages together
LOOK = r"""(() => {
  const seen = e => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  const inScroller = e => { for (let p = e; p && p !== document.body; p = p.parentElement) if (scrolls(p)) return true; };
  const name = e => e.tagName.toLowerCase() + [...e.classList].map(c => '.' + c).join('') + ' ' + e.textContent.trim().slice(0, 30);
  const page = document.documentElement, width = page.clientWidth;
  const end = e => { const box = e.getBoundingClientRect(); return Math.max(box.right, box.left + e.scrollWidth); };
  const article = document.querySelector('article') || document.body;
  const wide = [...article.querySelectorAll('*')].filter(e => seen(e) && end(e) > width + 1 && !inScroller(e));
  const links = [...document.querySelectorAll('script[src], link[rel=stylesheet]')].map(e => e.src || e.href);
  return JSON.stringify({ over: page.scrollWidth - width, wide: wide.filter(e => !wide.some(other => other !== e && e.contains(other))).slice(0, 3).map(name),
    silent: [...document.images].filter(e => !(e.getAttribute('alt') || '').trim()).map(e => e.getAttribute('src').slice(-60)),
    broken: [...document.images].filter(e => e.complete && !e.naturalWidth && e.src.startsWith('file:')).map(e => e.src),
    links: [...document.querySelectorAll('a[href]')].map(e => e.href.split('#')[0]).filter(address => address.startsWith('file:')),
    outside: links.filter(address => /^https?:/.test(address)),
    searches: [...document.querySelectorAll('input[type=search], .search-button, .search-button-field')].filter(seen).length
  }); })()"""


class Browser:
    """A headless browser with one page."""

    def __init__(self, program: str, profile: str) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser, from_browser)]

        def as_three_and_four() -> None:
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self._process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4), preexec_fn=as_three_and_four, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for fd in (to_browser, from_browser, *theirs):
            os.close(fd)
        self._rest, self._number, self._end = b"", 0, time.monotonic() + SECONDS
        self._session: str | None = None

    def start(self) -> None:
        """Take hold of the page."""
        page = next(one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self.ask("Page.enable")

    def ask(self, method: str, **arguments: Any) -> Any:
        """Return the browser's answer to a command."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": arguments}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        found = self.wait(lambda message: message.get("id") == self._number)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']}")
        return found["result"]

    def wait(self, wanted: Any) -> Any:
        """Return the first message that is wanted."""
        while True:
            while b"\0" not in self._rest:
                left = self._end - time.monotonic()
                ready, *_ = select.select([self._read], [], [], max(left, 0))
                more = os.read(self._read, 2**20) if ready else b""
                if not more:
                    raise RuntimeError("the browser does not answer" if ready else f"not done after {SECONDS:.0f} s")
                self._rest += more
            first, _, self._rest = self._rest.partition(b"\0")
            message = json.loads(first)
            if wanted(message):
                return message

    def open(self, address: str, width: int) -> dict[str, Any]:
        """Return what a page shows at a width."""
        phone = width < 500
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=WIDTHS[width], deviceScaleFactor=1, mobile=phone
        )
        self.ask("Page.navigate", url=address)
        self.wait(lambda message: message.get("method") == "Page.loadEventFired")
        found = self.ask("Runtime.evaluate", expression=LOOK, returnByValue=True)
        seen: dict[str, Any] = json.loads(found["result"]["value"])
        return seen

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)


def faults(seen: dict[str, Any]) -> list[str]:
    """Return in words what is wrong with a page."""
    found = []
    if seen["over"] > 1:
        found.append(f"the page is {seen['over']} pixels wider than the window")
    found += [f"reaches beyond the right edge: {name}" for name in seen["wide"]]
    found += [f"image without alt text: {name}" for name in seen["silent"]]
    found += [f"image that cannot be read: {name}" for name in seen["broken"]]
    found += [f"needs something from outside: {address}" for address in seen["outside"]]
    lost = {one for one in seen["links"] if not Path(unquote(urlsplit(one).path)).exists()}
    found += [f"link to a file that is not there: {address}" for address in sorted(lost)]
    if seen["searches"] != 1:
        found.append(f"{seen['searches']} search boxes are seen, not one")
    return found


def check(program: str, root: Path, pages: list[str], pictures: Path | None) -> list[str]:
    """Return the faults of all pages at all widths."""
    found = []
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            browser.start()
            for page in pages:
                path = (root / f"{page}.html").resolve()
                if not path.exists():
                    found.append(f"{page}: is not among the built pages")
                    continue
                for width in WIDTHS:
                    found += [f"{page} at {width} px: {fault}" for fault in faults(browser.open(path.as_uri(), width))]
                    if pictures is not None:
                        browser.screenshot(pictures / f"{page.replace('/', '_')}_{width}.png")
        finally:
            browser.close()
    return found


def main() -> int:
    """Check the pages and return 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the built pages")
    parser.add_argument("pages", nargs="*", default=list(PAGES), help="pages without .html")
    parser.add_argument("--screenshots", type=Path, help="folder for a picture of each page")
    asked = parser.parse_args()
    program = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if program is None:
        print(f"pages were not opened in a browser: none of {', '.join(BROWSERS)} is installed")
        return 0
    try:
        found = check(program, asked.root, asked.pages, asked.screenshots)
    except (OSError, RuntimeError) as error:
        print(f"pages were not opened in a browser: {program}: {error}")
        return 0
    print("\n".join(found) or f"{len(asked.pages)} pages at {' and '.join(map(str, WIDTHS))} px are as they should be")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
