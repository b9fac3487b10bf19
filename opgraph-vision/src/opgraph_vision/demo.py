"""``opgraph demo``: train a ConvNet on handwritten digits, and show how well it reads those it has not seen."""

import argparse
import sys
from collections.abc import Callable
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from opgraph_vision.datasets import digits, stratified_split


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``demo`` to the command line of opgraph."""
    parser = subparsers.add_parser(
        "demo",
        help="train a ConvNet on handwritten digits",
        description="Train a ConvNet with batch normalization and dropout on four fifths of 1,797 handwritten "
        "digits, 8x8 pixels each, and tell how well it reads the others.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=_integer_from(1), default=20, help="how often to go through the digits")
    parser.add_argument("--seed", type=_integer_from(0), default=0, help="of everything random but the split")
    parser.add_argument("--batch-size", type=_integer_from(1), default=64, help="how many digits to a step")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and print the result; return the exit code."""
    try:  # not at the top: the command line lists its commands whatever is installed
        from opgraph_vision.convnet import CLASSES, train
    except ModuleNotFoundError as error:
        if error.name != "opgraph_nn":
            raise
        print("opgraph demo needs opgraph-nn: pip install opgraph-nn", file=sys.stderr)
        return 1

    images, labels = digits()
    seen, held_out = stratified_split(labels)
    print(f"learning from {len(seen)} digits, {len(held_out)} held out")
    progress = Progress(args.epochs, -(-len(seen) // args.batch_size), sys.stdout)
    # matrices this small gain little from threads, which on a busy machine wait for each other
    with threadpool_limits(1, user_api="blas"):
        predict = train(images[seen], labels[seen], args.epochs, args.batch_size, args.seed, progress)

    predicted = predict(images[held_out])
    right = np.count_nonzero(predicted == labels[held_out])
    print(f"held-out accuracy {right / len(held_out):.4f}, {right} of {len(held_out)}\n")
    print(confusion_table(labels[held_out], predicted, CLASSES))
    return 0


class Progress:
    """Tells how far training is: in one line, rewritten in place, on a terminal; elsewhere in one for each epoch."""

    def __init__(self, epochs: int, batches: int, stream: TextIO) -> None:
        self._epochs = epochs
        self._batches = batches
        self._stream = stream
        self._losses: list[float] = []

    def __call__(self, epoch: int, batch: int, loss: float) -> None:
        """Take note of a batch; both numbers count from 0."""
        if batch == 0:
            self._losses.clear()
        self._losses.append(loss)
        epoch_ends = batch + 1 == self._batches
        text = f"epoch {_of(epoch, self._epochs)}  loss {np.mean(self._losses):7.4f}"
        if self._stream.isatty():
            end = "\n" if epoch_ends and epoch + 1 == self._epochs else ""
            print(f"\r{text}  batch {_of(batch, self._batches)}", end=end, file=self._stream, flush=True)
        elif epoch_ends:
            print(text, file=self._stream, flush=True)


def _of(number: int, total: int) -> str:
    """Return how far a count from 0 has come, at the same width each time."""
    return f"{number + 1:{len(str(total))}} of {total}"


def confusion_table(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> str:
    """Return the counts of each class (rows) by what it was read as (columns), as text."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    lines = [["read as", *map(str, range(classes))]]
    lines += [[str(label), *(str(n) if n else "." for n in row)] for label, row in enumerate(counts)]
    return "\n".join(f"{head:>7}" + "".join(f"{cell:>5}" for cell in cells) for head, *cells in lines)


def _integer_from(least: int) -> Callable[[str], int]:
    """Return the type of an argument that is an integer, `least` or more."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no integer from {least}")
        return value

    return parse
