"""Offer every page that is a notebook as an `.ipynb` file, and prepare the cache of their outputs."""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

FOLDER = "_downloads/notebooks"


def prepare(app: Sphinx) -> None:
    """Make the database of outputs before pages are read: two readers that both make it stop the build."""
    if app.config.nb_execution_mode == "cache":
        get_cache(app.config.nb_execution_cache_path).list_cache_records()


def offer(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put a link below the title of a notebook."""
    title = next(doctree.findall(nodes.title), None)
    if app.builder.format != "html" or title is None or not _notebook(app, page).exists():
        return
    address = relative_uri(app.builder.get_target_uri(page), f"{FOLDER}/{page}.ipynb")
    text = f'<p class="notebook"><a href="{address}" download>Download this page as a notebook (.ipynb)</a></p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", text, format="html"))


def copy(app: Sphinx, error: Any) -> None:
    """Copy the notebooks beside the pages."""
    if error is not None or app.builder.format != "html":
        return
    for page in app.env.found_docs:
        source, target = _notebook(app, page), Path(app.outdir) / FOLDER / f"{page}.ipynb"
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _notebook(app: Sphinx, page: str) -> Path:
    """Return where MyST-NB writes the notebook of a page."""
    return Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-resolved", offer)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
