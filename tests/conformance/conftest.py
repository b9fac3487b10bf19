import subprocess
import sys
import textwrap

import numpy as np
import pytest

import opgraph as og

OPS = '''
import numpy as np
import opgraph as og


class Gaussian(og.Elementwise, name="{namespace}.gaussian"):
    """Evaluate the bell curve exp(-x² / 2) at each element: (…) -> (…)."""

    inplace = True
    info = og.OpInfo(reference=lambda x: np.exp(-x * x / 2))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.multiply(x, x, out=y)
        np.multiply(y, -0.5, out=y)
        np.exp(y, out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (g * og.conj(y * x) * {factor},)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),))
        yield og.Sample((rng.normal(size=(1,)),), id="one")
        yield og.Sample((rng.normal(size=(0, 2)),), id="empty")
        yield og.Sample((rng.normal(size=()),), id="scalar")
'''

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{namespace}-ops"
version = "1.0"
dependencies = ["opgraph-core"]

[project.entry-points."opgraph.ops.v1"]
"{namespace}.gaussian" = "{namespace}_ops:Gaussian"

[tool.setuptools]
py-modules = ["{namespace}_ops"]
"""


@pytest.fixture(scope="session")
def strangers(tmp_path_factory):
    """Where two packages are installed that know nothing of the kit: ``right-ops`` and ``wrong-ops``."""
    site = tmp_path_factory.mktemp("site")
    sources = []
    for namespace, factor in (("right", "-1.0"), ("wrong", "-2.0")):
        source = tmp_path_factory.mktemp(namespace)
        (source / "pyproject.toml").write_text(PROJECT.format(namespace=namespace), encoding="utf-8")
        (source / f"{namespace}_ops.py").write_text(OPS.format(namespace=namespace, factor=factor), encoding="utf-8")
        sources.append(source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, *sources], check=True, timeout=300)
    return site


@pytest.fixture
def make_op():
    """Return a function that makes an op, doubling its input but for what the methods given do."""

    def make(**methods):
        class Twice(og.Elementwise, name="hostile.base"):
            """Double each element: (…) -> (…)."""

            def compute(self, ins, outs):
                np.multiply(ins[0], 2, out=outs[0])

            def vjp(self, ins, outs, cotangents):
                return (2 * cotangents[0],)

            @classmethod
            def samples(cls, rng):
                yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
                yield og.Sample((rng.normal(size=(1,)),), id="one")
                yield og.Sample((rng.normal(size=(0,)),), id="empty")

        return type("Hostile", (Twice,), {"__doc__": Twice.__doc__, **methods}, name="hostile.op")

    return make


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that has new processes find ops: their source, as if a package were installed."""

    def install(source, distribution="hostile-ops"):
        module = distribution.replace("-", "_")
        text = textwrap.dedent(source)
        (tmp_path / f"{module}.py").write_text("import numpy as np\nimport opgraph as og\n" + text, encoding="utf-8")
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        names = [line.split('name="')[1].split('"')[0] for line in text.splitlines() if line.startswith("class ")]
        classes = [line.split()[1].split("(")[0] for line in text.splitlines() if line.startswith("class ")]
        entries = "\n".join(f"{n} = {module}:{c}" for n, c in zip(names, classes, strict=True))
        (metadata / "entry_points.txt").write_text(f"[opgraph.ops.v1]\n{entries}\n")
        monkeypatch.syspath_prepend(tmp_path)
        og.registry.refresh()

    yield install
    monkeypatch.undo()
    og.registry.refresh()
