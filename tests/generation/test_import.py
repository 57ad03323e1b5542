"""`import scdash` is cheap: what is slow to import is loaded when it is first needed."""

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys, time
import scanpy
loaded, began = set(sys.modules), time.process_time()
import scdash
seconds = time.process_time() - began
print(json.dumps([seconds, sorted(set(sys.modules) - loaded)]))
"""


def test_import_adds_little_to_scanpy() -> None:
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    seconds, modules = json.loads(out)
    assert seconds < 0.3  # CPU time: wall time would evaluate the machine's load
    assert not {"torch", "torchdiffeq", "gseapy", "mudata", "geomloss"} & {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("name", ["scdash.sparsity.GeometricSchedule", "scdash.fields.FIELDS", "scdash.get.report"])
def test_names_in_the_documentation_are_there_after_importing_the_package(name: str) -> None:
    if not name.startswith("scdash.get"):
        pytest.importorskip("torch")  # .ci/new-generation has none
    done = subprocess.run([sys.executable, "-c", f"import scdash; {name}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
