"""Default fits with null models, side by side with another checkout: CPU seconds of one thread, memory, and a profile.

Each fit runs in a process of its own, the two checkouts by turns, on the same cells, which are written to a file once. The
profile is that of a further run, by cProfile with a record of its own for every stage of the fit; its clock is the wall's,
so that shares alone are read from it.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks._speed_calls import peak_megabytes
from benchmarks.trajectories import data

if TYPE_CHECKING:
    from anndata import AnnData

HERE = Path(__file__).parent
CELLS, GENES, REGULATORS = 50_000, 2_000, 150
GOAL = 0.6  # of the CPU seconds before
# function that begins a stage (the same name in every checkout) -> stage
STAGES = {
    "choose_regressions": "choice of regressions",
    "choose": "choice of epochs and level",
    "fit_chosen": "final fit",
    "null_model_errors": "null models",
}
# (function, its caller or None) -> part of a stage
PARTS = {
    ("path_of_fields", None): "regressions",
    ("train", "dense_path"): "dense training",
    ("epochs", "dense_path"): "dense training",  # its name before issue 20
    ("train", "pruning_path"): "training between rounds of pruning",
}
LOOPS = {
    "forward": "roll-outs",
    "backward": "derivatives of roll-outs",
    "compare": "comparison with the data",
    "follow": "coordinate descent",
}
STEP = tuple(LOOPS.values())[:3]  # loops of a step of training


def simulated() -> tuple["AnnData", data.Keys]:
    """Return counts of cells along a simulated trajectory, log-normalised; the genes with the most targets may regulate."""
    import anndata
    import scanpy
    import scipy.sparse as sp

    import scdash

    times = np.linspace(0, 5, 21)
    course = scdash.simulate.grn_dynamics(n_genes=GENES, n_trajectories=2, n_test=1, times=times, rng=0)
    states = np.asarray(course[(course.obs["trajectory"] == course.obs["trajectory"].iloc[0]).to_numpy()].to_df())
    rng = np.random.default_rng(0)
    place, level = np.sort(rng.random(CELLS)), rng.gamma(1.0, 1.0, GENES) + 0.1
    blocks = []
    for block in np.array_split(place, 50):
        at = block * (len(states) - 1)
        before = np.minimum(at.astype(int), len(states) - 2)
        share = (at - before)[:, None]
        mean = (1 - share) * states[before] + share * states[before + 1]
        depth = rng.lognormal(0, 0.3, (len(block), 1))
        blocks.append(sp.csr_matrix(rng.poisson(np.maximum(mean, 0) * level * depth).astype(np.float32)))
    adata = anndata.AnnData(sp.vstack(blocks).tocsr(), var=pd.DataFrame(index=course.var_names))
    adata.obs["pseudotime"] = place
    targets = np.asarray((course.varp["truth"] != 0).sum(1)).ravel()
    adata.var["is_tf"] = np.isin(np.arange(GENES), np.argsort(-targets, kind="stable")[:REGULATORS])
    scanpy.pp.normalize_total(adata)
    scanpy.pp.log1p(adata)
    return adata, {"time_key": "pseudotime", "regulators": "is_tf"}


FITS: dict[str, Callable[[], tuple["AnnData", data.Keys]]] = {
    "myoblasts, 228 cells x 822 genes": data.SETS["myoblasts"],
    "B cells, 5 batches, 529 genes": data.SETS["B cells, all batches"],
    f"simulated, {CELLS:,} cells x {GENES:,} genes": simulated,
}


def default_fits(before: Path, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of fits with both checkouts, and their profiles; `before` is the `src` folder of the other one."""
    rows, profiles = [], []
    folders = {"now": HERE.parent / "src", "before": before}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            adata, keys = FITS[name]()
            file = Path(folder) / "cells.h5ad"
            adata.write_h5ad(file)
            del adata
            found = {way: in_a_process(source, file, keys, profile=False) for way, source in folders.items()}
            parts = {way: in_a_process(source, file, keys, profile=True)["profile"] for way, source in folders.items()}
            rows.append(fit_row(name, found, parts))
            profiles += profile_rows(name, found, parts)
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows), pd.DataFrame(profiles)


def fit_row(name: str, found: dict[str, Any], parts: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the row of a fit: seconds, memory, steps of training and what one takes, now and before."""
    row: dict[str, Any] = {"fit": name, "goal": GOAL, "ratio": found["now"]["cpu_s"] / found["before"]["cpu_s"]}
    for way, prefix in (("now", ""), ("before", "before_")):
        seconds = found[way]["cpu_s"]
        row |= {f"{prefix}cpu_s": seconds, f"{prefix}peak_mb": found[way]["peak_mb"]}
        loops = {one["part"]: one for one in parts.get(way, []) if one["part"] in STEP}
        steps = loops.get(STEP[1], {}).get("calls", 0)
        share = sum(one["share"] for one in loops.values())
        row |= {f"{prefix}steps": steps, f"{prefix}step_ms": 1e3 * share * seconds / steps if steps else np.nan}
    return row


def profile_rows(name: str, found: dict[str, Any], parts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of the profiles of a fit, with the CPU seconds that the shares are of the run without a profile."""
    return [
        {"fit": name, "checkout": way} | one | {"cpu_s": one["share"] * found[way]["cpu_s"]}
        for way, rows in parts.items()
        for one in rows
    ]


def in_a_process(source: Path, file: Path, keys: data.Keys, *, profile: bool) -> dict[str, Any]:
    """Return what `measure` finds in a process that imports the package from a `src` folder."""
    command = [sys.executable, "-m", "benchmarks._speed_default_fits", str(file), json.dumps(keys)]
    place = os.environ | {"PYTHONPATH": f"{source.resolve()}{os.pathsep}{HERE.parent}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(["--profile"] if profile else [])],
        env=place,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def measure(file: Path, keys: data.Keys, *, profile: bool) -> dict[str, Any]:
    """Fit the cells of a file in this process, after a small fit for which loops are compiled."""
    import anndata

    import scdash

    adata = anndata.read_h5ad(file)
    seen = adata.var["is_tf"].to_numpy()
    genes = np.concatenate([np.flatnonzero(seen)[:10], np.flatnonzero(~seen)[:30]])
    some = adata[:: max(1, adata.n_obs // 2000), genes].copy()
    scdash.tl.fit_dynamics(some, progress=False, **keys)
    if profile:
        with staged(scdash) as profiles:
            scdash.tl.fit_dynamics(adata, progress=False, **keys)
        return {"profile": parts_of(profiles)}
    began = time.process_time()
    scdash.tl.fit_dynamics(adata, progress=False, **keys)
    return {"cpu_s": time.process_time() - began, "peak_mb": peak_megabytes()}


@contextmanager
def staged(package: Any) -> Iterator[dict[str, cProfile.Profile]]:
    """Profile each stage of what runs within, and the rest as "other"; functions of stages are wrapped wherever they are named."""
    profiles = {stage: cProfile.Profile() for stage in [*STAGES.values(), "other"]}
    inside, replaced = ["other"], []

    def wrapped(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            if inside[-1] != "other":
                return function(*args, **options)
            profiles["other"].disable()
            inside.append(stage)
            profiles[stage].enable()
            try:
                return function(*args, **options)
            finally:
                profiles[stage].disable()
                inside.pop()
                profiles["other"].enable()

        return run

    modules = [m for name, m in sys.modules.items() if name.startswith(f"{package.__name__}.dynamics")]
    for name, stage in STAGES.items():
        for module in modules:
            function = getattr(module, name, None)
            if callable(function) and ".dynamics." in getattr(function, "__module__", ""):
                replaced.append((module, name, function))
                setattr(module, name, wrapped(function, stage))
    profiles["other"].enable()
    try:
        yield profiles
    finally:
        profiles["other"].disable()
        for module, name, function in replaced:
            setattr(module, name, function)


def parts_of(profiles: dict[str, cProfile.Profile]) -> list[dict[str, Any]]:
    """Return the share of every part of every stage, and of the compiled loops in all of them."""
    rows: list[dict[str, Any]] = []
    total = 0.0
    loops: dict[str, dict[str, Any]] = {part: {"share": 0.0, "calls": 0} for part in LOOPS.values()}
    for stage, profile in profiles.items():
        stats = pstats.Stats(profile).stats if profile.getstats() else {}  # type: ignore[attr-defined]
        left = sum(own for _, _, own, _, _ in stats.values())
        total += left
        for part in dict.fromkeys(PARTS.values()):
            spent = sum(_spent(stats, *key) for key, value in PARTS.items() if value == part)
            if spent:
                rows.append({"stage": stage, "part": part, "share": spent, "calls": 0})
                left -= spent
        rows.append({"stage": stage, "part": "other", "share": left, "calls": 0})
        for (file, _, name), (_, calls, own, _, _) in stats.items():
            if name in LOOPS and ("kernel" in file or "descent" in file):
                loops[LOOPS[name]]["share"] += own
                loops[LOOPS[name]]["calls"] += calls
    rows += [{"stage": "compiled loops of all stages", "part": part} | spent for part, spent in loops.items()]
    return [row | {"share": float(row["share"]) / total} for row in rows]


def _spent(stats: Any, function: str, caller: str | None) -> float:
    """Return the time within calls of a function, from one caller or from all."""
    named = [entry for (_, _, name), entry in stats.items() if name == function]
    if caller is None:
        return sum(float(entry[3]) for entry in named)
    return sum(float(one[3]) for entry in named for key, one in entry[4].items() if key[2] == caller)


def main() -> None:
    """Measure one fit in this process and print it."""
    import torch

    import scdash

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("keys", type=json.loads)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    scdash.settings.verbosity = 0
    print(json.dumps(measure(asked.file, asked.keys, profile=asked.profile)))


if __name__ == "__main__":
    main()
