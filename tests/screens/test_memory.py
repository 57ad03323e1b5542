"""A large screen trains in bounded memory, and the log says how long an epoch takes."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scdash

ROOT = Path(__file__).parents[2]


def test_the_log_tells_the_time_of_an_epoch(small, caplog):
    with caplog.at_level(logging.INFO, logger="scdash"):
        adata = scdash.tl.fit_perturbode(
            small, copy=True, model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=10, n_modules=4))
        )
    found = re.search(r"10 steps, [\d.]+ s each; ([\d.]+) s an epoch of all 20 perturbations", caplog.text)
    seconds = adata.uns["dynamics"]["metrics"]["seconds_per_epoch"]
    assert float(found[1]) == pytest.approx(seconds, abs=0.006)


@pytest.mark.slow
def test_a_thousand_perturbations_train_within_six_gigabytes():
    """1,000 perturbations x 100 cells x 800 genes, in a process of its own: peak memory of the whole process."""
    command = [sys.executable, "-m", "benchmarks._perturbode_memory", "transport", "1000", "100", "800"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    row = json.loads(done.stdout.strip().splitlines()[-1])
    print(row)
    assert row["peak_gb"] < 6
    assert re.search(r"s an epoch of all 1000 perturbations", done.stderr)
