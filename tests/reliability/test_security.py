"""Nothing that is loaded can run code, and nothing but a loader that says so uses the network."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scdash

SOURCE = Path(scdash.__file__).parent
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "subprocess", "ctypes", "socket", "runpy"}
NETWORK = {"urllib", "requests", "http", "ftplib", "httpx", "aiohttp"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "system", "popen", "unsafe_load"}


def offences(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in MODULES | NETWORK)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield f"calls {called}"
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                yield f"calls {called}"
            if called in ("torch.load", "torch.save", "joblib.load", "joblib.dump", "yaml.load"):
                yield f"calls {called}"
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called.endswith(("np.load", "np.save")) and keywords.get("allow_pickle") != "False":
                yield f"{called} without allow_pickle=False"
            if keywords.get("known_hash") == "None":
                yield "a download without a hash"


def test_no_code_is_ever_loaded_and_no_network_library_imported():
    found = {str(path.relative_to(SOURCE)): list(offences(path)) for path in SOURCE.rglob("*.py")}
    assert len(found) > 150
    assert {name: what for name, what in found.items() if what} == {}


def test_the_search_for_offences_finds_them(tmp_path):
    (tmp_path / "bad.py").write_text("import pickle\nnp.load(f)\neval('1')\npd.read_pickle(f)\nf(known_hash=None)\n")
    assert len(list(offences(tmp_path / "bad.py"))) == 5


class Bomb:
    """Runs code when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("place", ["fingerprint", "params|v", "alone"])
def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path, place, tally):
    marker, path = tmp_path / "ran", tmp_path / "run.npz"
    bomb = np.array([Bomb(marker)], dtype=object)
    if place == "alone":
        import pickle

        path.write_bytes(pickle.dumps(bomb))
    else:
        with path.open("wb") as file:
            np.savez(file, **{"fingerprint": np.array("x"), place: bomb})
    course = scdash.simulate.grn_dynamics(n_genes=10, n_trajectories=8, n_test=2, rng=0)
    with pytest.raises(ValueError, match="no readable scdash checkpoint"):
        scdash.tl.fit_dynamics(course, sparsity="imp", start="random", time_key="time", trajectory_key="trajectory", progress=False, training=scdash.Training(max_epochs=30, checkpoint=path))  # fmt: skip
    assert not marker.exists()
    tally("malicious files and names: refused, nothing ran")


@pytest.mark.parametrize("field", ["__import__('os').system('true')", "os.system", "../../etc/passwd", ""])
def test_names_from_a_file_are_looked_up_not_run(field, tally):
    course = scdash.simulate.grn_dynamics(n_genes=10, n_trajectories=8, n_test=2, rng=0)
    scdash.tl.fit_dynamics(
        course, time_key="time", trajectory_key="trajectory", progress=False, training=scdash.Training(max_epochs=0)
    )
    course.uns["dynamics"]["params"]["field"] = field
    with pytest.raises(ValueError, match=r"uns\['dynamics'\]"):
        scdash.get.model(course)
    tally("malicious files and names: refused, nothing ran")


TABLES = {
    "empty": b"",
    "binary": bytes(range(256)) * 20,
    "nul": b"source,target\x00\nA,B\n",
    "ragged": b"source,target,weight\nA,B\nA,B,1,2,3\n",
    "formula": b"source,target,weight\n=cmd|' /C calc'!A0,B,1\n",
    "no names": b"1,2,3\n4,5,6\n",
    "text weights": b"source,target,weight\nA,B,heavy\n",
    "long line": b"source,target\nA," + b"B" * 1_000_000 + b"\n",
    "html": b"<html><body>404 Not Found</body></html>",
    "latin": "source,target\nÄ,ß\n".encode("latin-1"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_hostile_tables_are_errors_or_tables_of_text(tmp_path, kind, tally):
    path = tmp_path / "prior.csv"
    path.write_bytes(TABLES[kind])
    try:
        table = scdash.datasets.read_prior(path)
    except (ValueError, KeyError, TypeError) as error:  # pandas' parser errors are ValueErrors
        assert len(str(error)) > 10
    else:
        assert {"source", "target"} <= set(table.columns)
        assert all(isinstance(name, str) for name in [*table["source"], *table["target"]])
    tally("hostile tables and gene sets: an error or text")


GMTS = {
    "empty": b"",
    "binary": bytes(range(256)) * 20,
    "name only": b"SET\n",
    "no genes": b"SET\thttp://x\n",
    "twice": b"SET\tx\tA\tB\nSET\tx\tC\n",
    "nul": b"SET\tx\tA\x00\tB\n",
    "not gzip": b"SET\tx\tA\tB\n",
}


@pytest.mark.parametrize("kind", GMTS)
def test_hostile_gene_sets_are_errors_or_sets_of_text(tmp_path, kind, tally):
    from scdash.networks.pathways.gene_sets import read_gmt

    path = tmp_path / ("sets.gmt.gz" if kind == "not gzip" else "sets.gmt")
    path.write_bytes(GMTS[kind])
    try:
        sets = read_gmt(path)
    except (ValueError, KeyError, OSError) as error:
        assert len(str(error)) > 10
    else:
        assert all(isinstance(gene, str) for genes in sets.values() for gene in genes)
    tally("hostile tables and gene sets: an error or text")


OFFLINE = """
import socket
def blocked(*a, **k): raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = blocked
socket.create_connection = socket.getaddrinfo = blocked
import numpy as np, scanpy as sc, scdash
for module in ("pp", "tl", "pl", "get", "datasets", "metrics", "simulate"):
    for name in getattr(scdash, module).__all__:
        getattr(getattr(scdash, module), name)
scdash.settings.verbosity = 0
cells = scdash.datasets.hsmm()[:, :60].copy()
scdash.datasets.myogenic_prior(), scdash.datasets.gene_sets()
scdash.pp.order_cells(cells, root=("hours", 0))
scdash.tl.fit_dynamics(cells, progress=False, training=scdash.Training(max_epochs=2))
scdash.tl.pathways(cells, {"a": list(cells.var_names[:20])}, keys=[], scores={"s": cells.to_df().mean()}, min_size=2, n_permutations=5)
screen = scdash.simulate.sergio(genes=8, n_edges=8, n_perturbations=5, n_targets=1, cells_per_perturbation=20)
sc.pp.log1p(screen)
scdash.tl.fit_perturbode(screen)
pairs = scdash.simulate.paired(n_cells=60, n_genes=12, n_features=3, n_informative=3)
scdash.pp.normalize_paired(pairs)
scdash.tl.srrr(pairs, n_features=3)
epochs = dict.fromkeys(("pretrain", "frozen", "unfrozen", "tuning", "autoencoder"), 1)
epochs = {f"{name}_epochs": count for name, count in epochs.items()}
training = scdash.BottleneckTraining(hidden=(4, 4), n_clusters=3, **epochs)
scdash.tl.sbnn(pairs, n_features=3, training=training, progress=False)
scdash.tl.fit_perturbode(screen, key_added="transport", model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=2)))
print("offline")
"""


def test_no_network_at_import_or_in_any_fit(tally):
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", OFFLINE], capture_output=True, text=True)
    assert ran.stdout.strip().endswith("offline"), ran.stderr[-1500:]
    tally("import and fits with sockets blocked")
