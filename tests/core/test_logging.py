"""Messages come out once, where scanpy's do, and never stop a call."""

import builtins
import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import scanpy

from scdash._core.logging import Whole, expect, logger, output_stream, progress_bar, whole_call


@pytest.fixture
def root_with_handler() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_a_message_comes_out_once_where_the_root_logger_has_a_handler(
    root_with_handler: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.warning("only once")
    assert capsys.readouterr().err == "only once\n" and root_with_handler.getvalue() == ""


def test_the_root_logger_has_it_instead_where_that_is_asked_for(
    root_with_handler: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "propagate", True)
    logger.warning("only once")
    assert capsys.readouterr().err == "" and root_with_handler.getvalue() == "only once\n"


def test_messages_go_to_the_file_that_scanpy_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    scanpy.settings.logfile = stream = io.StringIO()
    logger.warning("to scanpy's")
    assert stream.getvalue() == "to scanpy's\n" and capsys.readouterr().err == ""
    stream.close()
    logger.warning("to the standard one")
    assert capsys.readouterr().err == "to the standard one\n"


def test_messages_go_to_standard_output_in_a_notebook(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    scanpy.settings.logfile = None  # scanpy's own default, which is standard output there
    logger.warning("in a notebook")
    monkeypatch.delitem(sys.modules, "scanpy")
    logger.warning("without scanpy")
    assert capsys.readouterr() == ("in a notebook\nwithout scanpy\n", "")


@pytest.mark.parametrize("loaded", [True, False])
def test_nothing_fails_where_there_is_no_standard_error(monkeypatch: pytest.MonkeyPatch, *, loaded: bool) -> None:
    if not loaded:
        monkeypatch.delitem(sys.modules, "scanpy")
    monkeypatch.setattr(sys, "stderr", None)
    assert output_stream() is None
    logger.warning("nowhere")
    with progress_bar(3, "nothing to see", progress=True) as bar:
        bar.update()


def test_a_stream_that_fails_does_not_stop_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("No space left on device")

    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(sys, "stderr", Full())
    logger.warning("lost")


def test_a_process_without_standard_streams_can_import_and_fit() -> None:
    """As under pythonw, where both are None from the start."""
    code = """
import sys
sys.stdout = sys.stderr = None
import scdash
a = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=12, n_test=3, noise=0.02, rng=3)
scdash.tl.fit_dynamics(a, time_key="time", trajectory_key="trajectory", split_key="split", training=scdash.Training(max_epochs=1), validation=scdash.Validation(null_models=False))
assert "dynamics" in a.uns
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_one_bar_stands_for_all_parts_of_a_call_by_what_they_cost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[float] = []
    advance = Whole.advance

    def noted(self: Whole, name: str, pieces: float) -> None:
        advance(self, name, pieces)
        assert self.bar is not None
        done.append(self.bar.n / (self.bar.total or 1))

    monkeypatch.setattr(Whole, "advance", noted)
    with whole_call("fit", progress=True):
        expect({"reading": (2, 1.0), "training": (4, 2.0)})
        for name, pieces in (("reading", 2), ("training", 5)):  # one piece more than was expected
            with progress_bar(pieces, name) as bar:
                for _ in range(pieces):
                    bar.update()
        expect({"evaluating": (1, 10.0)})
        with progress_bar(1, "evaluating") as bar:
            bar.update()
    assert done == pytest.approx([0, 0.1, 0.2, 0.2, 0.4, 0.6, 0.8, 1, 1, 0.5, 1])
    told = capsys.readouterr().err
    assert "fit: evaluating 100%" in told and "left" in told
    with progress_bar(1, "training", progress=True):
        pass
    assert "training:" in capsys.readouterr().err  # outside a call the bar is its own


def test_a_bar_that_was_not_expected_is_shown_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with whole_call("fit", progress=True), progress_bar(2, "lambda 1", progress=True) as bar:
        bar.update(2)
    told = capsys.readouterr().err
    assert "lambda 1: 100%" in told and "fit" not in told
