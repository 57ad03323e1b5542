"""How the code is laid out: import-linter keeps the layers, these tests the rest of what docs/architecture.md promises."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "scdash"
FILES = sorted(SOURCE.rglob("*.py"))


def imports(text: str) -> list[str]:
    """Return the full names of what a file imports from scdash."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "scdash":
            found += [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] == "scdash"]
    return found


def foreign_private(text: str, own: str) -> list[str]:
    """Return the imports of private names or modules that do not belong to the package `own` of a file."""
    found = []
    for name in imports(text):
        parts = name.split(".")
        for place in range(2, len(parts)):  # `scdash._core` and `scdash._data` are private to the package as a whole
            holder = ".".join(parts[:place])
            if parts[place].startswith("_") and not f"{own}.".startswith(f"{holder}."):
                found.append(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_private_module_of_another_room_is_imported(path: Path) -> None:
    own = ".".join(("scdash", *path.relative_to(SOURCE).parts[:-1]))
    assert foreign_private(path.read_text(), own) == []


def test_the_check_of_private_modules_finds_them() -> None:
    text = (
        "from scdash.tl._perturb import perturb\nfrom scdash._core.errors import unknown\nimport scdash.pl._heatmap\n"
    )
    assert foreign_private(text, "scdash.pl") == ["scdash.tl._perturb.perturb"]
    assert foreign_private(text, "scdash.tl") == ["scdash.pl._heatmap"]


def test_no_file_stands_outside_a_room() -> None:
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py", "compile.py"}


def test_no_folder_has_more_files_than_can_be_looked_through() -> None:
    folders = {path.parent for path in FILES}
    counts = {str(folder.relative_to(SOURCE)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 25} == {}


def importers(name: str) -> set[str]:
    """Return the files that import a name, or something from it."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            whole = [f"{node.module}.{one}" for one in names] if isinstance(node, ast.ImportFrom) else names
            if any(f"{one}.".startswith(f"{name}.") for one in whole):
                found.add(str(path.relative_to(SOURCE)))
    return found


def test_joblib_has_one_entry_and_tools_leave_the_work_to_the_folders_below() -> None:
    assert importers("joblib") == {"_core/parallel.py"}
    spreading = importers("scdash._core.parallel.spread_all") | importers("scdash._core.parallel.spread")
    assert spreading and not [file for file in spreading if file.startswith(("tl/", "pl/", "get/", "pp/"))]


def test_what_refits_select_is_counted_and_written_in_one_place() -> None:
    shared = importers("scdash.resampling.stability.ranked")
    assert shared == {"dynamics/stability.py", "screens/stability.py", "paired/score_tables.py"}
    assert importers("scdash.resampling.draws") >= {
        "dynamics/stability.py", "screens/equilibrium/subsamples.py", "paired/stability.py",
    }  # fmt: skip


def test_one_kernel_alone_writes_its_derivative_out() -> None:
    """All else is differentiated by autograd: no other function is called `backward`, no class extends autograd's Function."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            written = isinstance(node, ast.FunctionDef) and "backward" in node.name
            extends = isinstance(node, ast.ClassDef) and any("Function" in ast.unparse(base) for base in node.bases)
            if written or extends:
                found.add(str(path.relative_to(SOURCE)))
    assert found == {"training/rollout_kernel.py"}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function, with its signature and without its docstring."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - ((function.body[0].end_lineno or 0) - function.body[0].lineno + 1)


def too_long(text: str) -> dict[str, int]:
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name: lines_of(function) for function in functions if lines_of(function) > 60}


def test_no_function_is_longer_than_a_page() -> None:
    found = {str(path.relative_to(SOURCE)): too_long(path.read_text()) for path in FILES}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_a_function_is_counted_without_its_docstring() -> None:
    body = "    x = 1\n" * 58
    text = f'def f():\n    """One\n\n    two.\n    """\n{body}    return x\n'
    assert too_long(text) == {}
    assert too_long(text.replace("    return x", "    x = 2\n    return x")) == {"f": 61}
