"""Sphinx configuration; `make docs` builds with warnings as errors and without a network."""

import hashlib
import os
import sys
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

info = metadata("scdash")
project = info["Name"]
author = "scdash developers"
copyright = "2026, scdash developers"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "link_names",
    "math_ml",
    "notebooks",
    "plot_figures",
]
autosummary_generate = True
default_role = "py:obj"  # `scdash.get.grn` in a docstring is a link
autodoc_member_order = "groupwise"
autodoc_typehints = "description"
typehints_defaults = "braces"
always_use_bars_union = True
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_param = True
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"


def _source_hash() -> str:
    """Return a hash of the package: outputs of a notebook are valid for the code that made them only."""
    package, digest = HERE.parent / "src" / "scdash", hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Tutorials run at build time, one process each; what did not change comes from the cache.
nb_execution_mode = os.environ.get("SCDASH_DOCS_EXECUTE", "cache")
suppress_warnings = ["docutils"] if nb_execution_mode == "off" else []  # cells that never ran have no language
nb_execution_cache_path = str(HERE / "_build" / "notebooks" / _source_hash())
nb_execution_timeout = 600
nb_execution_raise_on_error = False  # a warning, and warnings are errors: one build then names every failing notebook
nb_execution_excludepatterns = ["_build/*"]
# Data that are not part of the package: where they are absent, the page is shown without results.
_reference = Path(os.environ.setdefault("SCDASH_REFERENCE_DATA", str(HERE.parents[1] / "shared" / "data")))
for _folder, _page in (("papalexi_eccite", "screen_real"), ("paul15_240", "branching"), ("patchseq_m1", "patchseq")):
    if not (_reference / _folder).is_dir():
        nb_execution_excludepatterns += [f"tutorials/{_page}*"]
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # progress bars are not shown, and pages load nothing from outside
nb_mime_priority_overrides = [("html", "text/html", 0)]

# Links into other projects need their inventories from the network: switched on where the site is published.
intersphinx_mapping = (
    {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "mudata": ("https://mudata.readthedocs.io/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }
    if os.environ.get("SCDASH_DOCS_INTERSPHINX")
    else {}
)

exclude_patterns = ["_build", "**.ipynb_checkpoints", "_ext"]
html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_logo = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["scdash.css"]
html_theme_options = {
    "repository_url": "https://github.com/scdash/scdash",
    "use_repository_button": True,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search box is in the side bar, and one is enough
    "path_to_docs": "docs",
}
suppress_warnings += [
    "sphinx_autodoc_typehints.forward_reference",
    "sphinx_autodoc_typehints.guarded_import",
    "mystnb.unknown_mime_type",  # scanpy prints a rich table whose type the HTML writer does not need
]
