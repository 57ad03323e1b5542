"""Pages that are notebooks: what is offered for download and in Colab."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/someone/package"


@pytest.fixture
def notebooks() -> ModuleType:
    pytest.importorskip("sphinx")
    pytest.importorskip("jupyter_cache")
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "_ext" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_is_offered_with_a_cell_that_installs_the_package_in_colab_alone(
    notebooks: ModuleType, tmp_path: Path
) -> None:
    import nbformat
    from docutils import nodes

    executed, out = tmp_path / "jupyter_execute", tmp_path / "html"
    executed.mkdir()
    out.mkdir()
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import scdash")])
    nbformat.write(page, executed / "page.ipynb")
    app = SimpleNamespace(
        builder=SimpleNamespace(format="html", get_target_uri=lambda name: f"{name}.html"),
        outdir=out,
        env=SimpleNamespace(found_docs=["page", "text"]),
        config=SimpleNamespace(html_theme_options={"repository_url": REPOSITORY}),
    )

    notebooks.copy(app, None)
    offered = nbformat.read(out / notebooks.FOLDER / "page.ipynb", as_version=4)
    nbformat.validate(offered)
    install, first = (cell.source for cell in offered.cells)
    assert first == "import scdash"
    assert f'%pip install --quiet "scdash @ git+{REPOSITORY}"' in install
    assert install.index('if "google.colab" in sys.modules:') < install.index("%pip")
    assert not (out / notebooks.FOLDER / "text.ipynb").exists()

    def links(name: str) -> str:
        section = nodes.section("", nodes.title("", "Title"))
        document = nodes.document(None, None)  # type: ignore[arg-type]
        document += section
        notebooks.offer(app, document, name)
        return "".join(node.astext() for node in section.findall(nodes.raw))

    assert f'href="{notebooks.FOLDER}/page.ipynb" download' in links("page")
    assert f"colab.research.google.com/github/someone/package/blob/gh-pages/{notebooks.FOLDER}/page.ipynb" in links(
        "page"
    )
    assert not links("text")
