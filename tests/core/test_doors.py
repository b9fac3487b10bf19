"""Front doors: every public function says who refuses an argument, and at which of the user's lines."""

import inspect

import numpy as np
import pytest

import opgraph as og

# what stands for the parameters that a call needs, when the one under test is a string
REQUIRED = {
    "axis": 0,
    "axis1": 0,
    "axis2": 1,
    "begin": (0, 0),
    "source": 0,
    "destination": 1,
    "depth": 3,
    "dtype": np.float32,
    "k": 1,
    "key": 0,
    "paddings": 1,
    "rate": 0.5,
    "repeats": 2,
    "reps": 2,
    "shape": (2, 3),
    "shift": 1,
    "sizes": (1, 1),
    "stop": 3,
    "subscripts": "ij->ji",
}
# what the first operand is not: a sequence of operands has one in it
SEQUENCES = {"tensors", "xs", "likes"}


def calls():
    """Yield each public function of the core with a string in place of each of its operands, one at a time."""
    for name in og.registry.names("core"):
        local = name.partition(".")[2]
        if not local.startswith("_"):
            parameters = inspect.signature(getattr(og, local)).parameters.values()
            operands = [p for p in parameters if "Node" in str(p.annotation) and p.name != "key"]
            for operand in operands:
                yield pytest.param(local, list(parameters), operand, id=f"{local}-{operand.name}")


@pytest.mark.parametrize(("name", "parameters", "operand"), list(calls()))
def test_an_operand_that_is_no_number_is_refused_by_the_name_of_the_function_at_the_user_s_line(
    name, parameters, operand
):
    arguments = []
    for p in parameters:
        if p is operand:
            arguments.append(["x"] if p.name in SEQUENCES and p.kind is not p.VAR_POSITIONAL else "x")
            break
        given = np.ones((2, 3)) if "Node" in str(p.annotation) else REQUIRED.get(p.name, p.default)
        arguments.append([given] if p.name in SEQUENCES else given)
    rest = [p for p in parameters[len(arguments) :] if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    keywords = {p.name: REQUIRED.get(p.name, np.ones((2, 3))) for p in rest}
    with pytest.raises(og.OpgraphError) as caught:
        getattr(og, name)(*arguments, **keywords)
    assert str(caught.value).startswith(f"{name}: ")
    assert "test_doors.py" in caught.value.notes[-1]


def test_an_error_of_what_a_function_is_made_of_names_both():
    x = og.placeholder((3,), name="x")
    for call, message in [
        (lambda: og.trace(x), r"^trace: diagonal: \(3,\) "),
        (lambda: x.sum(axis=1), r"^reduce_sum: axis 1 is out of range"),
        (lambda: og.RunTime().run(og.expand_dims(x, 0)), "^run: no value is fed"),
        (lambda: og.moveaxis(x, 0, 1), "^moveaxis: (?!transpose)"),
        (lambda: og.exp("x"), "^exp: values"),
    ]:
        with pytest.raises(og.OpgraphError, match=message) as caught:
            call()
        assert caught.value.notes[-1].startswith("at test_doors.py")


def test_an_error_that_names_a_line_further_in_keeps_its_name():
    @og.guarded
    def outer(x):
        """Compose what fails of an op that fails."""
        return og.exp(x) if x is not None else fail()

    def fail():
        raise og.ShapeError("of no shape")

    with pytest.raises(og.DtypeError, match=r"^exp: values are booleans") as caught:
        outer("x")
    assert "return og.exp(x)" in caught.value.notes[-1]
    with pytest.raises(og.ShapeError) as caught:
        outer(None)
    assert caught.value.detail == "outer: of no shape"
    assert len(caught.value.notes) == 1
    assert "outer(None)" in caught.value.notes[0]
    assert (outer.__name__, outer.__doc__) == ("outer", "Compose what fails of an op that fails.")


def test_the_cause_of_an_error_stays_its_cause():
    @og.guarded
    def open_file():
        try:
            raise OSError("denied")
        except OSError as error:
            raise og.FileError("cannot be read") from error

    with pytest.raises(og.FileError, match="open_file: cannot be read") as caught:
        open_file()
    assert isinstance(caught.value.__cause__, OSError)
