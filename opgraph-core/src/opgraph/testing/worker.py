"""A process that checks ops for another: ``python -m opgraph.testing.worker TRACE``.

Requests come in and answers go out as JSON, a line each. Each op gets a fork of this process, where the platform
can, so that it meets a clean one and takes nobody with it. Where it ends the process, its stack is left in the file
TRACE, and the answer is how it ended.
"""

import contextlib
import dataclasses
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any, NoReturn

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.bench import Bench, Settings, Unit
from opgraph.testing.channel import Channel, has_fork, keep_output

# a function from a name to an op class, or to a composed function, and to the samples that it is checked on
Find = Callable[[str], tuple[Any, Iterable[og.Sample] | None]]
_exit = os._exit  # an op may replace it, and so do we


def serve(channel: Channel, trace: str, find: Find) -> None:
    """Have ops checked, one after the other, until there are no more requests."""
    with contextlib.suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides when it ends
    while (request := channel.receive()) is not None:
        if not has_fork():
            _serve_op(request, channel, trace, find)
            return
        child = os.fork()
        if child == 0:
            try:
                _serve_op(request, channel, trace, find)
            finally:
                _exit(0)
        _, status = os.waitpid(child, 0)
        channel.send({"ended": os.waitstatus_to_exitcode(status)})


def _serve_op(request: dict[str, Any], channel: Channel, trace: str, find: Find) -> None:
    """Load an op, then answer what is asked about it: which units it has, and what each gives."""
    with open(trace, "wb") as stacks:
        faulthandler.enable(stacks, all_threads=False)
        os._exit = _leaving_a_stack(stacks)  # type: ignore[assignment]  # its argument has a name
        answer, loaded = _timed(request, stacks, lambda: _load(request, find))
        channel.send(answer)
        bench: Bench | None = None
        while (request := channel.receive() or {"do": "close"})["do"] != "close":
            if request["do"] == "list":
                bench = _timed(request, stacks, lambda: _bench(request, loaded))
                channel.send({"units": bench.units(), "invalid": bench.invalid})
            elif bench is not None:
                unit, ready = Unit(*request["unit"]), bench
                result = _timed(request, stacks, lambda: ready.run(unit))  # noqa: B023  called before the next
                channel.send({"result": dataclasses.asdict(result)})


def _timed(request: dict[str, Any], stacks: IO[bytes], answer: Callable[[], Any]) -> Any:
    """Return what `answer` does; after its time, leave a stack and end the process, whatever it is at."""
    faulthandler.dump_traceback_later(request["seconds"], exit=True, file=stacks)
    try:
        return answer()
    finally:
        faulthandler.cancel_dump_traceback_later()


def _load(request: dict[str, Any], find: Find) -> tuple[dict[str, Any], Any]:
    """Return the answer, and the op class with its samples."""
    with watch.listening() as printed:
        try:
            target, samples = find(request["op"])
        # a package may raise anything while it is imported
        except BaseException as error:
            return {"failed": str(error) or type(error).__name__}, None
    if not isinstance(target, type):
        return {"composed": True}, None
    return {"loaded": True, "printed": watch.lines(printed)}, (target, samples)


def _bench(request: dict[str, Any], loaded: tuple[type[og.Op], Iterable[og.Sample] | None]) -> Bench:
    return Bench(*loaded, Settings(**request["settings"]), request["sampled"])


def _leaving_a_stack(stacks: IO[bytes]) -> Callable[[int], NoReturn]:
    """Return an `os._exit` that says who called it."""

    def leave(status: int) -> NoReturn:
        faulthandler.dump_traceback(stacks, all_threads=False)
        _exit(status)

    return leave


def main() -> None:
    """Serve installed ops to whoever started this process."""
    channel = Channel(os.dup(0), os.dup(1))
    keep_output()
    serve(channel, sys.argv[1], lambda name: (og.registry.get(name), None))


if __name__ == "__main__":
    main()
