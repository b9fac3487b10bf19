"""``opgraph demo``: what it learns, what it prints, and where."""

import argparse
import io
import subprocess
import sys

import numpy as np
import pytest

from opgraph_vision import demo


def run_demo(*options):
    parser = argparse.ArgumentParser(prog="opgraph")
    demo.register(parser.add_subparsers())
    args = parser.parse_args(["demo", *options])
    return args.run(args)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.untraced
def test_demo_reads_unseen_digits(capsys):
    assert run_demo() == 0
    lines = capsys.readouterr().out.splitlines()
    first, *epochs, accuracy, _ = lines[:23]
    head, zero, *_ = lines[23:]
    # 1,797 images less a fifth of each class
    assert first == "learning from 1438 digits, 359 held out"
    assert [line.split()[1] for line in epochs] == [str(n) for n in range(1, 21)]
    assert float(accuracy.split()[2].rstrip(",")) >= 0.97
    assert head.split() == ["read", "as", *"0123456789"]
    # of 178 zeros 36 are held out, and they are read as zeros but for a few
    counts = [0 if cell == "." else int(cell) for cell in zero.split()[1:]]
    assert sum(counts) == 36
    assert counts[0] >= 34


def test_output_that_is_no_terminal_is_the_same_each_time():
    command = [sys.executable, "-m", "opgraph", "demo", "--epochs", "1", "--seed", "3", "--batch-size", "100"]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert first.stdout == again.stdout
    assert "\r" not in first.stdout
    assert first.stdout.splitlines()[1].startswith("epoch 1 of 1  loss")
    assert first.stderr == ""


def test_another_seed_learns_otherwise(capsys):
    outputs = []
    for seed in ("0", "1"):
        run_demo("--epochs", "1", "--batch-size", "200", "--seed", seed)
        outputs.append(capsys.readouterr().out.splitlines()[1])
    assert outputs[0] != outputs[1]


def test_progress_rewrites_one_line_on_a_terminal():
    stream = Terminal()
    progress = demo.Progress(epochs=2, batches=2, stream=stream)
    for epoch, batch, loss in [(0, 0, 3.0), (0, 1, 2.0), (1, 0, 1.5), (1, 1, 0.5)]:
        progress(epoch, batch, loss)
    assert stream.getvalue() == (
        "\repoch 1 of 2  loss  3.0000  batch 1 of 2"
        "\repoch 1 of 2  loss  2.5000  batch 2 of 2"
        "\repoch 2 of 2  loss  1.5000  batch 1 of 2"
        "\repoch 2 of 2  loss  1.0000  batch 2 of 2\n"
    )


def test_progress_prints_one_line_for_each_epoch_elsewhere():
    stream = io.StringIO()
    progress = demo.Progress(epochs=10, batches=2, stream=stream)
    for epoch, batch, loss in [(8, 0, 3.0), (8, 1, 2.0), (9, 0, 1.5), (9, 1, 0.5)]:
        progress(epoch, batch, loss)
    assert stream.getvalue() == "epoch  9 of 10  loss  2.5000\nepoch 10 of 10  loss  1.0000\n"


def test_confusion_table_counts_what_was_read_as_what():
    table = demo.confusion_table(np.array([0, 1, 1, 2, 1]), np.array([0, 2, 1, 2, 1]), classes=3)
    assert table.splitlines() == [
        "read as    0    1    2",
        "      0    1    .    .",
        "      1    .    2    1",
        "      2    .    .    1",
    ]


def test_demo_without_opgraph_nn_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "opgraph_nn", None)
    monkeypatch.delitem(sys.modules, "opgraph_vision.convnet", raising=False)
    assert run_demo() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "opgraph demo needs opgraph-nn: pip install opgraph-nn\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "argument --epochs: '0' is no integer from 1"),
        (["--batch-size", "many"], "argument --batch-size: 'many' is no integer from 1"),
        (["--seed", "-1"], "argument --seed: '-1' is no integer from 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message, capsys):
    with pytest.raises(SystemExit) as raised:
        run_demo(*options)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
