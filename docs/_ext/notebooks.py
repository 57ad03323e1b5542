"""Offer every page that is a notebook as an `.ipynb` file and in Google Colab, and prepare the cache of their outputs."""

from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

FOLDER = "_downloads/notebooks"
# The site is published on the branch gh-pages (.github/workflows/docs.yaml), from where Colab reads the notebooks.
COLAB = "https://colab.research.google.com/github/{repository}/blob/gh-pages/" + FOLDER
INSTALL = """\
# Google Colab has no scdash: install it there. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "scdash @ git+{address}"
"""


def prepare(app: Sphinx) -> None:
    """Make the database of outputs before pages are read: two readers that both make it stop the build."""
    if app.config.nb_execution_mode == "cache":
        get_cache(app.config.nb_execution_cache_path).list_cache_records()


def offer(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put two links below the title of a notebook: to the file, and to the file in Colab."""
    title = next(doctree.findall(nodes.title), None)
    if app.builder.format != "html" or title is None or not _notebook(app, page).exists():
        return
    address = relative_uri(app.builder.get_target_uri(page), f"{FOLDER}/{page}.ipynb")
    online = f"{COLAB.format(repository=_repository(app).removeprefix('https://github.com/'))}/{page}.ipynb"
    text = (
        f'<p class="notebook"><a href="{address}" download>Download this page as a notebook (.ipynb)</a> or '
        f'<a href="{online}">open it in Google Colab</a></p>'
    )
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", text, format="html"))


def copy(app: Sphinx, error: Any) -> None:
    """Copy the notebooks beside the pages, with a first cell that installs the package in Colab."""
    if error is not None or app.builder.format != "html":
        return
    for page in app.env.found_docs:
        source, target = _notebook(app, page), Path(app.outdir) / FOLDER / f"{page}.ipynb"
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            notebook = nbformat.read(source, as_version=4)
            install = nbformat.v4.new_code_cell(INSTALL.format(address=_repository(app)), id="install")
            notebook.cells.insert(0, install)
            nbformat.write(notebook, target)


def _repository(app: Sphinx) -> str:
    """Return the address of the repository."""
    return str(app.config.html_theme_options["repository_url"])


def _notebook(app: Sphinx, page: str) -> Path:
    """Return where MyST-NB writes the notebook of a page."""
    return Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-resolved", offer)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
