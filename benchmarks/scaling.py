"""How import and compilation cost grow: python benchmarks/scaling.py

Prints the time that ``import opgraph`` takes beyond ``import numpy``, and the processor time to build,
differentiate, compile and run chains of calls. Medians of several rounds, each in a process of its own.
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


if __name__ == "__main__":
    main()
