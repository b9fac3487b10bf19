"""The benchmark of speed, without what it is there for: times are not looked at."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("compare")


@pytest.mark.parametrize("workload", ["mlp", "rnn", "elementwise", "scalar", "tiny"])
def test_opgraph_and_the_loop_written_by_hand_agree(workload, tmp_path):
    command = [sys.executable, BENCHMARKS / "compare.py", "--only", workload, "--libraries", "opgraph", "numpy"]
    options = ["--rounds", "1", "--starts", "1", "--threads", "1", "--keep-coretype"]
    done = subprocess.run([*command, *options, "--json", tmp_path / "found.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "found.json").read_text())["workloads"][workload]
    assert list(rows) == ["opgraph", "numpy"]
    assert all(len(row["rounds"]) == 1 and row["memory"] >= 0 for row in rows.values())


def test_results_that_are_not_those_of_the_loop_fail(compare):
    wanted = [np.float32(1), np.array([1.0, 2.0], np.float32)]
    results = {
        "numpy": wanted,
        "close": [np.float32(1.0000001), wanted[1]],
        "far": [np.float32(1), np.array([1.0, 2.1], np.float32)],
        "nan": [np.float32(np.nan), wanted[1]],
        "wide": [np.float64(1), wanted[1]],
        "few": wanted[:1],
    }
    found = dict(compare.disagreeing(compare.WORKLOADS["elementwise"], results))
    assert found == {
        "far": "result 1 is 5.0e-02 from that of numpy",
        "nan": "result 0 is nan from that of numpy",
        "wide": "result 0 is float64 (), not float32 ()",
        "few": "1 results, where numpy has 2",
    }


def test_a_ratio_is_taken_round_by_round(compare):
    disturbed = {"rounds": [[1.0, 1.0, 9.0], [10.0, 10.0, 10.0], [2.0, 2.0, 2.0]]}
    base = {"rounds": [[2.0, 2.0, 2.0], [20.0, 20.0, 20.0], [2.0, 2.0, 2.0]]}
    assert compare.ratio(disturbed, base) == 0.5
    assert compare.step_time(disturbed) == 2.0
    assert compare.fastest(disturbed) == 1.0


def test_what_a_library_says_when_it_fails_is_in_its_row(compare, monkeypatch, tmp_path):
    monkeypatch.setitem(compare.LIBRARIES, "broken", ("broken", None, ("tiny",)))
    monkeypatch.setitem(compare.LIBRARIES, "absent", ("torch", None, ("tiny",)))
    monkeypatch.setattr(compare, "Worker", worker_of(compare.Worker))
    options = compare.argparse.Namespace(
        libraries=["broken", "absent", "numpy"], starts=2, rounds=1, threads=1, keep_coretype=True
    )
    rows = compare.measure("tiny", options)
    assert rows["broken"] == {"failed": "ArithmeticError: no"}
    assert rows["absent"]["missing"] == "torch"
    assert len(rows["numpy"]["rounds"]) == 1
    assert "| absent | torch is not installed |" in "\n".join(compare.section("tiny", rows))
    assert "| broken | failed: ArithmeticError: no |" in "\n".join(compare.section("tiny", rows))


def worker_of(real):
    """Return what makes workers of which two do not come up."""

    def make(library, *rest):
        if library == "broken":
            raise importlib.import_module("workloads.worker").Failure("ArithmeticError: no")
        worker = real("numpy", *rest)
        if library == "torch":
            worker.built = {"missing": "torch"}
        return worker

    return make
