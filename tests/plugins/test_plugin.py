"""A stranger's package, built and installed, is found through its entry point and trained through."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

PROGRAM = """
import sys
import numpy as np
import opgraph as og
from opgraph.testing import check_grads

assert "acme" in dir(og.ops) and "acme_ops" not in sys.modules

x = og.placeholder((None, 1), dtype=np.float64, name="x")
check_grads(og.ops.acme.gaussian(x, width=0.7), [x], {x: [[0.3], [-1.2], [2.0]]}, order=2)

target = og.placeholder((None, 1), dtype=np.float64, name="target")
height = og.Variable(np.array(0.5), name="height")
center = og.Variable(np.array(0.6), name="center")
error = og.ops.acme.gaussian(x - center, width=1.0) * height - target
loss = og.reduce_mean(error * error)
slopes = dict(zip([height, center], og.grad(loss, [height, center])))
step = og.RunTime().compile([x, target], [loss], updates={v: v - 0.5 * g for v, g in slopes.items()})

data = np.linspace(-3, 3, 61)[:, None]
for _ in range(300):
    step(data, 2.0 * np.exp(-((data + 0.4) ** 2) / 2))
print(round(float(height.val), 4), round(float(center.val), 4))

try:
    og.ops.acme.gaussian(x, width="wide")
except og.ArgumentError as error:
    print(error)
"""


def test_an_installed_plugin_is_found_and_trained_through(tmp_path):
    source = tmp_path / "source"
    site = tmp_path / "site"
    # a copy, so that no build/ is left beside the sources
    subprocess.run(["cp", "-r", HERE / "opgraph-acme", source], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, source], check=True, timeout=300)
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2.0 -0.4",
        "acme.gaussian: width='wide': expected a number",
        '  at train.py:26: og.ops.acme.gaussian(x, width="wide")',
    ]
