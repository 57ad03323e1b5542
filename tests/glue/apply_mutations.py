"""Apply every wrong line of `mutations.toml` in a copy of the package, and check that each test named for it fails.

Run from the root of the repository: `python tests/glue/apply_mutations.py [WORD ...]`; with words, only mutations with
one of them in their name. It prints one line a mutation and ends with status 1 if a mutation survives, if a line is not
found, or if a test fails without any mutation.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = "tests/glue"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def place_of(name: str) -> str:
    """Return "path::test" from the root; a name without a folder is one of `FOLDER`, without a file of `test_ten_mutations.py`."""
    named = name if "::" in name else f"test_ten_mutations.py::{name}"
    return f"tests/{named}" if "/" in named else f"{FOLDER}/{named}"


def failures(copy: Path, names: list[str]) -> set[str]:
    """Return which of some tests fail against the package in `copy`, as "path::test"."""
    wanted = [place_of(name) for name in names]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *wanted]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # pytest could not run: the line is no valid code, or a test has another name
        raise RuntimeError(f"pytest ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {line.split("[")[0] for line in lines}


def apply(copy: Path, mutation: dict[str, Any]) -> str | None:
    """Write the wrong line into `copy` and return the right text of the file; None where the line is not there once."""
    path = copy / mutation["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(mutation["old"]) != 1:
        return None
    path.write_text(text.replace(mutation["old"], mutation["new"]), encoding="utf-8")
    return text


def outcome_of(copy: Path, mutation: dict[str, Any]) -> str:
    """Return "killed", or what went wrong."""
    right = apply(copy, mutation)
    if right is None:
        return f"NOT APPLIED: {mutation['file']} does not have the line exactly once"
    try:
        survived = sorted(set(map(place_of, mutation["tests"])) - failures(copy, mutation["tests"]))
    finally:
        (copy / mutation["file"]).write_text(right, encoding="utf-8")
    return "killed" if not survived else f"SURVIVED: {', '.join(survived)}"


def main() -> int:
    """Return the exit status."""
    mutations = tomllib.loads((Path(__file__).parent / "mutations.toml").read_text(encoding="utf-8"))["mutation"]
    wanted = sys.argv[1:]
    mutations = [m for m in mutations if not wanted or any(word in m["name"] for word in wanted)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "docs").mkdir()
        for name in ("pyproject.toml", "docs/extending.md"):  # tests run what the page shows
            shutil.copy(ROOT / name, copy / name)
        if broken := failures(copy, sorted({name for mutation in mutations for name in mutation["tests"]})):
            print(f"FAILED without any mutation: {', '.join(sorted(broken))}")
            return 1
        found = {}
        for mutation in mutations:
            found[mutation["name"]] = outcome_of(copy, mutation)
            print(f"{found[mutation['name']]:10s} {mutation['name']}", flush=True)
    killed = sum(outcome == "killed" for outcome in found.values())
    print(f"{killed} of {len(found)} mutations were killed")
    return 0 if killed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
