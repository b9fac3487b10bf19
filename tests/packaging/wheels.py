"""Build the packages as a release does, sdist first, and install the wheels into this environment.

python tests/packaging/wheels.py OUT [--install]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("opgraph-core", "opgraph-nn", "opgraph-vision")  # each depends on those before it


def main() -> None:
    """Build all three packages into OUT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--install", action="store_true", help="install the wheels into this environment")
    options = parser.parse_args()
    wheels = [build_wheel(package, options.out) for package in PACKAGES]
    if options.install:
        install(wheels)


def build_wheel(package: str, out: Path, *, isolated: bool = False) -> Path:
    """Build the sdist of a package and from that its wheel; both land in ``out``.

    An isolated build fetches what ``[build-system]`` asks for; the other one uses this environment's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # setuptools packs whatever an earlier build left in build/ and writes *.egg-info beside the sources
        leftovers = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")
        source = shutil.copytree(ROOT / package, Path(scratch, package), ignore=leftovers)
        isolation = [] if isolated else ["--no-isolation"]
        build = subprocess.run(
            [sys.executable, "-m", "build", source, "--outdir", out, *isolation],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if build.returncode:
        sys.exit(f"{build.stdout}\nbuilding {package} failed")
    (wheel,) = out.glob(f"{package.replace('-', '_')}-*.whl")
    return wheel


def install(wheels: list[Path]) -> None:
    """Install the wheels afresh, then what they depend on."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    # the version does not change with the sources, and pip keeps what has the right version
    subprocess.run([*pip, "--force-reinstall", "--no-deps", *wheels], check=True)
    subprocess.run([*pip, *wheels], check=True)


if __name__ == "__main__":
    main()
