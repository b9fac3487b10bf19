"""Ops that misbehave: the report says which method did what, and everything else is still checked."""

import ctypes
import json
import os
import sys

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import Check, Failed, Report, Result, check_op, register_check
from opgraph.testing import check as check_module
from opgraph.testing.bench import Bench, Settings
from opgraph.testing.html import page
from opgraph.testing.supervisor import Closed, LocalOp, Worker, checked, checked_all

HERE = os.path.basename(__file__)


def details(report, check="vjp_full"):
    return {result.sample: result.detail for result in report.failures if result.check == check}


def test_a_right_op_passes_and_its_report_survives_json(make_op):
    report = check_op(make_op(), checks=["vjp_full", "second_order"])
    assert report.ok
    assert {r.sample for r in report.results if r.status == "pass"} >= {"matrix", "one", "empty"}
    assert Report.from_json(report.to_json()).results == report.results


def test_an_installed_op_is_checked_in_a_new_process():
    before = set(sys.modules)
    report = check_op("core.arctanh", checks=["vjp_full"])
    assert report.ok
    assert set(sys.modules) == before


def test_a_wrong_gradient_is_told_with_values_a_small_input_and_how_to_see_it_again(make_op):
    def vjp(self, ins, outs, cotangents):
        return (3 * cotangents[0],)

    report = check_op(make_op(vjp=vjp), checks=["vjp_full"], seed=5)
    assert not report.ok
    first = next(failure for failure in report.failures if failure.sample == "matrix")
    assert "says 3" in first.detail
    assert (first.data["analytic"], first.data["seed"]) == (3.0, 5)
    assert "float64" in str(first.data["smallest"]) or first.data["smallest"]
    assert first.data["reproduce"] == "opgraph.testing.check_op(Hostile, checks=['vjp_full'], seed=5)"
    assert first.data["reproduce"] in str(report)


def crashes():
    def leave(self, ins, outs):
        os._exit(3)

    def segfault(self, ins, outs):
        ctypes.string_at(0)

    def kill(self, ins, outs):
        os.kill(os.getpid(), 9)

    def loop(self, ins, outs, cotangents):
        while True:
            pass

    # what a dump shows is the function's own name
    for function, name in ((leave, "compute"), (segfault, "compute"), (loop, "vjp")):
        function.__code__ = function.__code__.replace(co_name=name)
    return [
        pytest.param({"compute": leave}, "compute ended the process with exit code 3, at", id="exit"),
        pytest.param({"compute": segfault}, "compute crashed the process: Segmentation fault, at", id="segfault"),
        pytest.param({"compute": kill}, "crashed the process: Killed (out of memory?)", id="kill"),
        pytest.param({"vjp": loop}, "vjp ran for more than 2 s, at", id="loop"),
    ]


@pytest.mark.parametrize(("methods", "expected"), crashes())
def test_an_op_that_ends_its_process_is_told_by_method_and_the_other_checks_go_on(make_op, methods, expected):
    op, sample = make_op(**methods), og.Sample((np.ones((2, 3)),), id="only")
    report = check_op(op, samples=[sample], checks=["reference", "vjp_full", "second_order"], time_limit=2)
    assert expected in details(report)["only"]
    assert list(dict.fromkeys(r.check for r in report.results)) == ["reference", "vjp_full", "second_order"]
    assert report.results[0].ok


def test_an_op_s_own_line_is_named_where_a_library_raises_or_crashes(make_op):
    def misspelt(self, ins, outs):
        np.exq(ins[0], out=outs[0])

    def helped(self, ins, outs):
        raise_for(ins[0])

    def raise_for(x):
        np.reshape(x, (7, 7, 7))

    def segfault(self, ins, outs):
        ctypes.string_at(0)

    segfault.__code__ = segfault.__code__.replace(co_name="compute")  # what a dump shows is the function's own name
    for compute, function in ((misspelt, misspelt), (helped, raise_for), (segfault, segfault)):
        report = check_op(make_op(compute=compute), checks=["reference", "infer", "vjp_full"])
        line = function.__code__.co_firstlineno + 1
        assert f", at {__file__}:{line}" in details(report)["one"]


def test_an_op_that_always_ends_its_process_is_given_up(make_op):
    samples = [og.Sample((np.ones(n),)) for n in range(1, 9)]
    report = check_op(make_op(compute=lambda *_: os._exit(0)), samples=samples, checks=["vjp_full"])
    said = [detail for sample, detail in details(report).items() if sample]
    assert len(said) == 8
    assert "ended the process with exit code 0" in said[0]
    assert sum("ended the process" in failure.detail for failure in report.failures) == 5
    assert "not run" in said[-1]
    text = str(check_op(make_op(compute=lambda *_: os._exit(0)), samples=samples, checks=["errors", "determinism"]))
    assert text.startswith("FAIL: hostile.op: errors on '0'\n  it ended the process with exit code 0")


def raising():
    def exits(self, ins, outs):
        sys.exit("bye")

    def recursion(self, ins, outs):
        self.compute(ins, outs)

    def memory(self, ins, outs):
        raise MemoryError("all gone")

    def infers(self, ins):
        raise KeyError("shape")

    def infers_a_list(self, ins):
        return [ins[0]]

    def infers_two(self, ins):
        return (ins[0], ins[0])

    def two(self, ins, outs, cotangents):
        return (cotangents[0], None)

    def array(self, ins, outs, cotangents):
        return (np.ones((2, 3)),)

    def interrupt(self, ins, outs, cotangents):
        raise GeneratorExit

    def mutates(self, ins, outs):
        np.multiply(ins[0], 2, out=ins[0])

    return [
        pytest.param({"compute": mutates}, "; inputs are read-only, a kernel writes to its outputs", id="mutation"),
        pytest.param({"compute": exits}, "compute of hostile.op raises SystemExit('bye'), at", id="exit"),
        pytest.param({"compute": recursion}, "compute of hostile.op raises RecursionError", id="recursion"),
        pytest.param({"compute": memory}, "compute of hostile.op raises MemoryError: all gone", id="memory"),
        pytest.param({"infer": infers}, "infer of hostile.op raises KeyError: 'shape'", id="infer raises"),
        pytest.param({"infer": infers_a_list}, "infer", id="infer returns a list"),
        pytest.param({"infer": infers_two}, "", id="infer returns one too many"),
        pytest.param({"vjp": two}, "its vjp returned", id="vjp returns one too many"),
        pytest.param({"vjp": array}, "its vjp", id="vjp returns an array"),
        pytest.param({"vjp": interrupt}, "vjp of hostile.op raises GeneratorExit", id="vjp raises"),
    ]


@pytest.mark.parametrize(("methods", "expected"), raising())
def test_what_an_op_raises_or_wrongly_returns_is_told_by_method(make_op, methods, expected):
    report = check_op(make_op(**methods), checks=["vjp_full"])
    assert expected in details(report)["matrix"]
    assert "the check raises" not in details(report)["matrix"]


def test_what_an_op_prints_is_kept_and_told(make_op, capfd):
    def compute(self, ins, outs):
        print("debug", ins[0].shape)
        print("trouble", file=sys.stderr)
        os.write(1, b"from below")
        np.multiply(ins[0], 2, out=outs[0])

    report = check_op(make_op(compute=compute), checks=["vjp_full"])
    said = details(report)["one"]
    assert "prints to stdout in compute of hostile.op: 'debug (1,)" in said
    assert "prints to stderr in compute of hostile.op: 'trouble" in said
    assert "file descriptor of stdout or stderr: 'from below" in said
    assert capfd.readouterr() == ("", "")


def test_what_a_method_prints_is_told_once(make_op):
    def compute(self, ins, outs):
        print(f"debug\ndebug {ins[0].shape}")
        np.multiply(ins[0], 2, out=outs[0])

    report = check_op(make_op(compute=compute), checks=["reference", "purity", "layout", "vjp_full", "jvp"])
    assert len(report.failures) > 5
    assert str(report).count("FAIL") == 1
    assert "\n  prints to stdout in compute of hostile.op: 'debug\\ndebug (2, 3)" in str(report)
    assert str(report).count("debug\\n") == 1
    assert report.failures[0].data["printed"] == ["prints to stdout in compute of hostile.op"]


def test_reading_the_terminal_does_not_wait_for_it(make_op):
    report = check_op(make_op(compute=lambda self, ins, outs: input()), checks=["vjp_full"])
    assert "raises EOFError" in details(report)["one"]


@classmethod
def zero_division(cls, rng):
    yield og.Sample((np.ones(2),))
    yield 1 / 0


@classmethod
def no_samples(cls, rng):
    yield np.ones(2)


@classmethod
def nothing(cls, rng):
    return None


@classmethod
def endless(cls, rng):
    while True:
        yield og.Sample((np.ones(2),))


@classmethod
def leaving(cls, rng):
    os._exit(4)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (zero_division, "samples of hostile.op raises ZeroDivisionError: division by zero"),
        (no_samples, "samples yields array([1., 1.]) as number 0; it yields og.Sample(inputs, attrs)"),
        (nothing, "samples returns None; it yields og.Sample(inputs, attrs)"),
        (endless, "samples yields more than 1000 samples; does it end?"),
        (leaving, "ended the process with exit code 4"),
    ],
)
def test_samples_that_are_none_are_told_whatever_was_asked_for(make_op, samples, expected):
    report = check_op(make_op(samples=samples), checks=["vjp_full"], time_limit=10)
    assert expected in details(report, "samples")[""]


@pytest.mark.parametrize("samples", [zero_division, no_samples, nothing, endless])
def test_without_samples_only_the_check_of_samples_fails(make_op, samples):
    report = check_op(make_op(samples=samples))
    assert {failure.check for failure in report.failures} == {"samples", "registered"}  # it is not registered
    assert {r.check: r.detail for r in report.results}["pickle"] == "there are no samples to check on"


@pytest.mark.parametrize("samples", [np.ones((2, 3)), 3])
def test_what_is_given_as_samples_and_is_none_is_refused(make_op, samples):
    with pytest.raises(og.ArgumentError, match="check_op: samples .*og.Sample"):
        check_op(make_op(), samples=samples)


def beta_samples(cls, rng):
    yield og.Sample((rng.normal(size=(2, 3)),), id="right")
    yield og.Sample((rng.normal(size=(1, 3)),), {"factr": 2.0}, id="wrong")


@pytest.mark.parametrize("checks", [None, ["vjp_full", "pickle", "determinism"]])
def test_a_sample_of_an_attribute_that_the_op_has_not_is_told_once(make_op, checks):
    methods = {"__annotations__": {"factor": float}, "factor": 1.0, "samples": classmethod(beta_samples)}
    report = check_op(make_op(**methods), checks=checks)
    text = str(report)
    assert text.count("sample 'wrong': hostile.op has no attribute 'factr'; did you mean 'factor'?") == 1
    assert "the check raises" not in text
    assert any(result.ok and result.sample == "right" for result in report.results)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"zero_gradient": (5,)}, "OpInfo.zero_gradient names input 5; the samples have inputs 0 to 0 at most"),
        ({"multilinear": (0, 1)}, "OpInfo.multilinear names input 1"),
    ],
)
def test_what_is_declared_of_inputs_that_are_not_there_is_told(make_op, fields, says):
    report = check_op(make_op(info=og.OpInfo(**fields)), checks=["samples"])
    assert says in details(report, "samples")[""]


def test_samples_that_differ_between_processes_are_told(make_op):
    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.ones(2),), id=f"process {os.getpid()}")
        yield og.Sample((np.ones(3),), id=f"another one of {os.getpid()}")

    report = check_op(make_op(samples=samples, compute=lambda *_: os._exit(0)), checks=["vjp_full"])
    assert any("it may depend on rng alone" in text for text in details(report).values())


def test_in_this_process_results_are_the_same(make_op):
    def vjp(self, ins, outs, cotangents):
        return (3 * cotangents[0],)

    op = make_op(vjp=vjp)
    alone, apart = (check_op(op, checks=["vjp_full"], in_process=flag) for flag in (True, False))
    assert [(r.sample, r.status, r.detail, r.data) for r in alone.results] == [
        (r.sample, r.status, r.detail, r.data) for r in apart.results
    ]
    assert not check_op(make_op(compute=lambda *_: print("x")), checks=["vjp_full"], in_process=True).ok
    assert "SystemExit" in str(check_op(make_op(infer=lambda *_: sys.exit()), checks=["vjp_full"], in_process=True))


def test_a_declared_failure_is_expected(make_op):
    def vjp(self, ins, outs, cotangents):
        return (3 * cotangents[0],)

    info = og.OpInfo(expected_failures={"vjp_full": "straight-through on purpose"})
    report = check_op(make_op(vjp=vjp, info=info), checks=["vjp_full"])
    expected = [r for r in report.results if r.status == "expected"]
    assert report.ok
    assert expected[0].detail.startswith("straight-through on purpose (the derivative of")


def test_a_failure_that_is_declared_but_does_not_occur_fails(make_op):
    info = og.OpInfo(expected_failures={"vjp_full": "once upon a time"})
    (failure,) = check_op(make_op(info=info), checks=["vjp_full"]).failures
    assert failure.detail == "'vjp_full' is declared to fail, but passes on every sample; take the declaration out"
    info = og.OpInfo(expected_failures={"vjp_ful": "a slip"})
    (failure,) = check_op(make_op(info=info), checks=["vjp_full"]).failures
    assert failure.detail == "'vjp_ful' is declared to fail, but no check is called so"


def test_a_check_registered_here_is_made_and_may_fail(make_op, monkeypatch):
    monkeypatch.setattr(check_module, "_registered", {})

    @register_check
    class NoScalars(Check):
        """The op has no name that ends in op."""

        name = "no_op"

        def on_op(self, op_class, seed):
            raise Failed("ends in op", where=np.int64(3), value=np.nan, parts=(1 + 2j,))

    report = check_op(make_op(), checks=["no_op"])
    assert report.failures[0].data["where"] == 3
    assert (report.failures[0].data["value"], report.failures[0].data["parts"]) == ("nan", ["(1+2j)"])
    json.loads(report.to_json(), parse_constant=pytest.fail)


def test_unknown_checks_and_ops_are_refused(make_op):
    with pytest.raises(og.ArgumentError, match="no check is called 'vjp_ful'; did you mean 'vjp_full'?"):
        check_op(make_op(), checks=["vjp_ful"])
    with pytest.raises(og.ArgumentError, match="the seed must be a whole number, 0 or more, not -1"):
        check_op(make_op(), seed=-1)
    with pytest.raises(og.ArgumentError, match="the time limit must be between 0 and 1,000,000 s, not 0"):
        check_op(make_op(), time_limit=0)
    with pytest.raises(og.ArgumentError, match="is no Op class"):
        check_op(3)
    with pytest.raises(og.UnknownOpError, match="did you mean"):
        check_op("core.exq")
    with pytest.raises(og.ArgumentError, match="no report"):
        Report.from_json("{}")
    with pytest.raises(og.ArgumentError, match="schema 'other'"):
        Report.from_json('{"schema": "other"}')


def test_a_single_check_may_be_named_without_a_list(make_op):
    assert {result.check for result in check_op(make_op(), checks="infer").results} == {"infer"}
    assert {result.check for result in check_op(make_op(), checks="infer", in_process=True).results} == {"infer"}
    with pytest.raises(og.ArgumentError, match="no check is called 'infr'; did you mean 'infer'?"):
        check_op(make_op(), checks="infr")


def test_several_ops_are_told_in_the_order_asked_for():
    names = ["core.exp", "core.add", "core.log"]
    found = list(checked_all(names, Settings(["reference"]), jobs=3))
    assert [name for name, _ in found] == names
    assert all(result.op == name for name, results in found for result in results)


def test_closing_ends_the_workers():
    worker = Worker()
    running = checked("core.exp", Settings(["reference"]), started=worker)
    assert next(running).op == "core.exp"
    worker.close()
    with pytest.raises(Closed):
        next(running)


def test_a_worker_outlives_the_test_of_one_op_and_serves_the_next(make_op):
    worker = Worker()
    for name in ("core.exp", "core.log"):
        assert all(r.ok for r in checked(name, Settings(["reference"]), started=worker))
    assert {r.op for r in checked(LocalOp(make_op()), Settings(["vjp_full"]), started=worker)} == {"hostile.op"}
    worker.close()


def test_an_op_that_cannot_be_loaded_is_told_and_composed_ones_have_nothing_to_check(installed):
    installed('print("hello")\nraise ZeroDivisionError("at import")\nclass Never(og.Op, name="hostile.never"): pass\n')
    (result,) = checked("hostile.never", Settings())
    assert (result.check, result.status) == ("load", "fail")
    assert "ZeroDivisionError: at import" in result.detail
    assert result.data["reproduce"] == "opgraph check hostile.never"


def test_an_op_that_cannot_be_loaded_harms_none_that_its_worker_checks_next(installed):
    installed('raise ZeroDivisionError("at import")\nclass Never(og.Op, name="hostile.never"): pass\n')
    names = ["hostile.never", "core.exp", "hostile.never", "core.log"]
    found = dict(checked_all(names, Settings(["reference"]), time_limit=5, jobs=1))
    assert [result.check for result in found["hostile.never"]] == ["load"]
    for name in ("core.exp", "core.log"):
        assert [str(result) for result in found[name] if not result.ok] == []


def test_a_fresh_process_imports_nothing_but_the_op_that_is_looked_up(installed, tmp_path):
    installed("""
    class Fine(og.Elementwise, name="hostile.fine"):
        def compute(self, ins, outs):
            np.multiply(ins[0], 2, out=outs[0])
    """)
    (tmp_path / "hostile_killer.py").write_text("import os\nos._exit(9)\n")
    with open(tmp_path / "hostile_ops-1.0.dist-info" / "entry_points.txt", "a") as file:
        file.write("hostile.killer = hostile_killer:Killer\n")
    og.registry.refresh()
    assert check_op("hostile.fine", checks=["registered"]).ok
    assert "exit code 9" in check_op("hostile.killer", checks=["registered"]).failures[0].detail


def test_alike_failures_are_told_once():
    failures = [Result("a.b", "c", str(n), "fail", "the same") for n in range(9)]
    text = str(Report([*failures, Result("a.b", "d", "", "inconclusive", "other")]))
    assert text.count("the same\n") == 1
    assert "the same in: c on '1', c on '2', c on '3', c on '4', 4 more" in text
    assert "INCONCLUSIVE: a.b: d\n  other" in text
    assert text.endswith("1 op: 9 fail, 1 inconclusive in 0.0 s of checking")


def test_what_a_kernel_that_is_not_deterministic_brings_with_it_is_told_after_it(make_op):
    def compute(self, ins, outs):
        np.multiply(ins[0], np.random.default_rng().random(), out=outs[0])

    report = check_op(make_op(compute=compute), checks=["layout", "purity", "determinism", "vjp_full"])
    text = str(report)
    assert text.startswith("FAIL: hostile.op: determinism on 'matrix'")
    assert "also fail, probably of the same cause: vjp_full, layout, purity (" in text
    assert text.count("FAIL: ") + text.count("INCONCLUSIVE: ") == 2, text  # the values differ
    assert {failure.check for failure in report.failures} == {"layout", "purity", "determinism", "vjp_full"}


def test_what_a_wrong_gradient_brings_with_it_is_told_after_it(make_op):
    def vjp(self, ins, outs, cotangents):
        return (3 * cotangents[0] * ins[0],)

    text = str(check_op(make_op(vjp=vjp), checks=["jvp", "second_order", "vjp_full", "stale", "cotangent_linear"]))
    assert text.startswith("FAIL: hostile.op: vjp_full on 'matrix'")
    assert "FAIL: hostile.op: jvp" not in text
    assert "also fail, probably of the same cause: jvp (1)" in text


def test_what_a_check_finds_is_told_before_what_stops_others(make_op):
    report = check_op(make_op(view=lambda self, ins: ins[0]), checks=["determinism", "layout", "infer"])
    text = str(report)
    assert text.startswith("FAIL: hostile.op: layout on 'matrix'")
    assert "view returns a value of type ndarray, not a tuple of arrays" in text
    assert "FAIL: hostile.op: determinism on 'matrix'\n  hostile.op: its view returned a value of type ndarray" in text
    assert {r.data.get("raised") for r in report.failures} == {None, "KernelError"}


def test_a_gradient_that_raises_is_told_once_for_each_sample(make_op):
    def vjp(self, ins, outs, cotangents):
        return (np.multiply(cotangents[0], 2),)  # the message names the node, which is another in each check

    text = str(check_op(make_op(vjp=vjp)))
    assert text.count("cannot go into numpy.multiply; use og.multiply, in the vjp of hostile.op") == 3
    assert text.count("\n  also fail, probably of the same cause: ") == 3


def test_a_gradient_of_which_nothing_is_sure_hides_no_failure():
    rough, wrong = Result("a.b", "vjp_full", "0", "inconclusive", "rough"), Result("a.b", "jvp", "0", "fail", "wrong")
    assert "FAIL: a.b: jvp on '0'" in str(Report([wrong, rough]))
    other = Result("a.b", "jvp", "1", "fail", "on another sample")
    sure = Result("a.b", "vjp_full", "0", "fail", "sure")
    text = str(Report([other, wrong, sure]))
    assert text.startswith("FAIL: a.b: vjp_full on '0'\n  sure\n  also fail, probably of the same cause: jvp (1)\n\n")
    assert "FAIL: a.b: jvp on '1'" in text


def test_a_report_of_nothing_is_not_ok():
    assert not Report([]).ok
    assert not Report([Result("a.b", "c", "", "not applicable")]).ok
    assert "nothing was checked" in str(Report([]))


def test_html_needs_nothing_else_and_escapes_everything():
    bad = Result("a.b", "<check>", "<i>", "fail", "<script>alert(1)</script>", {"pattern": "<b>"})
    text = page(Report([bad, Result("a.b", "fine", "0", "pass"), Result("a.c", "fine", "0", "not applicable")]))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<i>" not in text
    assert "<b>" not in text
    assert "http" not in text
    assert "&lt;check&gt;: 1 of 1 fail" in text


def test_samples_of_one_name_are_told_apart(make_op):
    samples = [og.Sample((np.ones(n),), id="same") for n in (2, 3)]
    assert [u.sample for u in Bench(make_op(), samples, Settings(["reference"])).units()] == ["same", "same#1"]
