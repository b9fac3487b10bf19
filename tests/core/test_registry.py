"""The registry against distributions that the tests lay down as metadata on the path."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_op

GOOD = """
    import numpy as np
    import opgraph as og

    class Triple(og.Elementwise, name="acmetest.triple"):
        '''Three times x.'''

        def compute(self, ins, outs):
            np.multiply(ins[0], 3, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * 3.0,)

    class Misnamed(og.Elementwise, name="acmetest.other"):
        '''An op whose entry point calls it differently.'''

    def composed(x):
        return og.exp(x) * 2.0

    value = 3
"""


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Return a function that makes a distribution with one module and entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    og.registry.refresh()

    def make(name, module, source, entries, group="opgraph.ops.v1", version="1.2"):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
        og.registry.refresh()

    yield make
    og.registry.refresh()
    og.registry._loaded.clear()
    for module in [m for m in sys.modules if m.startswith("acmetest")]:
        del sys.modules[module]


def test_an_installed_op_answers_under_its_namespace(distribution):
    distribution(
        "acme-test",
        "acmetest_ops",
        GOOD,
        {
            "acmetest.triple": "acmetest_ops:Triple",
            "acmetest.composed": "acmetest_ops:composed",
            "acmetest._helper": "acmetest_ops:nothing",
        },
    )
    assert "acmetest" in dir(og.ops)
    assert list(dir(og.ops.acmetest)) == ["composed", "triple"]
    assert "acmetest_ops" not in sys.modules
    x = og.Variable([1.0, 2.0])
    assert og.ops.acmetest.triple(x)().tolist() == [3.0, 6.0]
    assert og.ops.acmetest.composed(og.Variable(0.0))() == 2.0
    assert og.registry.get("acmetest.triple").name == "acmetest.triple"
    assert repr(og.ops.acmetest) == "<ops of namespace 'acmetest'>"
    with pytest.raises(
        og.UnknownOpError, match="no op is installed as 'acmetest.tripel'; did you mean 'acmetest.triple'"
    ):
        _ = og.ops.acmetest.tripel
    assert not hasattr(og, "triple")


def test_a_broken_op_is_reported_when_used_and_harms_no_other(distribution):
    distribution(
        "acme-broken", "acmetest_broken", "import no_such_module", {"acmetest.broken": "acmetest_broken:Broken"}
    )
    distribution("acme-good", "acmetest_good", GOOD, {"acmetest.triple": "acmetest_good:Triple"})
    with pytest.raises(og.OpLoadError) as caught:
        _ = og.ops.acmetest.broken
    assert str(caught.value) == (
        "acme-broken 1.2 (acmetest.broken = acmetest_broken:Broken) cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert isinstance(caught.value, ImportError)
    assert og.ops.acmetest.triple(og.Variable(1.0))() == 3.0
    assert og.exp(og.Variable(0.0))() == 1.0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("acmetest_ops:Missing", "cannot be imported: AttributeError"),
        ("acmetest_ops:Misnamed", "is registered under that name, but calls itself 'acmetest.other'"),
        ("acmetest_ops:value", "is neither an Op class nor a function"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_reported(distribution, entry, message):
    distribution("acme-test", "acmetest_ops", GOOD, {"acmetest.triple": entry})
    with pytest.raises(og.OpLoadError, match=message):
        og.registry.get("acmetest.triple")


def test_two_claims_on_one_name_are_an_error_on_use_and_can_be_settled(distribution, monkeypatch):
    distribution("acme-one", "acmetest_one", GOOD, {"acmetest.triple": "acmetest_one:Triple"})
    distribution("acme-two", "acmetest_two", GOOD, {"acmetest.triple": "acmetest_two:Triple"})
    with pytest.raises(og.OpLoadError, match=r"claimed by acme-\w+ 1.2 .* and by acme-\w+ 1.2 .*OPGRAPH_PREFER="):
        og.registry.get("acmetest.triple")
    monkeypatch.setenv("OPGRAPH_PREFER", "acme-two")
    assert og.registry.get("acmetest.triple").__module__ == "acmetest_two"


def test_nobody_else_may_claim_a_name_in_core(distribution):
    distribution("acme-thief", "acmetest_thief", GOOD, {"core.exp": "acmetest_thief:Triple"})
    assert og.registry.get("core.exp").__module__ == "opgraph.ops.elementwise"
    assert len(og.registry.installed()["core.exp"]) == 1


@pytest.mark.parametrize("word", ["acme-test", "acmetest", "acmetest.triple"])
def test_a_distribution_namespace_or_op_can_be_blocked(distribution, monkeypatch, word):
    distribution("acme-test", "acmetest_ops", GOOD, {"acmetest.triple": "acmetest_ops:Triple"})
    monkeypatch.setenv("OPGRAPH_BLOCK", f"other, {word}")
    with pytest.raises(og.OpLoadError, match=f"is blocked by OPGRAPH_BLOCK={word}"):
        og.registry.get("acmetest.triple")
    assert "acmetest_ops" not in sys.modules


def test_an_op_for_another_contract_is_reported_as_such(distribution):
    distribution("acme-new", "acmetest_new", GOOD, {"acmetest.triple": "acmetest_new:Triple"}, group="opgraph.ops.v2")
    with pytest.raises(og.UnknownOpError, match=r"acme-new 1.2 has it for opgraph.ops.v2, this opgraph-core speaks"):
        og.registry.get("acmetest.triple")


def test_an_unknown_name_suggests_a_known_one():
    with pytest.raises(og.UnknownOpError, match="opgraph has no 'redcue_sum'; did you mean 'reduce_sum'"):
        _ = og.redcue_sum
    with pytest.raises(og.UnknownOpError, match="no installed op has the namespace 'coer'; did you mean 'core'"):
        _ = og.ops.coer
    assert not hasattr(og, "no_such_op")
    assert not hasattr(og, "_reduce_sum")


class Registered(og.Elementwise, name="acmetest.registered"):
    """An op that is registered by hand."""

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0])


def test_an_op_can_be_registered_by_hand(monkeypatch):
    monkeypatch.setattr(og.registry, "_registered", {})
    assert og.register(Registered) is Registered
    assert og.ops.acmetest.registered(og.Variable(4.0))() == 4.0
    assert "acmetest.registered" in og.registry.names()

    class Nameless(og.Elementwise):
        """No name."""

    with pytest.raises(og.OpLoadError, match="Nameless has no name"):
        og.register(Nameless)
    exp = og.registry.get("core.exp")
    for taken in (
        exp,
        type("Mine", (Registered,), {}, name="vision.mine"),
        type("S", (Registered,), {}, name="shape.s"),
    ):
        with pytest.raises(og.OpLoadError, match="is opgraph's own"):
            og.register(taken)
    with pytest.raises(og.OpLoadError, match="register: 5 is no Op class"):
        og.register(5)


def test_the_names_of_opgraph_s_own_modules_are_reserved():
    modules = {path.stem for path in Path(og.ops.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    assert set(og.registry._RESERVED) == modules


def test_a_subclass_without_a_name_does_not_take_its_parent_s(monkeypatch):
    monkeypatch.setattr(og.registry, "_registered", {})
    namespace_before = og.register(Registered)

    class Child(Registered):
        """An op that forgot its name."""

    with pytest.raises(og.OpLoadError, match="Child has no name"):
        og.register(Child)
    assert og.registry.get("acmetest.registered") is namespace_before


def test_a_namespace_in_hand_gives_what_was_registered_last(monkeypatch):
    monkeypatch.setattr(og.registry, "_registered", {})
    og.register(Registered)
    held = og.ops.acmetest

    class Registered2(Registered, name="acmetest.registered"):
        """The cell of the notebook, run again."""

        def compute(self, ins, outs):
            np.multiply(ins[0], 10, out=outs[0])

    assert held.registered(og.Variable(4.0))() == 4.0
    og.register(Registered2)
    assert held.registered(og.Variable(4.0))() == 40.0


def test_a_distribution_without_metadata_harms_no_other(distribution, tmp_path):
    distribution("acme-test", "acmetest_ops", GOOD, {"acmetest.triple": "acmetest_ops:Triple"})
    (tmp_path / "acme_test-1.2.dist-info" / "METADATA").unlink()
    og.registry.refresh()
    assert og.ops.acmetest.triple(og.Variable(1.0))() == 3.0


def test_a_module_that_exits_is_a_broken_op(distribution):
    distribution("acme-exit", "acmetest_exit", "import sys; sys.exit(7)", {"acmetest.exit": "acmetest_exit:Exit"})
    with pytest.raises(og.OpLoadError, match="cannot be imported: SystemExit: 7"):
        og.registry.get("acmetest.exit")


KERNELS = """
    import numpy as np
    import opgraph as og

    def double_exp(op, ins, outs):
        if ins[0].ndims == 2:
            return None
        def run(ins, outs, scratch):
            np.exp(ins[0], out=scratch[0])
            np.multiply(scratch[0], 2, out=outs[0])
        return og.Kernel(run, scratch=(outs[0],))

    KERNELS = {"core.exp": double_exp}
    LIST = []
"""


ROUNDING = """
    import numpy as np
    import opgraph as og

    def rounded_exp(op, ins, outs):
        if outs[0].dtype.kind != "f":
            return None
        def run(ins, outs):
            np.exp(ins[0], out=outs[0])
            np.nextafter(outs[0], 0.0, out=outs[0])
        return og.Kernel(run)

    KERNELS = {"core.exp": rounded_exp}
"""


@pytest.mark.parametrize(("source", "right"), [(ROUNDING, True), (KERNELS, False)], ids=["rounded", "doubled"])
def test_the_kit_holds_a_kernel_set_to_rounding(source, right, distribution, monkeypatch):
    distribution(
        "acme-kernels", "acmetest_kernels", source, {"own": "acmetest_kernels:KERNELS"}, group="opgraph.kernels.v1"
    )
    monkeypatch.setenv("OPGRAPH_KERNELS", "own")
    assert check_op("core.exp", checks=["compiled"]).ok == right


def test_kernel_sets_are_chosen_and_may_leave_a_call_to_the_op(distribution, monkeypatch):
    distribution(
        "acme-kernels",
        "acmetest_kernels",
        KERNELS,
        {"double": "acmetest_kernels:KERNELS", "list": "acmetest_kernels:LIST"},
        group="opgraph.kernels.v1",
    )
    vector, matrix = og.exp(og.Variable([0.0])), og.exp(og.Variable([[0.0]]))
    assert og.RunTime().run(vector).tolist() == [1.0]
    assert og.RunTime(kernels=("double",)).run(vector).tolist() == [2.0]
    assert og.RunTime(kernels=("double",)).run(matrix).tolist() == [[1.0]]
    monkeypatch.setenv("OPGRAPH_KERNELS", "double")
    assert og.RunTime().run(vector).tolist() == [2.0]
    monkeypatch.delenv("OPGRAPH_KERNELS")
    with pytest.raises(og.UnknownOpError, match="no kernel set is installed as 'duoble'; did you mean 'double'"):
        og.RunTime(kernels=("duoble",))
    with pytest.raises(og.OpLoadError, match="is no mapping from op names to factories"):
        og.RunTime(kernels=("list",))


@pytest.mark.parametrize("namespace", ["core", "nn", "vision"])
def test_own_ops_are_read_as_python_s_library_reads_them(namespace):
    name = og.registry.OWN_DISTRIBUTIONS[namespace]
    plainly = og.registry._plainly_installed(name)
    assert plainly is None or plainly == og.registry._from_metadata(name)


@pytest.fixture
def metadata_first(tmp_path, monkeypatch):
    """Metadata of opgraph-nn that come first on the path, under a name, with the lines of a file or without it."""

    def write(directory, lines=None):
        (tmp_path / directory).mkdir()
        if lines is not None:
            (tmp_path / directory / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])

    return write


def test_entry_points_are_read_from_the_first_directory_of_the_path_that_has_them(metadata_first):
    lines = [
        "# more",
        "[console_scripts]",
        "x = y:z",
        "",
        "[opgraph.ops.v1]",
        "nn.a = b:C",
        "nn.d=e.f:G",
        "# nn.h = i:J",
    ]
    metadata_first("opgraph_nn-7.5.dist-info", [*lines, "[opgraph.kernels.v1]", "nn = k:L"])
    found = og.registry._plainly_installed("opgraph-nn")
    assert [(e.name, e.value, e.version) for e in found] == [("nn.a", "b:C", "7.5"), ("nn.d", "e.f:G", "7.5")]


@pytest.mark.parametrize("directory", ["opgraph_nn.egg-info", "opgraph_nn-7.5.dist-info", "Opgraph-NN-7.5.dist-info"])
def test_metadata_of_other_kinds_are_left_to_python_s_library(metadata_first, directory):
    metadata_first(directory)
    assert og.registry._plainly_installed("opgraph-nn") is None


def test_what_is_no_directory_is_left_to_python_s_library(tmp_path, monkeypatch):
    archive = tmp_path / "all.zip"
    archive.write_bytes(b"")
    monkeypatch.setattr("sys.path", [str(tmp_path / "missing"), str(archive), *sys.path])
    assert og.registry._plainly_installed("opgraph-core") is None
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert og.registry._plainly_installed("opgraph-core") is None
