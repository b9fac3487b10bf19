"""A worker's end of the conversation with whoever asks it, apart from what ops print."""

import json
import os
import sys
import tempfile
from typing import Any

from opgraph.testing import watch


class Channel:
    """Both ends of the conversation with the process that asks, out of reach of what ops print."""

    def __init__(self, reading: int, writing: int) -> None:
        # nothing is read ahead: forks read from it, too
        self._reading = open(reading, "rb", buffering=0)  # noqa: SIM115  as long as the process lives
        self._writing = writing

    def receive(self) -> dict[str, Any] | None:
        """Return the next request, None if there is none."""
        line = self._reading.readline()
        return json.loads(line) if line else None

    def send(self, answer: Any) -> None:
        """Answer a request."""
        text = memoryview(json.dumps(answer).encode() + b"\n")
        while text:
            text = text[os.write(self._writing, text) :]


def has_fork() -> bool:
    """Whether this process can be copied. macOS has a fork that its own libraries do not survive."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def keep_output() -> None:
    """Have whatever is printed end up in a file of our own, and nothing be read."""
    watch.native = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process lives
    for descriptor in (1, 2):
        os.dup2(watch.native.fileno(), descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  what was open there was another's
