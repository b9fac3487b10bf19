"""Threads that share the work of a run."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import opgraph as og
import opgraph.threads
from opgraph.passes.calls import CallMaker
from opgraph.threads import using_threads


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_parallel_for_calls_once_for_each_index_and_the_caller_does_its_share():
    done, seen = [], set()

    def body(i):
        done.append(i)
        seen.add(threading.get_ident())

    with using_threads(3):
        og.parallel_for(body, 1000)
    assert sorted(done) == list(range(1000))
    assert threading.get_ident() in seen


def test_two_threads_do_work_at_once():
    # each waits for the other one, which one thread alone never could
    barrier = threading.Barrier(2, timeout=30)
    with using_threads(2):
        og.parallel_for(lambda i: barrier.wait(), 2)


def test_parallel_for_of_nothing_calls_nothing_and_bad_counts_are_refused():
    og.parallel_for(lambda i: pytest.fail("called"), 0)
    for n in (-1, 2.0, True):
        with pytest.raises(og.ArgumentError, match="number of calls"):
            og.parallel_for(lambda i: None, n)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_parallel_for_raises_what_a_call_raised_when_those_begun_are_over(threads):
    running = []

    def body(i):
        running.append(i)
        try:
            if i == 3:
                raise ZeroDivisionError("three")
        finally:
            running.remove(i)

    with using_threads(threads):
        with pytest.raises(ZeroDivisionError, match="three"):
            og.parallel_for(body, 100)
        assert running == []
        og.parallel_for(lambda i: None, 100)


def test_calls_within_calls_come_one_after_the_other():
    order = []

    def outer(i):
        own = []
        og.parallel_for(own.append, 5)
        order.append(own)

    with using_threads(2):
        og.parallel_for(outer, 4)
    assert sorted(order[0]) == [0, 1, 2, 3, 4]
    assert len(order) == 4


def test_calls_within_calls_come_one_after_the_other_though_helpers_are_free():
    seen = []

    def outer(i):
        own = set()
        og.parallel_for(lambda j: own.add(threading.get_ident()) or time_passes.wait(0.002), 5)
        seen.append(own)

    time_passes = threading.Event()
    with using_threads(4):
        og.parallel_for(outer, 2)
        og.parallel_for(outer, 1)
    assert [len(own) for own in seen] == [1, 1, 1]


def test_where_the_system_has_no_more_threads_those_that_are_there_do_the_work(monkeypatch):
    class Refused(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(opgraph.threads, "_pool", type(opgraph.threads._pool)())
    monkeypatch.setattr(opgraph.threads.threading, "Thread", Refused)
    v = og.Variable(np.zeros(300_000))
    largest = og.RunTime(threads=4).compile([], [og.reduce_max(og.exp(v) + 1.0)], updates={v: v * 2.0 + 1.0})
    assert [float(largest()[0]) for _ in range(2)] == [2.0, np.exp(1.0) + 1.0]
    assert (v.val == 3.0).all()


def test_a_kernel_reads_variables_and_is_refused_runs_in_whichever_thread_it_works():
    scale = og.Variable(np.full(1, 3.0))
    errors = []

    class Curious(og.Elementwise, name="tests.curious"):
        """x times a variable that it looks at."""

        def compute(self, ins, outs):
            np.multiply(ins[0], scale.val[0], out=outs[0])
            try:
                scale()
            except og.GraphError as error:
                errors.append(str(error))

    x = og.placeholder((None,), np.float64)
    y = og.apply(Curious(), x) + scale
    rt = og.RunTime(threads=3)
    for _ in range(5):
        assert (rt.run(y, {x: np.ones(500_000)}) == 6.0).all()
    assert len(errors) >= 5
    assert all("a run that is not over" in error for error in errors)


def test_blas_has_one_thread_in_a_run_and_its_own_number_after():
    before = blas_threads()
    seen = []

    class Look(og.Op, name="tests.look"):
        """Note how many threads BLAS has."""

        def infer(self, ins):
            return (ins[0],)

        def compute(self, ins, outs):
            seen.append(blas_threads())
            np.copyto(outs[0], ins[0])

    x = og.placeholder((3,), np.float64)
    og.RunTime(threads=2).run(og.apply(Look(), x), {x: np.ones(3)})
    assert seen == [{1}]
    assert blas_threads() == before


def test_blas_is_restored_when_two_holders_overlap():
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with using_threads(1):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    with using_threads(1):
        thread.start()
        inside.wait(30)
    assert blas_threads() == {1}
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_any_number_of_threads_gives_the_same_bits():
    x, b = og.placeholder((None, 500)), og.placeholder((500,))
    y = og.tanh(x * 1.5 + b) * og.exp(-x)
    found = [y, *og.grad(og.reduce_sum(y), [x, b])]
    rng = np.random.default_rng(0)
    values = rng.normal(size=(701, 500)).astype(np.float32), rng.normal(size=500).astype(np.float32)
    results = [og.RunTime(threads=n).compile([x, b], found)(*values) for n in (1, 2, 3)]
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    ("x", "y"),
    [((300, 400), (400, 310)), ((3, 70, 500), (500, 810)), ((2, 150, 400), (2, 400, 530)), ((90, 2000), (2000, 101))],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_large_products_are_shared_and_are_the_same_for_any_number_of_threads(x, y, transposed):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=x), rng.normal(size=y)
    u, v = og.placeholder(x, np.float64), og.placeholder(y, np.float64)
    product = og.matmul(u, v)
    if transposed:
        product = og.matmul(og.swapaxes(v, -1, -2), og.swapaxes(u, -1, -2))
    found = [og.RunTime(threads=n).run(product, {u: a, v: b}) for n in (1, 2, 3)]
    expected = np.einsum("...ij,...jk->...ik", a, b)
    np.testing.assert_allclose(found[0], np.swapaxes(expected, -1, -2) if transposed else expected, rtol=1e-9)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_calls_of_many_threads_are_made_when_they_are_first_wanted(monkeypatch):
    made = []
    append = CallMaker.append
    monkeypatch.setattr(CallMaker, "append", lambda self, *args: (made.append(args), append(self, *args)))
    x = og.placeholder((2000, 300), np.float64)
    y = x
    for _ in range(8):
        y = og.tanh(y * 1.5)
    values = np.random.default_rng(0).normal(size=(2000, 300))
    expected = og.RunTime(threads=1).run(y, {x: values})
    del made[:]
    rt = og.RunTime(threads=40, tile=30_000)
    rt.explain(y)
    assert len(made) == 20  # blocks
    for _ in range(3):
        assert rt.run(y, {x: values}).tobytes() == expected.tobytes()
    assert rt.cache_info().plan_misses == 1
    assert len(made) <= 20 * 4  # each block is done once in a run, by a thread that may not have had it before


def test_runs_of_one_run_time_in_several_threads_do_not_mix():
    x = og.placeholder((None,), np.float64)
    y = og.exp(x) + 1.0
    rt = og.RunTime(threads=2)
    wrong = []

    def work(n):
        for i in range(30):
            value = np.full(100_000 + n, i / 10)
            if not (rt.run(y, {x: value}) == np.exp(i / 10) + 1.0).all():
                wrong.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FORKED = """
import os
import numpy as np
import opgraph as og

x = og.placeholder((None,), np.float64)
y = og.exp(x) * 2.0
rt = og.RunTime(threads=2)
values = np.linspace(0, 1, 1_000_000)
before = rt.run(y, {x: values})
child = os.fork()
if child == 0:
    same = rt.run(y, {x: values}).tobytes() == before.tobytes()
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert rt.run(y, {x: values}).tobytes() == before.tobytes()
print("both")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_process_that_forks_after_a_run_goes_on_and_so_does_its_child():
    # warnings off: newer Pythons warn of any fork beside threads
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "both\n", "")


FORKED_AMID = """
import gc
import os
import threading

import numpy as np
import opgraph as og
from opgraph.collection import collection_paused


class Waits(og.Elementwise, name="test.waits"):
    def compute(self, ins, outs):
        entered.set()
        assert leave.wait(60)
        np.copyto(outs[0], ins[0])


def run():
    with collection_paused():
        slow()


entered, leave = threading.Event(), threading.Event()
v = og.Variable(np.zeros(3), name="v")
rt = og.RunTime(threads=1)
slow = rt.compile([], [], updates={v: og.apply(Waits(), v + 1.0)})
quick = rt.compile([], [], updates={v: v + 10.0})
thread = threading.Thread(target=run)
thread.start()
assert entered.wait(60)
child = os.fork()
if child == 0:
    quick()
    os._exit(0 if v.val.tolist() == [10.0] * 3 and gc.isenabled() else 1)
leave.set()
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert v.val.tolist() == [1.0] * 3
with v.graph.state_lock:  # what the thread that forks holds it goes on holding
    child = os.fork()
    if child == 0:
        v.graph.state_lock.release()
        quick()
        os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("both")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_the_child_of_a_process_that_forks_while_another_thread_runs_goes_on():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED_AMID],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "both\n", "")


SIGNALLED = """
import contextlib
import signal

import numpy as np
import opgraph as og


class Stop(BaseException):
    pass


def stop(number, frame):
    raise Stop


signal.signal(signal.SIGALRM, stop)
variables = [og.Variable(np.zeros(300_000), name=f"v{i}") for i in range(2)]
step = og.RunTime(threads=2).compile([], [], updates={v: v + 1.0 for v in variables})
step()
for i in range(100):
    with contextlib.suppress(Stop):
        signal.setitimer(signal.ITIMER_REAL, 1e-4 * (1 + i % 13))
        for _ in range(1000):
            step()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len({float(x) for v in variables for x in (v.val.min(), v.val.max())}) == 1
print("all or none")
"""


def test_a_signal_leaves_variables_that_threads_write_all_updated_or_none():
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all or none\n", "")


INTERRUPTED = """
import contextlib
import signal

import numpy as np
import opgraph as og
import opgraph.threads


class Stop(BaseException):
    pass


def stop(number, frame):
    raise Stop


signal.signal(signal.SIGALRM, stop)
x = og.placeholder((3,))
double = og.RunTime(threads=2).compile([x], [x * 2.0])
value = np.ones(3, np.float32)
double(value)
for i in range(2000):
    with contextlib.suppress(Stop):
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (2 + i % 29))
        while True:
            double(value)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert not opgraph.threads._local.threads, i
    assert not opgraph.threads._blas.holders, i
print("restored")
"""


def test_a_signal_in_a_run_leaves_threads_as_they_were():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "restored\n", "")
