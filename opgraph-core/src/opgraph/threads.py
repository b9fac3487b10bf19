"""Threads that share the work of one run, and BLAS held to one thread meanwhile."""

import collections
import ctypes
import functools
import itertools
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import SimpleQueue
from typing import Any, TypeAlias, cast

import numpy as np

from opgraph.errors import ArgumentError
from opgraph.locks import new_lock

Call: TypeAlias = Callable[[], object]


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_for(body: Callable[[int], object], n: int) -> None:
    """Call ``body(0)`` to ``body(n - 1)``, spread over the threads of the run.

    The order is any, and calls overlap: each writes memory that no other one touches. The calling thread
    does its share. Within a call of `parallel_for`, and where the run time has one thread, the calls come one
    after the other. BLAS has one thread meanwhile, so that a body may call it.

    Parameters
    ----------
    body
        Takes an index. Threads take turns in Python, so a call pays from tens of microseconds on that it
        spends in NumPy.
    n
        How many calls. For results that depend on nothing but the operands, let it follow from their shapes.

    Raises
    ------
    Exception
        What the first call that failed raised, when all that had begun are over; later ones are not begun.
    """
    if type(n) is not int or n < 0:
        raise ArgumentError(f"n is a number of calls from 0, not {n!r}").located("parallel_for")
    with using_threads(_local.threads or available_cores()):
        share_out([body] * min(_local.threads, max(n, 1)), n)


def share_out(bodies: Sequence[Callable[[int], object]], n: int) -> None:
    """Call one of `bodies` with each index below `n`, each body in a thread of its own, the first in this one."""
    tasks = iter(range(n))

    def share(body: Callable[[int], object]) -> None:
        try:
            for i in tasks:
                body(i)
        except BaseException:
            _consume(tasks)  # nobody begins another one
            raise

    before = _local.threads
    try:
        _local.threads = 1  # for calls within calls, as helpers have it
        _spread([functools.partial(share, body) for body in bodies])
    finally:
        _local.threads = before


def run_blocks(workers: Sequence[Sequence[Sequence[Call]]], then: Sequence[Call] = ()) -> None:
    """Run each block once, by the calls that one of the workers has for it, and what comes then.

    All calls are written in C and raise nothing: no signal handler runs before the last has begun.

    Parameters
    ----------
    workers
        For each worker, each block's calls; the first worker is the calling thread.
    then
        More calls for this thread, which need not wait for the blocks.
    """
    blocks = iter(range(len(workers[0])))
    calls = functools.partial(map, operator.call)
    _spread([functools.partial(_consume, map(_consume, map(calls, map(w.__getitem__, blocks)))) for w in workers], then)


def run_calls(calls: Iterable[Call]) -> None:
    """Call each of `calls`; where all are written in C, no signal handler runs in between."""
    in_one_call(operator.call, calls)


def in_one_call(function: Callable[..., Any], *arguments: Iterable[Any]) -> None:
    """Call a function written in C on each group of arguments, with no signal handler in between."""
    # the handlers of signals run between bytecodes, and here there are none
    _consume(map(function, *arguments))


@contextmanager
def using_threads(n: int, lock: Any = None) -> Iterator[None]:
    """Let `parallel_for` use `n` threads within a ``with``, and BLAS one.

    Where this thread holds a `lock` meanwhile, it does so for all of them.
    """
    before = _local.threads, _local.locks
    holder = threading.get_ident()
    try:
        _local.locks = (*before[1], lock)
        if not before[0]:
            _local.threads = n
            _blas.hold(holder)
        yield
    finally:
        # first what takes no call, in which a signal could interrupt
        _local.threads, _local.locks = before
        if not before[0]:
            try:
                _blas.release(holder)
            except BaseException:
                _blas.release(holder)
                raise


def is_held(lock: Any) -> bool:
    """Whether this thread holds `lock`, or helps in a run whose thread does, and waits for it."""
    return lock._is_owned() or lock in _local.locks


def unless_held(lock: Any) -> AbstractContextManager[Any]:
    """Return `lock` for a ``with``, or what locks nothing where the thread that this one helps holds it."""
    return _NO_LOCK if lock in _local.locks else cast(AbstractContextManager[Any], lock)


_consume = functools.partial(collections.deque[object], maxlen=0)


def _spread(shares: Sequence[Call], then: Sequence[Call] = ()) -> None:
    """Call the first share and what comes `then` here, other shares in helper threads that wake in time.

    Returns when all end. No signal handler runs in this thread between shares that are written in C.
    """
    if len(shares) == 1:
        run_calls([shares[0], *then])
        return
    n = len(shares) - 1
    waiting = iter(shares[1:])
    done: SimpleQueue[object] = SimpleQueue()
    taken: list[object] = []
    wake = [functools.partial(_pool.inbox.put, (waiting, done, _local.locks))] * _pool.grown_to(n)
    drop = functools.partial(_consume, map(done.put, waiting))  # what no helper has begun
    take = functools.partial(taken.extend, itertools.islice(iter(done.get, _NEVER), n))
    try:
        # to wait is one of the calls: a signal that came before it could leave helpers at work behind
        run_calls([*wake, shares[0], *then, drop, take])
    finally:
        if len(taken) < n:
            drop()
            _await(done, taken, n)
        for outcome in taken:
            if isinstance(outcome, BaseException):
                raise outcome


def _await(done: "SimpleQueue[object]", taken: list[object], n: int) -> None:
    """Add to what was `taken` until `n` shares are over; an exception that a signal raises meanwhile is added, too."""
    while len(taken) < n:
        try:
            taken.extend(itertools.islice(iter(done.get, _NEVER), n - len(taken)))
        except BaseException as error:
            taken.append(error)
            n += 1


_NEVER = object()
_NO_LOCK = nullcontext()


class _Local(threading.local):
    threads = 0  # of the run that this thread works for; 0 outside of any
    locks: tuple[Any, ...] = ()  # that are held for such runs


class _Pool:
    """Helper threads, started when first wanted; a process that was forked has its own."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.helpers = 0
        self.lock = new_lock()

    def grown_to(self, n: int) -> int:
        """Have at least `n` helpers, where the system has threads for them; return how many of `n` there are."""
        if self.helpers < n:
            with self.lock:
                while self.helpers < n:
                    name = f"opgraph-{self.helpers}"
                    try:
                        threading.Thread(target=_help, args=(self.inbox,), name=name, daemon=True).start()
                    except RuntimeError:  # who is there does all of the work
                        break
                    self.helpers += 1
        return min(n, self.helpers)


def _help(inbox: "SimpleQueue[Any]") -> None:
    """Do shares of jobs for ever."""
    _local.threads = 1
    np.seterr(all="ignore")  # as the thread has it that waits
    while True:
        waiting, done, _local.locks = inbox.get()
        for share in waiting:
            outcome = None
            try:
                share()
            except BaseException as error:
                outcome = error
            done.put(outcome)
            break
        waiting = done = share = outcome = None  # a thread that waits keeps nothing alive
        _local.locks = ()


class _Blas:
    """The threads of the BLAS library that NumPy calls: one while somebody holds it."""

    def __init__(self) -> None:
        self.lock = new_lock()
        self.holders: set[int] = set()
        self.before: list[tuple[Callable[[int], object], int]] = []
        self.libraries: list[tuple[Callable[[], int], Callable[[int], object]]] | None = None

    def hold(self, thread: int) -> None:
        """Set it to one thread until all holders have released it."""
        with self.lock:
            self.holders.add(thread)
            if not self.before:
                self._set_to_one()

    def release(self, thread: int) -> None:
        """Restore what was, if nobody else holds it."""
        with self.lock:
            self.holders.discard(thread)
            if not self.holders:
                for set_threads, threads in self.before:
                    set_threads(threads)
                self.before.clear()  # when all is set, since a signal may interrupt

    def _set_to_one(self) -> None:
        if self.libraries is None:
            self.libraries = _blas_libraries()
        for get_threads, set_threads in self.libraries:
            threads = get_threads()
            if threads > 1:
                self.before.append((set_threads, threads))
                set_threads(1)


def _blas_libraries() -> list[tuple[Callable[[], int], Callable[[int], object]]]:
    """Return what tells and what sets the number of threads of each BLAS library that is loaded."""
    # found once: its context managers take long, and leave one thread for good where they overlap
    from threadpoolctl import ThreadpoolController

    found = []
    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "blas":
            # threadpoolctl lets but the thread that came first set OpenBLAS
            setter = _openblas_setter(library.filepath) if library.internal_api == "openblas" else None
            found.append((library.get_num_threads, setter or library.set_num_threads))
    return found


def _openblas_setter(path: str) -> Callable[[int], object] | None:
    """Return OpenBLAS's own function, under the name that this build has for it."""
    library = ctypes.CDLL(path)
    for prefix, suffix in itertools.product(("scipy_", ""), ("64_", "_64", "")):
        setter: Any = getattr(library, f"{prefix}openblas_set_num_threads{suffix}", None)
        if setter is not None:
            setter.argtypes, setter.restype = (ctypes.c_int,), None
            return cast(Callable[[int], object], setter)
    return None


_local = _Local()
_pool = _Pool()
_blas = _Blas()


def _after_fork() -> None:
    """Have a forked process, whose only thread is the one that forked, begin anew."""
    global _pool
    _pool = _Pool()
    _blas.holders.intersection_update({threading.get_ident()})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
