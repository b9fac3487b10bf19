"""``opgraph check``, on installed packages that know nothing of the kit."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import opgraph as og
from opgraph.cli import main
from opgraph.testing import Report

LOOPING = '''
class Looping(og.Elementwise, name="hostile.looping"):
    """Never end: (…) -> (…)."""

    def compute(self, ins, outs):
        print("begun")
        while True:
            pass

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0],)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),))


class Fine(og.Elementwise, name="hostile.well"):
    """Double each element: (…) -> (…)."""

    def compute(self, ins, outs):
        np.multiply(ins[0], 2, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (2 * cotangents[0],)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),))
'''


def run(site, *arguments, **options):
    paths = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "opgraph", "check", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
        **options,
    )


def test_a_stranger_s_right_op_passes(strangers, tmp_path):
    done = run(strangers, "right-ops", "--json", "report.json", "--html", "report.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("right.gaussian")
    assert " in all\n" in done.stdout
    report = Report.from_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.ok
    assert {result.op for result in report.results} == {"right.gaussian"}
    assert {"vjp_full", "second_order"} <= {result.check for result in report.results}
    assert "right.gaussian" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_stranger_s_wrong_op_fails_in_the_check_of_what_is_wrong(strangers, tmp_path):
    done = run(strangers, "wrong_ops", "--quiet", "--seed", "3", "--json", tmp_path / "report.json")
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL: wrong.gaussian: vjp_full on '0'" in done.stdout
    assert "opgraph check wrong.gaussian --only vjp_full --sample 0 --seed 3" in done.stdout
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (document["schema"], document["ok"]) == ("opgraph.conformance/1", False)


def test_what_reproduces_a_failure_does(strangers):
    command = "wrong.gaussian --only vjp_full --sample 0 --seed 3"
    done = run(strangers, *command.split())
    assert done.returncode == 1
    assert f"reproduce with: opgraph check {command}" in done.stdout
    assert "1 op: 1 fail" in done.stdout


def test_several_names_are_checked_once_each_in_order(capsys):
    assert main(["check", "core.log", "core.exp", "core.log", "--only", "reference", "--jobs", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["core.log", "ok"], ["core.exp", "ok"]]
    assert lines[-1].startswith("2 ops: ")


def test_an_op_that_never_ends_harms_no_other(installed, capsys):
    installed(LOOPING)
    arguments = ["check", "hostile", "--time-limit", "2", "--only", "vjp_full", "--only", "reference"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert re.search(r"^hostile\.looping +FAILED", out, re.MULTILINE)
    assert re.search(r"^hostile\.well +ok", out, re.MULTILINE)
    assert "FAIL: hostile.looping: vjp_full" in out
    assert "\n  compute ran for more than 2 s, at" in out


def test_composed_functions_alone_are_nothing_to_check(capsys, monkeypatch):
    composed = [name for name in og.registry.names("core") if not isinstance(og.registry.get(name), type)]
    assert main(["check", composed[0]]) == 1
    out = capsys.readouterr().out
    assert "nothing to check: composed of other ops" in out
    assert "nothing was checked" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["core.epx"], "no op, namespace or distribution is installed as 'core.epx'; did you mean 'core.exp'?"),
        (["exp"], "did you mean 'core.exp'?"),
        (["opgraph-cor"], "did you mean 'opgraph-core'?"),
        (["corr"], "did you mean 'core'?"),
        ([], "name an op, a namespace or a distribution"),
        (["core.exp", "--only", "vjp_ful"], "no check is called 'vjp_ful'; did you mean 'vjp_full'?"),
        (["core.exp", "--json", "no/such/folder/report.json"], "No such file"),
    ],
)
def test_wrong_usage_is_told_with_what_was_meant(capsys, arguments, message):
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--jobs", "0"], ["--seed", "-1"], ["--time-limit", "0"], ["--seed", "x"], ["--jobs", "1.5"]]
)
def test_wrong_numbers_are_usage_errors(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["check", "core.exp", *arguments])
    assert caught.value.code == 2
    assert f"error: argument {arguments[0]}: must be a " in capsys.readouterr().err


def test_a_sample_that_is_not_there_is_told_with_those_that_are(capsys):
    assert main(["check", "core.exp", "core.log", "--sample", "complx", "--only", "reference", "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert "nothing to check" not in out
    assert err.startswith("opgraph check: no sample is called 'complx'; did you mean 'complex'?\n  there are '")
    assert "'complex'" in err.partition("there are")[2]


def test_a_sample_that_must_be_refused_is_told_with_the_check_that_looks_at_it(capsys):
    assert main(["check", "core.reduce_max", "--sample", "out of range", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "'out of range' is an invalid sample; the check 'errors' alone looks at those: --only errors" in err
    assert "\n  valid ones are 'all', 'leading'" in err


def test_a_sample_that_some_ops_have_is_looked_at_there(capsys):
    assert main(["check", "core.exp", "core.one_hot", "--sample", "complex", "--only", "infer"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^core\.exp +ok     1 ", out, re.MULTILINE)
    assert re.search(r"^core\.one_hot +nothing to check: no sample is called 'complex'$", out, re.MULTILINE)
    assert err == ""


def test_an_op_that_cannot_be_loaded_is_told_whatever_sample_was_asked_for(installed, capsys):
    installed('raise ZeroDivisionError("at import")\nclass Never(og.Op, name="hostile.never"): pass\n')
    assert main(["check", "hostile.never", "--sample", "0", "--quiet"]) == 1
    assert "FAIL: hostile.never: load\n  cannot be loaded: " in capsys.readouterr().out


def test_checks_are_listed_with_what_they_promise(capsys):
    assert main(["check", "--list-checks"]) == 0
    out = capsys.readouterr().out
    assert "reference          The kernel gives the values of the reference implementation" in out
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    documented = re.findall(r"^\| `(\w+)` \| ", page.read_text(encoding="utf-8").partition("## From")[0], re.M)
    assert documented == re.findall(r"^(\w+) ", out, re.M)


@pytest.fixture
def brings_checks(tmp_path, monkeypatch):
    """Have a package installed that brings checks: one that cannot be imported, one that is none, and a right one."""
    (tmp_path / "bad_checks.py").write_text(
        "from opgraph.testing import Check\n"
        'class Sane(Check):\n    """Nothing."""\n    name = \'sane\'\n'
        "    def on_op(self, op_class, seed): pass\n"
        "class Needs(Check):\n    name = 'needs'\n    def __init__(self, what): pass\n"
    )
    metadata = tmp_path / "bad_checks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-checks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[opgraph.checks.v1]\ngone = no_such_module:C\nnone = bad_checks:Check.on_op\nother = bad_checks:Sane\n"
        "sane = bad_checks:Sane\nneeds = bad_checks:Needs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    og.registry.refresh()
    yield
    monkeypatch.undo()
    og.registry.refresh()


@pytest.mark.usefixtures("brings_checks")
def test_a_broken_check_fails_alone(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checks = ["infer", "sane", "gone", "none", "other", "needs"]
    only = [word for name in checks for word in ("--only", name)]
    assert main(["check", "core.tanh", "core.sinh", *only, "--json", "report.json"]) == 1
    out = capsys.readouterr().out
    assert out.count("this check is broken, whatever the op: bad-checks 1.0 (gone = no_such_module:C) cannot be") == 1
    assert "the same in: core.sinh: gone" in out
    assert "set OPGRAPH_BLOCK=gone" in out
    assert "none = bad_checks:Check.on_op) is no Check class" in out
    assert "other = bad_checks:Sane) is registered under that name, but calls itself 'sane'" in out
    assert "needs = bad_checks:Needs) cannot be made: TypeError: " in out
    report = Report.from_json(Path("report.json").read_text(encoding="utf-8"))
    assert {result.check for result in report.results if result.ok} == {"infer", "sane"}
    assert {result.check for result in report.failures} == {"gone", "none", "other", "needs"}


@pytest.mark.usefixtures("brings_checks")
def test_a_broken_check_keeps_nobody_from_the_others(capsys, monkeypatch):
    assert main(["check", "core.tanh", "--only", "infer"]) == 0
    assert main(["check", "--list-checks"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^gone +BROKEN: .*no_such_module", out, re.MULTILINE)
    assert re.search(r"^sane +Nothing\.$", out, re.MULTILINE)
    monkeypatch.setenv("OPGRAPH_BLOCK", "gone")
    assert main(["check", "--list-checks"]) == 0
    assert not re.search("^gone", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setenv("OPGRAPH_BLOCK", "bad-checks")
    assert main(["check", "--list-checks"]) == 0
    assert "BROKEN" not in capsys.readouterr().out


def test_what_needs_hypothesis_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    for module in ("thorough", "strategies"):
        monkeypatch.delitem(sys.modules, f"opgraph.testing.{module}", raising=False)
    assert main(["check", "core.exp", "--thorough"]) == 2
    assert 'needs hypothesis: pip install "opgraph-core[testing]"' in capsys.readouterr().err
    with pytest.raises(ImportError, match=r'strategies needs hypothesis: pip install "opgraph-core\[testing\]"'):
        importlib.import_module("opgraph.testing.strategies")


def test_thorough_finds_what_no_sample_shows(installed, capsys):
    installed('''
    class Clipped(og.Elementwise, name="hostile.clipped"):
        """Double each element, but for a gradient that is wrong from 3 on: (…) -> (…)."""

        def compute(self, ins, outs):
            np.multiply(ins[0], 2, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (og.where(ins[0] < 1.5, 2 * cotangents[0], 0 * cotangents[0]),)

        @classmethod
        def samples(cls, rng):
            yield og.Sample((rng.uniform(0.9, 1.1, size=(2, 3)),))
    ''')
    assert main(["check", "hostile.clipped", "--only", "vjp_full"]) == 0
    assert main(["check", "hostile.clipped", "--only", "vjp_full", "--thorough"]) == 1
    out = capsys.readouterr().out
    assert "found by a search around this sample" in out
    assert "smallest input found: hostile.clipped() on float64[1, 1] [[" in out
    assert "--only vjp_full --sample 0 --thorough" in out


@pytest.fixture
def interruptible():
    """A process that is started does not ignore Ctrl-C, as it would where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C to send")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_at_once_and_leaves_no_process(installed, tmp_path):
    installed(LOOPING)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    running = subprocess.Popen(
        [sys.executable, "-m", "opgraph", "check", "hostile.well", "hostile.looping", "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
    )
    assert running.stdout.readline().startswith("hostile.well")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)  # ends when no process holds the pipe
    assert running.returncode == 130
    assert err == "\nopgraph: interrupted\n"
