"""Compiled loops: one line before the first is compiled, and code that was compiled beforehand is used."""

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import scdash
from scdash._core import compiled as _compiled

TEXT = "def double(x, out):\n    for i in range(len(x)):\n        out[i] = 2 * x[i]\n"


def module(folder: Path, name: str) -> Any:
    path = folder / f"{name}.py"
    if not path.exists():
        path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location(f"scdash.{name}", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def use(compiled: Any) -> None:
    out = np.zeros(3)
    compiled(np.arange(3.0), out)
    np.testing.assert_array_equal(out, [0, 2, 4])


def hits(compiled: Any) -> tuple[int, int]:
    return sum(compiled.stats.cache_hits.values()), sum(compiled.stats.cache_misses.values())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("scdash").addHandler(handler)
    _compiled._say.cache_clear()
    yield found
    logging.getLogger("scdash").removeHandler(handler)


def test_one_line_is_logged_before_the_first_compilation(tmp_path: Path, lines: list[str]) -> None:
    for name in ("first", "second"):
        use(_compiled.loop(module(tmp_path, name).double))
    assert lines == [_compiled.MESSAGE] and "once" in lines[0]


def test_what_was_compiled_beside_a_read_only_package_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    made = module(tmp_path, "third")
    use(_compiled.loop(made.double))
    lines.clear()
    _compiled._say.cache_clear()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "elsewhere"))
    found = _compiled.loop(made.double)
    assert (tmp_path / "elsewhere") in Path(found.stats.cache_path).parents
    use(found)
    assert hits(found) == (1, 0) and lines == []


def test_where_nothing_can_be_kept_a_temporary_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = module(tmp_path, "fourth")
    use(_compiled.loop(made.double))
    njit = numba.njit

    def refuse(**options: Any) -> Any:
        if options["cache"] and not numba.config.CACHE_DIR:
            raise RuntimeError("no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", refuse)
    before = numba.config.CACHE_DIR
    found = _compiled.loop(made.double)
    use(found)
    assert hits(found) == (1, 0) and "scdash-" in found.stats.cache_path and before == numba.config.CACHE_DIR
    assert Path(_compiled._temporary()).stat().st_mode & 0o077 == 0  # code that others could write would be run


@pytest.mark.slow
def test_after_compiling_beforehand_fits_compile_nothing(tmp_path: Path) -> None:
    """Run in a copy of the package, whose code is then looked for in another place, as from a read-only container."""
    import shutil

    ignored = shutil.ignore_patterns("*.nbi", "*.nbc")
    shutil.copytree(Path(scdash.__file__).parent, tmp_path / "scdash", ignore=ignored)
    place = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "scdash.compile"], env=place, capture_output=True, text=True, check=True
    )
    assert "compiled loops kept in" in done.stdout and str(tmp_path) in done.stdout
    fit = (
        "import scdash; a = scdash.simulate.grn_dynamics(n_genes=30, n_trajectories=9, n_test=1, rng=1)\n"
        "scdash.tl.fit_dynamics(a, a.uns['prior'], time_key='time', trajectory_key='trajectory', split_key='split',"
        " training=scdash.Training(max_epochs=2)); scdash.tl.predict(a)"
    )
    done = subprocess.run(
        [sys.executable, "-c", fit],
        env=place | {"NUMBA_CACHE_DIR": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "compiling" not in done.stderr and "fitting dynamics" in done.stderr
