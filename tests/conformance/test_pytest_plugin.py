"""``pytest --opgraph-conformance`` and ``@parametrize_conformance``."""

import os
import subprocess
import sys

import pytest

import opgraph as og

PASSING = ("--opgraph-conformance", "right-ops", "--opgraph-check", "reference")


@pytest.fixture
def strangers_found(strangers, pytester, monkeypatch):
    """This process and new ones find the strangers' packages."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(strangers), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(strangers)
    og.registry.refresh()
    yield pytester
    monkeypatch.undo()
    og.registry.refresh()


def test_in_an_empty_folder_the_ops_of_a_package_are_tested(strangers_found):
    result = strangers_found.runpytest_subprocess(*PASSING, "-v", "-rs")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["right.gaussian::right.gaussian-one-reference PASSED*"])
    assert result.ret == 0


def test_k_selects_by_op_sample_and_check(strangers_found):
    result = strangers_found.runpytest_inprocess(*PASSING, "-k", "gaussian and one and ref", "-v")
    result.assert_outcomes(passed=1, deselected=3)


def test_a_wrong_op_fails_with_the_kit_s_words_and_no_traceback(strangers_found):
    result = strangers_found.runpytest_inprocess("--opgraph-conformance", "wrong-ops", "--opgraph-check", "vjp_full")
    assert result.parseoutcomes()["failed"] == 3
    result.stdout.fnmatch_lines(["___* wrong.gaussian: vjp_full on '0' *___"])
    result.stdout.fnmatch_lines(["FAIL: wrong.gaussian: vjp_full on '0'", "*reproduce with: opgraph check*"])
    result.stdout.no_fnmatch_line("*def runtest*")
    assert result.ret == 1


def test_its_workers_may_be_many(strangers_found):
    pytest.importorskip("xdist")
    result = strangers_found.runpytest_subprocess(*PASSING, "--opgraph-conformance", "wrong", "-n", "2")
    result.assert_outcomes(passed=8)


def test_other_tests_run_as_well(strangers_found):
    strangers_found.makepyfile("def test_mine():\n    pass")
    result = strangers_found.runpytest_inprocess(*PASSING)
    result.assert_outcomes(passed=5)


@pytest.mark.parametrize("option", ["--opgraph-seed=-1", "--opgraph-time-limit=0"])
def test_a_wrong_number_is_wrong_usage(strangers_found, option):
    result = strangers_found.runpytest_inprocess("--opgraph-conformance", "right-ops", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the seed must be*" if "seed" in option else "*the time limit must be*"])


def test_an_unknown_name_is_wrong_usage(strangers_found):
    result = strangers_found.runpytest_inprocess("--opgraph-conformance", "rihgt-ops")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'rihgt-ops'; did you mean 'right-ops'?"])


def test_ops_registered_by_hand_are_tested_and_crashes_are_failures(strangers_found):
    strangers_found.makeconftest(
        '''
        import os
        import numpy as np
        import opgraph as og

        @og.register
        class Crash(og.Elementwise, name="mine.crash"):
            """Crash: (…) -> (…)."""

            info = og.OpInfo(expected_failures={"reference": "there is none"}, reference=lambda x: x)

            def compute(self, ins, outs):
                outs[0].fill(0)

            def vjp(self, ins, outs, cotangents):
                os._exit(3)

            @classmethod
            def samples(cls, rng):
                yield og.Sample((np.ones(2),), id="ones")
        '''
    )
    checks = ["--opgraph-check", "vjp_full", "--opgraph-check", "reference"]
    result = strangers_found.runpytest_subprocess("--opgraph-conformance", "mine", *checks)
    outcomes = result.parseoutcomes()
    assert outcomes["xfailed"] == 1
    assert outcomes["failed"] >= 1
    result.stdout.fnmatch_lines(["*vjp ended the process with exit code 3, at *conftest.py:*"])


def test_without_the_option_nothing_of_opgraph_is_imported(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            assert "_opgraph_pytest" in sys.modules
            assert "opgraph" not in sys.modules
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_door_and_the_kit_import_neither_numpy_nor_pytest():
    code = "import sys, _opgraph_pytest; print([m for m in ('numpy', 'pytest', 'opgraph') if m in sys.modules])"
    code += "; import opgraph.testing; print([m for m in ('pytest', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["[]", "[]"]


OWN = """
from opgraph.testing import parametrize_conformance


@parametrize_conformance({ops}, checks=["vjp_full", "reference"])
def test_conformance(op, sample, check):
    check(op, sample)
"""


def test_three_lines_test_a_package(strangers_found):
    strangers_found.makepyfile(OWN.format(ops='["right-ops", "wrong.gaussian"]'))
    result = strangers_found.runpytest_inprocess("-v")
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"] >= 12, outcomes["failed"]) == (True, 3)
    result.stdout.fnmatch_lines(["*test_conformance?right.gaussian-one-vjp_full? PASSED*"])
    result.stdout.fnmatch_lines(["*ConformanceError: FAIL: wrong.gaussian: vjp_full on '0'*"])


def test_a_check_may_be_called_with_another_op_or_sample(strangers_found):
    strangers_found.makepyfile(
        """
        import numpy as np
        import opgraph as og
        import pytest
        from opgraph.testing import parametrize_conformance

        @parametrize_conformance(og.registry.get("right.gaussian"), checks=["vjp_full"])
        def test_conformance(op, sample, check):
            assert repr(check) == check.name == "vjp_full"
            check(op, og.Sample((np.ones((1, 2)),)))
            with pytest.raises(AssertionError, match="wrong.gaussian"):
                check(og.registry.get("wrong.gaussian"), og.Sample((np.ones((1, 2)),)))
        """
    )
    assert "failed" not in strangers_found.runpytest_inprocess().parseoutcomes()
