"""How import and compilation cost grow: python benchmarks/scaling.py

Prints the time that ``import opgraph`` takes beyond ``import numpy``, the processor time to build, differentiate,
compile and run chains of calls, and what it costs to build the graph of a training step anew in every step. Medians
of several rounds, each in a process of its own.
"""

import argparse
import statistics
import subprocess
import sys

IMPORT = """
import time
import numpy
start = time.perf_counter()
import opgraph
print(time.perf_counter() - start)
"""

CHAIN = """
import time
import numpy as np
import opgraph as og
og.tanh, og.multiply
start = time.process_time()
x = og.placeholder((), dtype=np.float64)
y = x
for _ in range({n} // 2):
    y = og.tanh(y) * 1.01
built = time.process_time()
slope = og.grad(y, x)
differentiated = time.process_time()
program = og.RunTime().compile([x], [y, slope])
program(0.5)
print(time.process_time() - start, built - start, differentiated - built, time.process_time() - differentiated)
"""

REBUILT = """
import statistics
import time
import numpy as np
import opgraph as og
import opgraph_nn as nn
from opgraph.compiled import StructureKey
from opgraph.passes.lower import lower
from opgraph_nn import initializers, optimizers

SIZES = (784, 512, 256, 10)
graph = og.get_default_graph()
graph.set_runtime(og.RunTime(seed=0))
weights = [og.variable(shape, initializers.HeNormalInitializer()) for shape in zip(SIZES, SIZES[1:])]
biases = [og.variable((size,), initializers.ZerosInitializer()) for size in SIZES[1:]]
graph.initialize_variables(seed=0)
rng = np.random.default_rng(0)
images, labels = rng.random((128, 784), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]
adam = optimizers.Adam()


def build():
    x, t = og.placeholder((None, 784)), og.placeholder((None, 10))
    h = x
    for w, b in zip(weights, biases):
        h = h @ w + b if w is weights[-1] else nn.relu(h @ w + b)
    return x, t, og.reduce_mean(nn.softmax_cross_entropy_loss(t, h))


def step(x, t, loss):
    return adam.optimize(loss, {x: images, t: labels})


def timed(function, *args):
    start = time.process_time()
    result = function(*args)
    spent.append(time.process_time() - start)
    return result


rows = []
for _ in range(51):
    spent = []
    x, t, loss = timed(build)
    timed(lambda: StructureKey(lower([loss, *weights, *biases], {})))
    timed(step, x, t, loss)
    timed(step, x, t, loss)
    rows.append(spent)
print(rows[0][2], *[statistics.median(column) for column in zip(*rows[1:])])
"""


def measure(code: str, rounds: int) -> list[float]:
    """Return the medians of the numbers that `code` prints, over `rounds` processes."""
    rows = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        rows.append([float(word) for word in done.stdout.split()])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    (seconds,) = measure(IMPORT, rounds)
    print(f"import opgraph, beyond numpy: {seconds * 1e3:.0f} ms")
    totals = {}
    for n in (5_000, 50_000):
        total, build, differentiate, run = measure(CHAIN.format(n=n), rounds)
        totals[n] = total
        print(
            f"chain of {n:6}: {total:6.2f} s  (build {build:.2f}, grad {differentiate:.2f}, compile and run {run:.2f})"
        )
    print(f"ratio: {totals[50_000] / totals[5_000]:.1f}")
    first, build, look_up, rebuilt, known = [1e3 * seconds for seconds in measure(REBUILT, rounds)]
    print(
        f"training step of a perceptron: {first:.0f} ms the first time, of which {first - known:.0f} ms to compile it"
    )
    print(f"  its graph built anew in every step: {build:.2f} ms to build, {look_up:.2f} ms to number and hash,")
    print(f"  {build + rebuilt - known:.2f} ms more than a step of {known:.2f} ms of a graph that is kept")


if __name__ == "__main__":
    main()
