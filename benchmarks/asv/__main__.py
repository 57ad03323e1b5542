"""Run airspeed velocity in the environment at hand and keep its results: `python -m benchmarks.asv [--full]`.

Every benchmark of `suite/` three times (`--full`: as often as asv sees fit), in processes of their own, without building
environments (`asv run -E existing`; a plain `asv run` in this folder builds them and follows commits). Results go to `results.csv` beside this script, under the
command and the versions they were made with. Needs `pip install asv`.
"""

import argparse
import itertools
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
FEW = ["-a", "rounds=1", "-a", "repeat=3", "-a", "number=1", "-a", "warmup_time=0"]
FILE = HERE / "results.csv"
PACKAGES = ("asv", "scdash", "torch", "numpy", "scipy", "anndata")


def run(folder: Path, *, full: bool, bench: str | None) -> list[str]:
    """Run asv with its results under `folder`; return the command."""
    config = json.loads((HERE / "asv.conf.json").read_text())
    root = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=HERE, capture_output=True, text=True, check=True)
    config |= {
        "repo": root.stdout.strip(),
        "benchmark_dir": str(HERE / "suite"),
        "results_dir": str(folder / "results"),
    }
    (folder / "asv.conf.json").write_text(json.dumps(config | {"env_dir": str(folder / "env")}))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True)
    asv = [sys.executable, "-m", "asv", "--config", str(folder / "asv.conf.json")]
    subprocess.run([*asv, "machine", "--yes", "--machine", "here"], check=True, capture_output=True)
    options = [] if full else FEW
    options = [*options, "--bench", bench] if bench else options
    shown = ["asv", "run", "-E", "existing", "--set-commit-hash", head.stdout.strip()[:10], *options]
    command = [*asv, "run", "-E", f"existing:{sys.executable}", "--machine", "here", "--set-commit-hash"]
    # asv exits with 2 where a benchmark failed: what it measured is kept, and the failure stands in the table
    subprocess.run([*command, head.stdout.strip(), "--show-stderr", *options], check=False)
    return shown


def table(folder: Path) -> pd.DataFrame:
    """Return one row per benchmark and parameters: the median, its unit, and the quartiles of repeated runs."""
    units = json.loads((folder / "results" / "benchmarks.json").read_text())
    (found,) = (path for path in (folder / "results" / "here").glob("*.json") if path.name != "machine.json")
    stored = json.loads(found.read_text())
    rows = []
    for name, values in sorted(stored["results"].items()):
        one: dict[str, Any] = dict(zip(stored["result_columns"], values, strict=False))
        cells = list(itertools.product(*one["params"])) or [()]  # without parameters: one value
        for k, parameters in enumerate(cells):
            row = {"benchmark": name, "parameters": " | ".join(parameters), "unit": units[name]["unit"]}
            for column, key in (("value", "result"), ("q25", "stats_q_25"), ("q75", "stats_q_75")):
                listed = one.get(key)
                row[column] = None if listed is None else listed[k]
            rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Run, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="as often as asv sees fit: many minutes")
    parser.add_argument("--bench", help="regular expression: only these, the other rows of the table stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = run(folder, full=asked.full, bench=asked.bench)
        found = table(folder).assign(commit=command[command.index("--set-commit-hash") + 1])
    print(found.to_string(index=False))
    if asked.bench is not None and FILE.exists():
        found = found[found["value"].notna()]  # a pattern may leave some parameters out
        found = pd.concat([pd.read_csv(FILE, comment="#").astype(object), found.astype(object)])
        found = found.drop_duplicates(["benchmark", "parameters"], keep="last").sort_values("benchmark", kind="stable")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    head = f"# {' '.join(command)}\n# python {platform.python_version()}, {versions}; {platform.machine()}\n"
    FILE.write_text(head + found.to_csv(index=False, float_format="%.4g"))


if __name__ == "__main__":
    main()
