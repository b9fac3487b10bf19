"""Variables come back from files as they were, or not at all."""

import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Each test works in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(**values):
    return [og.Variable(value, name=name) for name, value in values.items()]


def saved(path="f.npz", **arrays):
    """Save arrays as somebody else does, with NumPy alone."""
    np.savez(path, **arrays)
    return path


SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")  # optional
    return request.param


def test_values_come_back_into_a_graph_that_the_same_builder_made(suffix):
    def build():
        with og.name_scope("layer"):
            w = og.variable((3, 2), lambda shape, rng: rng.normal(size=shape), name="w")
        return w, og.Variable(7, name="step", dtype=np.int64), og.Variable(1.5, trainable=False)

    first = build()
    og.get_default_graph().initialize_variables(seed=3)
    path = og.save_variables(f"weights{suffix}")
    with og.Graph().as_default_graph() as graph:
        second = build()
        assert graph.load_variables(path) == ((), ())
        assert [v.name for v in second] == ["layer/w", "step", "variable"]
        for v, w in zip(first, second, strict=True):
            assert v.val.tobytes() == w.val.tobytes()
            assert v.dtype == w.dtype


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint64", "float16", "float32", "float64", "complex64", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_every_dtype_and_shape_keeps_its_bits(dtype, shape):
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2 if dtype == "bool" else 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    [v] = make(v=np.zeros(shape, dtype))
    v.storage.array[...] = bits.view(dtype).reshape(shape)  # infinities and NaNs of all kinds among them
    before = v.storage.array.tobytes()
    path = og.save_variables("f")
    v.set_val(np.ones(shape, dtype))
    og.load_variables(path)
    assert v.storage.array.tobytes() == before


def test_the_file_is_what_numpy_reads_by_name():
    kept = make(w=np.arange(6.0).reshape(2, 3), b=np.int8(3))
    og.save_variables("f.npz")
    with np.load("f.npz", allow_pickle=False) as file:
        assert sorted(file) == ["b", "w"]
        np.testing.assert_array_equal(file["w"], kept[0].val)


@pytest.mark.parametrize(
    ("given", "written"),
    [("f", "f.npz"), ("f.npz", "f.npz"), ("f.v1", "f.v1.npz"), (".npz", ".npz"), ("f.NPZ", "f.NPZ.npz")],
)
def test_the_suffix_is_appended_where_there_is_none(given, written, directory):
    [v] = make(v=1.0)
    assert og.save_variables(given) == written
    assert os.listdir() == [written]
    v.set_val(2.0)
    assert og.get_default_graph().load_variables(directory / given) == ((), ())
    assert v.val == 1.0


def test_the_same_values_give_the_same_bytes(suffix):
    kept = make(b=1.0, a=np.ones(3))
    names = [og.save_variables(f"{n}{suffix}") for n in "xy"]
    assert kept
    assert len({Path(name).read_bytes() for name in names}) == 1


@pytest.mark.parametrize("path", ["", "there/", ".", "a\0b", 3, None])
def test_what_is_no_path_is_refused(path):
    for use in (og.save_variables, og.load_variables):
        with pytest.raises(og.ArgumentError, match="path is a string|is no name of a file"):
            use(path)


def test_slots_are_saved_with_the_others():
    w, slot = make(w=1.0)[0], og.Variable(2.0, name="w/m", slot=True)
    path = og.save_variables("f")
    with np.load(path) as file:
        assert {name: float(file[name]) for name in file} == {"w": 1.0, "w/m": 2.0}
    w.set_val(0.0), slot.set_val(0.0)
    og.load_variables(path)
    assert (w.val, slot.val) == (1.0, 2.0)


def test_a_strict_load_leaves_out_and_returns_slots_that_the_graph_does_not_have(suffix):
    w, *slots = make(w=1.0)[0], *[og.Variable(n, name=f"w/{n}\0", slot=True) for n in (2.0, 3.0)]
    path = og.save_variables(f"f{suffix}")
    names = tuple(slot.name for slot in slots)
    w.set_val(0.0)
    del slots
    assert og.load_variables(path) == og.Unmatched(missing=(), extra=names)
    assert w.val == 1.0
    [other] = make(w2=0.0)
    with pytest.raises(og.GraphError, match="variables without a value in the file") as caught:
        og.load_variables(path)
    assert "no variable's" not in str(caught.value)
    assert other.val == 0.0


def test_a_strict_load_misses_the_slots_that_a_file_lacks():
    w, slot = make(w=1.0)[0], og.Variable(2.0, name="w/m", slot=True)
    path = og.save_variables("model", slots=False)
    assert og.get_default_graph().save_variables("model", slots=False) == path
    with np.load(path) as file:
        assert file.files == ["w"]
    w.set_val(0.0)
    message = (
        r"slots of an optimizer without a value in the file \(1\): 'w/m'\n  .*before minimize .*strict=False leaves"
    )
    with pytest.raises(og.GraphError, match=message):
        og.load_variables(path)
    assert og.load_variables(path, strict=False) == og.Unmatched(missing=("w/m",), extra=())
    assert (w.val, slot.val) == (1.0, 2.0)


def test_variables_of_one_name_are_not_saved():
    a, b = make(a=1.0, b=2.0)
    object.__setattr__(b, "name", "a")  # nobody does
    with pytest.raises(og.GraphError, match="two variables are named 'a', and a file tells them by their names"):
        og.save_variables("f")
    assert os.listdir() == []
    assert a.val == 1.0


def test_without_a_value_nothing_is_written_and_all_such_variables_are_named():
    made = [og.variable((2,), lambda shape, rng: np.ones(shape), name=name) for name in "ab"]
    kept = make(c=1.0)
    with pytest.raises(og.UninitializedError, match="no value yet: variable 'a' .*, variable 'b' .*(?!'c')"):
        og.save_variables("f")
    assert os.listdir() == []
    saved(a=np.zeros(2, np.float32), b=np.zeros(2, np.float32), c=np.float32(3))
    og.load_variables("f")
    assert [v.val.sum() for v in (*made, *kept)] == [0, 0, 3]


def test_all_that_does_not_fit_is_said_at_once_and_nothing_is_loaded():
    kept = make(w=np.zeros((2, 3)), b=np.zeros(3, np.float32), c=np.zeros(1), d=1.0)
    saved(w=np.ones((3, 2)), b=np.ones(3), d=np.float32(5), e=np.ones(1), o=np.array([None]))
    with pytest.raises(og.GraphError) as caught:
        og.load_variables("f")
    message = str(caught.value)
    assert "load_variables: f.npz does not fit the graph" in message
    assert "'w' is (2, 3) float64, in the file (3, 2) float64; 'b' is (3,) float32, in the file (3,) float64" in message
    assert "variables without a value in the file (1): 'c'" in message
    assert "names in the file that are no variable's (2): 'e'; 'o'" in message
    assert "at test_io_variables.py" in message
    assert [float(v.val.max()) for v in kept] == [0, 0, 0, 1]


def test_of_many_that_do_not_fit_the_first_are_listed_and_all_are_counted():
    kept = make(**{f"v{i:02}": 0.0 for i in range(30)})
    saved(none=1.0)
    with pytest.raises(og.GraphError, match=r"\(30\): 'v00'; .*; 'v07'; and 22 more\n"):
        og.load_variables("f")
    assert kept


def test_not_strict_leaves_out_names_and_returns_them():
    w, b = make(w=1.0, b=2.0)
    saved(w=np.float32(5), x=1, a=2)
    assert og.load_variables("f", strict=False) == og.Unmatched(missing=("b",), extra=("a", "x"))
    assert (w.val, b.val) == (5.0, 2.0)


@pytest.mark.parametrize("value", [np.ones(2, np.float32), np.float64(3), np.int32(3)])
def test_not_strict_converts_no_shape_and_no_dtype(value):
    [w] = make(w=1.0)
    saved(w=value)
    with pytest.raises(og.GraphError, match=r"shapes or dtypes that differ \(1\): 'w' is \(\) float32, in the file"):
        og.load_variables("f", strict=False)
    assert w.val == 1.0


def test_a_file_of_another_byte_order_or_in_columns_or_compressed_loads():
    kept = make(w=np.zeros((2, 3), np.float32), n=np.zeros(2, np.int64))
    w, n = np.arange(6, dtype=">f4").reshape(2, 3), np.array([1, 1 << 40], ">i8")
    for arrays in [{"w": w, "n": n}, {"w": np.asfortranarray(w), "n": n}]:
        for save in (np.savez, np.savez_compressed):
            save("f.npz", **arrays)
            kept[0].set_val(np.zeros((2, 3)))
            og.load_variables("f")
            np.testing.assert_array_equal(kept[0].val, [[0, 1, 2], [3, 4, 5]])
            np.testing.assert_array_equal(kept[1].val, [1, 1 << 40])


NAMES = [
    "a",
    "a.npy",
    "a.npy.npy",
    ".npy",
    "names.json",
    "name 0",
    "../../up",
    "/abs",
    "c:\\x",
    "\\",
    "nul\0nul",
    "nul",
]
NAMES += [
    "naïve/ß",
    "日本",
    "\U0001f600",
    "\ud83d",
    "\ud83d\ude00",
    "x" * 70_000,
    " ",
    "\n",
    "a//b",
    "__metadata__",
    "%2e",
]


def round_trip(names, suffix):
    with og.Graph().as_default_graph() as graph:
        variables = [og.Variable(np.float64(i), name=name) for i, name in enumerate(names)]
        path = graph.save_variables(f"names{suffix}")
        for v in variables:
            v.set_val(np.nan)
        assert graph.load_variables(path) == ((), ())
        assert [v.val for v in variables] == list(range(len(names)))


def test_names_that_a_file_cannot_hold_come_back_too(suffix):
    round_trip(NAMES, suffix)
    assert os.listdir() == [f"names{suffix}"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), min_size=1) | st.sampled_from(NAMES), unique=True, max_size=6))
def test_any_names_come_back(names):
    for suffix in SUFFIXES if importlib.util.find_spec("safetensors") else [".npz"]:
        round_trip(names, suffix)


def archive(members):
    """Write a zip archive with (name, bytes) members, as nobody does by accident."""
    with zipfile.ZipFile("f.npz", "w") as file:
        for name, content in members:
            file.writestr(name, content)


def npy(array, shape=None):
    """Return ``.npy`` bytes, with a header that claims `shape`."""
    buffer = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + array.tobytes()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_values_of_one_name_are_refused():
    [v] = make(v=1.0)
    archive([("v.npy", npy(np.float32(2))), ("v.npy", npy(np.float32(3)))])
    with pytest.raises(og.FileError, match="f.npz is damaged: it holds 'v.npy' twice"):
        og.load_variables("f")
    names = json.dumps({"u": "v"})
    archive([("v.npy", npy(np.float32(2))), ("u.npy", npy(np.float32(3))), ("names.json", names)])
    with pytest.raises(og.FileError, match="is damaged: it holds two values of one name"):
        og.load_variables("f")
    assert v.val == 1.0


def test_a_file_of_another_suffix_is_said_to_be_there(directory):
    make(v=1.0)
    np.save("s.npy", np.ones(3))
    message = r"s\.npy\.npz does not exist; s\.npy does, but a file to read here ends in \.npz or \.safetensors"
    with pytest.raises(og.MissingFileError, match=message) as caught:
        og.load_variables("s.npy")
    assert "at test_io_variables.py" in str(caught.value)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "f.npz does not exist"),
        (lambda path: path.mkdir(), "f.npz cannot be read: it is a directory"),
        (lambda path: path.write_bytes(b""), "f.npz is empty"),
        (lambda path: path.write_text("weights, I think"), "f.npz is no zip archive"),
        (lambda path: path.write_bytes(npy(np.ones(3))), "f.npz is a single array, as numpy.save writes it"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "f.npz is damaged or was cut short"),
        (lambda path: archive([("v.npy", b"1.0")]), "f.npz is damaged: 'v.npy' in it is no array of numbers"),
        (lambda path: archive([("v.npy", npy(np.ones(3))[:-1])]), "'v.npy' in it is not as long as it says"),
        (lambda path: archive([("v.npy", npy(np.ones(3)) + b"0")]), "'v.npy' in it is not as long as it says"),
        (lambda path: archive([("names.json", "[")]), "f.npz is damaged: JSONDecodeError"),
        (lambda path: archive([("names.json", "[1]")]), "has a table of names that is damaged"),
    ],
)
def test_what_is_no_file_of_values_is_said_to_be_none(directory, write, message):
    [v] = make(v=1.0)
    write(directory / "f.npz")
    with pytest.raises(og.FileError, match=message) as caught:
        og.load_variables("f")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.notes[-1].startswith("at test_io_variables.py")
    assert v.val == 1.0


def test_a_value_that_claims_to_be_huge_takes_no_memory():
    [v] = make(v=np.zeros(3))
    archive([("v.npy", npy(np.ones(3), shape=(3_000_000_000_000,)))])
    with pytest.raises(og.FileError, match="'v.npy' in it is not as long as it says"):
        og.load_variables("f")
    # a few kilobytes that unpack to 200 MB of zeros, and to a header that does not end
    bomb = np.zeros(25_000_000)
    np.savez_compressed("f.npz", v=bomb)
    with pytest.raises(og.GraphError, match=r"in the file \(25000000,\) float64"):
        og.load_variables("f")
    with zipfile.ZipFile("f.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("v.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 30) + bytes(1 << 20))
    with pytest.raises(og.FileError, match="no array of numbers"):
        og.load_variables("f")
    with zipfile.ZipFile("f.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("names.json", b" " * (1 << 20))
    with pytest.raises(og.FileError, match="'names.json' in it is compressed"):
        og.load_variables("f")
    assert not v.val.any()


def test_python_objects_are_never_unpickled():
    class Evil:
        def __reduce__(self):
            return (open, ("evil", "w"))

    kept = make(v=np.zeros(1))
    np.savez("f.npz", v=np.array([Evil()]))
    with pytest.raises(
        og.GraphError, match="'v' is .*, in the file .* object, Python objects, which are never unpickled"
    ):
        og.load_variables("f")
    assert kept
    assert os.listdir() == ["f.npz"]


def test_a_file_that_is_cut_short_anywhere_or_changed_anywhere_loads_right_or_not_at_all():
    v, w = make(v=np.arange(5.0), w=np.arange(3))
    og.save_variables("f")
    whole = Path("f.npz").read_bytes()
    rng = np.random.default_rng(5)
    changed = [whole[:n] for n in range(0, len(whole), 7)]
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.integers(8)
        changed.append(bytes(flipped))
    for content in changed:
        v.set_val(np.full(5, -1.0)), w.set_val(np.full(3, -1))
        Path("g.npz").write_bytes(content)
        try:
            og.load_variables("g")
        except (og.FileError, og.GraphError):
            assert v.val.tolist() == [-1] * 5
            assert w.val.tolist() == [-1] * 3
        else:
            assert v.val.tolist() == [0, 1, 2, 3, 4]
            assert w.val.tolist() == [0, 1, 2]


def test_a_failure_in_reading_one_value_leaves_all_as_they_were():
    first, last = make(a=np.zeros(2), z=np.zeros(2))
    og.save_variables("f")
    content = bytearray(Path("f.npz").read_bytes())
    position = content.rindex(last.val.tobytes(), 0, content.index(b"PK\x01\x02"))
    content[position] ^= 1  # of the last value, which the checksum tells
    Path("f.npz").write_bytes(content)
    for v in (first, last):
        v.set_val([1.0, 2.0])
    with pytest.raises(og.FileError, match="f.npz is damaged: BadZipFile: Bad CRC-32 for file 'z.npy'"):
        og.load_variables("f")
    assert first.val.tolist() == last.val.tolist() == [1, 2]


def test_a_failed_save_leaves_the_old_file(monkeypatch):
    [v] = make(v=1.0)
    og.save_variables("f")
    v.set_val(2.0)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(og.FileError, match="save_variables: f.npz cannot be written: No space left on device"):
        og.save_variables("f")
    assert os.listdir() == ["f.npz"]
    og.load_variables("f")
    assert v.val == 1.0


def test_a_save_sees_all_variables_at_one_moment_and_a_load_changes_all_at_one():
    graph = og.get_default_graph()
    variables = make(**{f"v{i}": np.zeros(10_000) for i in range(20)})
    step = og.RunTime().compile([], [variables[0]], {v: v + 1.0 for v in variables})
    stop = threading.Event()

    def train():
        while not stop.is_set():
            step()

    thread = threading.Thread(target=train)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that a save without a lock would see two moments
    thread.start()
    try:
        for i in range(30):
            graph.save_variables("f")
            with np.load("f.npz") as file:
                assert len({f(file[name]) for name in file for f in (np.min, np.max)}) == 1
            if i % 10 == 5:
                graph.load_variables("f")
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert len({float(v.val[0]) for v in variables}) == 1


def test_the_lock_is_free_while_the_file_is_written(monkeypatch):
    graph = og.get_default_graph()
    kept = make(v=1.0)
    owned = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda f: (owned.append(graph.state_lock._is_owned()), fsync(f)))
    og.save_variables("f")
    assert kept
    assert not any(owned)


def test_complex128_does_not_go_into_safetensors():
    pytest.importorskip("safetensors")  # optional
    kept = make(c=np.zeros(2, np.complex64), z=np.zeros(2, np.complex128))
    with pytest.raises(og.DtypeError, match="'z' is complex128, which .safetensors cannot hold; save as .npz"):
        og.save_variables("f.safetensors")
    assert kept
    assert os.listdir() == []


def test_a_dtype_that_an_old_safetensors_does_not_know_is_an_error_of_ours(monkeypatch):
    safetensors = pytest.importorskip("safetensors")  # optional

    def refuse(values, metadata):
        raise safetensors.SafetensorError("dtype complex64 is not covered")

    monkeypatch.setattr(importlib.import_module("opgraph.io.safetensors"), "save", refuse)
    kept = make(c=np.zeros(2, np.complex64))
    with pytest.raises(og.DtypeError, match="cannot write this: dtype complex64 is not covered; upgrade it"):
        og.save_variables("f.safetensors")
    assert kept
    assert os.listdir() == []


def test_without_safetensors_the_error_says_what_to_install(monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "safetensors"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "opgraph.io.safetensors", raising=False)
    for use in (og.save_variables, og.load_variables):
        with pytest.raises(og.FileError, match=r"pip install opgraph-core\[safetensors\]"):
            use("f.safetensors")


def test_a_safetensors_file_that_is_damaged_is_refused():
    pytest.importorskip("safetensors")  # optional
    [v] = make(v=np.zeros(3))
    og.save_variables("f.safetensors")
    whole = Path("f.safetensors").read_bytes()
    header = json.dumps({"v": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    foreign = struct.pack("<Q", len(header)) + header + bytes(6)
    for content, message in [(whole[:-1], "is damaged"), (b"no", "is damaged"), (foreign, r"in the file \(3,\) BF16")]:
        Path("f.safetensors").write_bytes(content)
        with pytest.raises(og.OpgraphError, match=message):
            og.load_variables("f.safetensors")
    assert not v.val.any()


def test_values_go_from_one_process_to_another():
    code = "import opgraph as og; v = og.Variable([1.0, 2.5], name='v'); print(og.save_variables('f'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "f.npz", done.stderr
    [v] = make(v=[0.0, 0.0])
    og.load_variables("f")
    assert v.val.tolist() == [1.0, 2.5]
