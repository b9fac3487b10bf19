"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import pickle
import stat
import subprocess
import sys
import zipfile

import pytest

import opgraph as og
from opgraph.io.files import reading, write_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, links, locks and SIGKILL are those of POSIX")


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_file_is_replaced_by_what_is_written(tmp_path):
    path = tmp_path / "f"
    for content in (b"first", b"2"):
        write_file(str(path), lambda file, content=content: file.write(content))
        assert contents(tmp_path) == {"f": content}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ZeroDivisionError()]
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(og.FileError if isinstance(error, OSError) else type(error)) as caught:
        write_file(str(path), fail)
    assert contents(tmp_path) == {"f": b"old"}
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path} cannot be written: No space left on device"
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_after_the_writing_leaves_the_old_file_too(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(str(path), lambda file: file.write(b"new"))
    assert contents(tmp_path) == {"f": b"old"}


def test_what_is_written_reaches_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    done = []
    kinds = {True: "directory", False: "file"}
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append(kinds[stat.S_ISDIR(os.fstat(f).st_mode)]), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    write_file(str(tmp_path / "f"), lambda file: file.write(b"new"))
    assert done == ["file", "replace", "directory"]


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "f"), lambda file: None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_mode_and_is_never_more_open_than_that(tmp_path):
    path = tmp_path / "f"
    path.touch()
    path.chmod(0o600)
    modes = []
    write_file(str(path), lambda file: modes.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode)))
    assert modes == [0o600] == [stat.S_IMODE(path.stat().st_mode)]


def test_a_read_only_file_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to any
    with pytest.raises(og.FileError, match="f cannot be written: it is read-only"):
        write_file(str(path), lambda file: file.write(b"new"))
    assert contents(tmp_path) == {"f": b"old"}


@pytest.mark.parametrize("target_exists", [True, False])
def test_a_symbolic_link_stays_one(tmp_path, target_exists):
    (tmp_path / "deep").mkdir()
    target = tmp_path / "deep" / "target"
    if target_exists:
        target.write_bytes(b"old")
    (tmp_path / "link").symlink_to("deep/target")
    write_file(str(tmp_path / "link"), lambda file: file.write(b"new"))
    assert os.readlink(tmp_path / "link") == "deep/target"
    assert contents(tmp_path / "deep") == {"target": b"new"}


def test_a_loop_of_links_a_directory_and_a_pipe_are_no_files_to_write_or_read(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("loop", ""), ("directory", "it is a directory"), ("pipe", "it is no regular file")]:
        with pytest.raises(og.FileError, match=f"{name} cannot be written: {message}"):
            write_file(str(tmp_path / name), lambda file: None)
        with pytest.raises(og.FileError, match=f"{name} cannot be read: {message}"), reading(str(tmp_path / name)):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "loop", "pipe"]


def test_a_missing_file_and_a_missing_directory_are_file_not_found(tmp_path):
    path = str(tmp_path / "none" / "f")
    with pytest.raises(FileNotFoundError, match="there is no directory '.*none' to write to"):
        write_file(path, lambda file: None)
    with pytest.raises(FileNotFoundError, match="f does not exist") as caught, reading(path):
        pass
    assert isinstance(caught.value, og.MissingFileError | og.FileError | ValueError)


def test_file_errors_carry_notes_and_no_number_and_survive_pickling():
    error = og.FileError("f is empty").located("load", "inputs", None)
    error = type(error)(error.detail, "one", "two")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "load: f is empty\n  one\n  two"
        assert (each.errno, each.filename, each.notes) == (None, None, ("one", "two"))


def test_a_save_removes_what_killed_ones_left_and_nothing_that_is_in_use(tmp_path):
    stale = tmp_path / ".opgraph-0123456789abcdef.tmp"
    stale.write_bytes(b"half")
    others = [tmp_path / ".opgraph-notes", tmp_path / "opgraph-0.tmp"]
    for other in others:
        other.write_bytes(b"mine")
    (tmp_path / ".opgraph-directory.tmp").mkdir()
    (tmp_path / ".opgraph-link.tmp").symlink_to(others[0])

    def save_another(file):
        in_use = set(tmp_path.glob(".opgraph-*.tmp"))
        write_file(str(tmp_path / "g"), lambda file: file.write(b"g"))
        assert set(tmp_path.glob(".opgraph-*.tmp")) == in_use

    write_file(str(tmp_path / "f"), save_another)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"f", "g", ".opgraph-notes", "opgraph-0.tmp", ".opgraph-directory.tmp", ".opgraph-link.tmp"}
    assert others[0].read_bytes() == b"mine"


def test_a_new_file_that_is_taken_for_a_stale_one_is_made_again(tmp_path, monkeypatch):
    import fcntl

    lock, raced = fcntl.flock, []

    def unlink_before_locking(file, flags):
        if not raced:
            raced.append(os.unlink(file.name))
        return lock(file, flags)

    monkeypatch.setattr(fcntl, "flock", unlink_before_locking)
    write_file(str(tmp_path / "f"), lambda file: file.write(b"new"))
    assert raced
    assert contents(tmp_path) == {"f": b"new"}


# forks savers, so that each one need not import anything, and kills them at moments that nothing chooses
KILL = """
import os, random, signal, sys, time
import numpy as np
import opgraph as og

path, suffix = sys.argv[1:]
graph = og.get_default_graph()
variables = [og.Variable(np.zeros(shape), name=f"v{i}") for i, shape in enumerate([(200, 300), (), (0, 3), (1000,)])]

def generation():
    values = {float(each) for v in variables for each in np.unique(v.val)}
    assert len(values) == 1, values
    return values.pop()

def save_for_ever():
    while True:
        for v in variables:
            v.set_val(v.val + 1)
        graph.save_variables(path + suffix)

start = time.perf_counter()
graph.save_variables(path + suffix)
one_save = time.perf_counter() - start
reached, most = 0.0, 0
for _ in range(20):
    child = os.fork()
    if not child:
        save_for_ever()
    time.sleep(random.uniform(0.0, 8 * one_save))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    graph.load_variables(path + suffix)
    assert generation() >= reached
    reached = generation()
    most = max(most, len(os.listdir(os.path.dirname(path))))
graph.save_variables(path + suffix)
print(int(reached > 0), most, os.listdir(os.path.dirname(path)) == ["f" + suffix])
"""


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_saver_that_is_killed_leaves_a_whole_file_of_one_generation(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")  # optional
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads should not be forked
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path / "f"), suffix],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    # one temporary file beside the file itself at most, as each save removes what the last one left
    assert done.stdout.split() in (["1", "1", "True"], ["1", "2", "True"])


def test_saves_of_one_path_from_several_threads_leave_one_of_them(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = str(tmp_path / "f")
    pieces = [bytes([i]) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda piece: write_file(path, lambda file: file.write(piece)), pieces * 4))
    assert list(contents(tmp_path)) == ["f"]
    assert contents(tmp_path)["f"] in pieces


def test_saving_and_loading_bring_nothing_along_until_they_are_asked_for():
    code = "import sys, opgraph; print([m for m in ('zipfile', 'json', 'safetensors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_interrupt_while_an_archive_is_written_stays_one(tmp_path, monkeypatch, graph):
    v = og.Variable(1.0, name="v")
    path = graph.save_variables(tmp_path / "v")
    opened, left_open = zipfile.ZipFile.open, []

    def interrupted(archive, *args, **kwargs):
        left_open.append(opened(archive, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    v.set_val(2.0)
    with pytest.raises(KeyboardInterrupt):
        graph.save_variables(path)
    monkeypatch.undo()
    graph.load_variables(path)
    assert v.val == 1.0
    assert os.listdir(tmp_path) == ["v.npz"]
