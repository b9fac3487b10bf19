import subprocess
import sys

import pytest

import opgraph as og
from opgraph.cli import main


def test_ops_lists_what_is_installed(capsys):
    assert main(["ops", "core"]) == 0
    out = capsys.readouterr().out
    assert "core.exp" in out
    assert "opgraph-core 0.1.0" in out
    assert "core._" not in out
    assert main(["ops", "nothing"]) == 1
    assert "opgraph has no 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["where", "core.where"])
def test_ops_describes_an_op(name, capsys):
    assert main(["ops", name]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "core.where(condition: NodeLike, x: NodeLike, y: NodeLike) -> Node"
    assert second.strip().startswith("Choose by a boolean")


def test_ops_says_what_an_op_of_another_library_is_called_here(capsys):
    assert main(["ops", "sum"]) == 1
    assert "opgraph has no 'sum'; use og.reduce_sum" in capsys.readouterr().err


def test_ops_imports_no_package_that_it_lists():
    code = "import sys; from opgraph.cli import main; main(['ops']); print([m for m in sys.modules if m in ARE])"
    code = code.replace("ARE", "('opgraph_nn', 'opgraph_vision', 'opgraph.ops.linalg', 'threadpoolctl')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_opgraph_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "opgraph", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"opgraph-core {og.__version__}\n")


def test_no_command_and_a_wrong_one_are_usage_errors(capsys):
    for arguments in ([], ["no-such-command"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "usage: opgraph" in capsys.readouterr().err


def commands(monkeypatch, functions):
    """Have the command line find these functions as installed subcommands."""
    entry = og.registry.Entry("x", "x", "acme", "1")
    monkeypatch.setattr(og.registry, "installed", lambda group: {name: [entry] for name in functions})
    monkeypatch.setattr(og.registry, "load", lambda name, entries: functions[name])


def test_demo_without_its_package_says_what_to_install(capsys, monkeypatch):
    commands(monkeypatch, {})
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "opgraph demo comes with opgraph-vision: pip install opgraph-vision\n"


def test_an_installed_command_runs_and_a_broken_one_harms_no_other(capsys, monkeypatch):
    def good(subparsers):
        parser = subparsers.add_parser("good")
        parser.set_defaults(run=lambda args: 7)

    def failing(subparsers):
        def run(args):
            raise og.GraphError("something of the user's", "at train.py:3")

        subparsers.add_parser("failing").set_defaults(run=run)

    def broken(subparsers):
        raise ZeroDivisionError("in its registration")

    commands(monkeypatch, {"good": good, "failing": failing, "broken": broken})
    assert main(["good"]) == 7
    assert main(["broken"]) == 1
    assert capsys.readouterr().err == "opgraph broken: in its registration\n"
    assert main(["failing"]) == 1
    assert capsys.readouterr().err == "opgraph: something of the user's\n  at train.py:3\n"


def test_a_plugin_cannot_take_the_place_of_a_built_in_command(capsys, monkeypatch):
    commands(monkeypatch, {"ops": lambda subparsers: subparsers.add_parser("ops"), "bye": lambda subparsers: exit(7)})
    monkeypatch.setattr(og.registry, "installed", lambda group=None: {"ops": [], "bye": []})
    assert main(["bye"]) == 1
    assert capsys.readouterr().err == "opgraph bye: 7\n"
    assert main(["ops"]) == 0


def test_an_interrupted_command_ends_as_shells_expect(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    commands(monkeypatch, {"wait": lambda subparsers: subparsers.add_parser("wait").set_defaults(run=interrupted)})
    assert main(["wait"]) == 130
    assert capsys.readouterr().err == "\nopgraph: interrupted\n"


def test_a_closed_pipe_ends_the_listing_quietly():
    command = f"{sys.executable} -m opgraph ops | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
