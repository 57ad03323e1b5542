"""Give every plot in the API reference its figure.

The figures are drawn once a build from small fits (`draw_plots.py`, a process of its own) and appended to the
docstring of the function they show. A plot without a figure is a warning, so that none is forgotten.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
FOLDER = "generated/figures"
NO_FIGURE = {"project_velocity"}  # returns arrays


def _stamp(docs: Path) -> str:
    digest = hashlib.sha256((docs / "_ext" / "draw_plots.py").read_bytes())
    for path in sorted((docs.parent / "src" / "scdash").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def draw(app: Sphinx) -> None:
    """Draw the figures unless they are those of this very code."""
    docs = Path(app.srcdir)
    folder = docs / FOLDER
    stamp = folder / "stamp"
    if os.environ.get("SCDASH_DOCS_FIGURES") == "off":  # to work on one page
        return
    if stamp.exists() and stamp.read_text() == _stamp(docs):
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(docs / "_ext" / "draw_plots.py"), str(folder)]
    subprocess.run(command, check=True, env=os.environ | {"MPLBACKEND": "Agg"})
    stamp.write_text(_stamp(docs))


def append(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Append the figure of a plot to its docstring."""
    if what != "function" or not name.startswith("scdash.pl."):
        return
    plot = name.rpartition(".")[2]
    if plot in NO_FIGURE:
        return
    if not (Path(app.srcdir) / FOLDER / f"{plot}.png").exists():
        logger.warning("no figure of scdash.pl.%s: draw one in docs/_ext/draw_plots.py", plot)
        return
    lines += ["", f".. image:: /{FOLDER}/{plot}.png", f"   :alt: A figure drawn by scdash.pl.{plot}", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", draw)
    app.connect("autodoc-process-docstring", append)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
