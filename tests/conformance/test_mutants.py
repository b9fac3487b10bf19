"""The kit's worth: every planted bug is caught by the check that it names, and no correct op is accused.

With ``OPGRAPH_CONFORMANCE_SEEDS=100``, as ``tox -e thorough`` has it, the correct ops are held to that many seeds.
"""

import os
import re
import sys
from pathlib import Path

import pytest

from opgraph.testing import check_op
from opgraph.testing.check import all_checks

sys.path.insert(0, str(Path(__file__).parent))

import planted

SEEDS = int(os.environ.get("OPGRAPH_CONFORMANCE_SEEDS", "5"))
CHECKS = [check.name for check in all_checks()]
# a process for each op, and texts: the same with any seed
SEEDLESS = ("documented", "registered")

MUTANTS = planted.all_mutants()
CORRECT = planted.all_correct()

FAMILIES = {
    "broadcasting reductions": "broadcasting",
    "axes and keepdims": "reductions",
    "transposes and einsum": "transposes",
    "indexing": "indexing",
    "padding, strides, dilation": "windows",
    "ties and kinks": "kinks",
    "numerical stability": "stability",
    "normalisation and ddof": "normalisation",
    "random masks": "randomness",
    "caches, mutation, inplace, aliasing": "memory",
    "dtypes": "dtypes",
    "unknown dimensions and empty inputs": "inference",
    "orders": "orders",
    "serialization, clipping, registration": "declarations",
}


@pytest.fixture(scope="module", autouse=True)
def installed_ops(tmp_path_factory):
    """Give the ops entry points, as those of a package that is installed have."""
    directory = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        planted.install(directory)
        yield
    planted.refresh()


def by_name(op_class):
    return op_class.__name__


@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_a_planted_bug_is_caught_by_the_check_that_it_names(mutant):
    report = check_op(mutant, checks=[mutant.caught_by])
    assert any(result.status == "fail" for result in report.failures), f"{mutant.caught_by} missed it:\n{report}"


@pytest.mark.untraced
@pytest.mark.parametrize("op_class", CORRECT, ids=by_name)
def test_a_correct_op_is_not_accused(op_class):
    for seed in range(SEEDS):
        checks = [name for name in CHECKS if seed == 0 or name not in SEEDLESS]
        report = check_op(op_class, checks=checks, seed=seed)
        assert report.ok, f"seed {seed}:\n{report}"


def test_every_check_that_a_bug_names_is_there():
    assert {mutant.caught_by for mutant in MUTANTS} <= set(CHECKS)


def test_every_check_has_a_bug_that_it_catches():
    assert set(CHECKS) <= {mutant.caught_by for mutant in MUTANTS}


def test_there_are_bugs_of_every_family():
    found = [mutant.__module__.partition(".")[2] for mutant in MUTANTS]
    assert set(found) == set(FAMILIES.values())
    assert all(found.count(module) >= 3 for module in found)
    assert len(MUTANTS) >= 60
    assert len(CORRECT) >= 15


@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_a_bug_says_where_it_was_seen_and_what_it_was(mutant):
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", mutant.source)
    assert "There, " in mutant.__doc__
