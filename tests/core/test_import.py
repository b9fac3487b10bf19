"""What ``import opgraph`` brings along, each seen from a fresh process."""

import subprocess
import sys

import pytest


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_no_plugin_and_nothing_that_is_slow_to_import():
    unwanted = ["pluggy", "threadpoolctl", "importlib.metadata", "pytest", "hypothesis", "opgraph_nn", "opgraph_vision"]
    assert python(f"import sys, opgraph; print([m for m in {unwanted} if m in sys.modules])") == "[]"


def test_dir_lists_what_is_installed_without_importing_it():
    code = """
import sys, opgraph as og
print({'exp', 'grad'} <= set(dir(og)), 'core' in dir(og.ops), 'opgraph.ops.linalg' in sys.modules)
"""
    assert python(code) == "True True False"


def test_an_op_alone_is_loaded_when_it_is_asked_for():
    code = """
import sys, opgraph as og
og.exp
print('opgraph.ops.linalg' in sys.modules)
og.matmul
print('opgraph.ops.linalg' in sys.modules)
"""
    assert python(code).split() == ["False", "True"]


def test_the_typed_names_are_the_ops_that_are_installed():
    import opgraph as og

    flat = {name.partition(".")[2] for name in og.registry.names("core") if "._" not in name}
    assert flat <= set(og.__all__)
    assert all(getattr(og, name) is not None for name in og.__all__)


@pytest.mark.parametrize("name", ["og.conv2d", "og.registry.get_function('vision.conv2d')"])
def test_without_opgraph_vision_the_error_says_what_to_install(name):
    code = f"""
import importlib.metadata as m, os
listed = os.listdir
os.listdir = lambda path: [entry for entry in listed(path) if not entry.startswith("opgraph_vision")]
found = m.distribution
def without(name):
    if name == "opgraph-vision":
        raise m.PackageNotFoundError(name)
    return found(name)
m.distribution = without
import opgraph as og
try:
    {name}
except og.OpgraphError as error:
    print(error)
"""
    assert "pip install opgraph-vision" in python(code)
