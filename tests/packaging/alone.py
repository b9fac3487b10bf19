"""Test one package alone: its wheel and those it needs, in a new environment, with its own tests.

python tests/packaging/alone.py core|nn|vision [PYTEST ARGUMENTS]
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from wheels import PACKAGES, ROOT, build_wheel

# the checkout's sources on the path would hide a file that the wheel lacks
CHECK_ORIGIN = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
if not module.__file__.startswith(sys.prefix):
    sys.exit(f"{module.__name__} comes from {module.__file__}, not from its wheel")
"""


def main(part: str, *pytest_arguments: str) -> None:
    """Build, check, install and test ``opgraph-{part}``."""
    package = f"opgraph-{part}"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "dist")
        needed = PACKAGES[: PACKAGES.index(package) + 1]
        core, *others = [build_wheel(name, out, isolated=True) for name in needed]
        run(sys.executable, "-m", "twine", "check", "--strict", *out.iterdir())

        python = make_environment(Path(scratch, "venv"))
        run(python, "-m", "pip", "install", "--quiet", f"{core}[testing]", *others)
        run(python, "-m", "pip", "check")
        module = "opgraph" if part == "core" else f"opgraph_{part}"
        run(python, "-P", "-c", CHECK_ORIGIN, module)
        # the conftest.py at the root runs the documentation, which is not part of this
        parallel = ("--numprocesses=2", "--dist=loadfile")
        # the long ones try numbers, with the very wheels, in the environment of all packages
        short = ("-m", "not untraced")
        run(python, "-m", "pip", "install", "--quiet", "pytest-xdist")
        run(
            python, "-P", "-m", "pytest", f"tests/{part}", "--confcutdir", "tests", *parallel, *short, *pytest_arguments
        )


def make_environment(directory: Path) -> str:
    """Make a virtual environment; return the path of its Python."""
    builder = venv.EnvBuilder(with_pip=True)
    builder.create(directory)
    python: str = builder.ensure_directories(directory).env_exe
    return python


def run(*command: str | Path) -> None:
    """Run a command at the project's root; exit as it did when it failed."""
    status = subprocess.run(command, cwd=ROOT).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
