"""How long runs take, by instruction and by line; and that nobody pays who does not ask."""

import importlib.util
import json
import threading

import numpy as np
import pytest

import opgraph as og
from opgraph.stopwatch import Stopwatch
from opgraph.viz.measuring import MeasuredPlan


@pytest.fixture
def rt():
    return og.RunTime(threads=1)


def plan_of(program):
    (plan,) = program._executable._plans.values()
    return plan


def steps_of(plan):
    return {step.name: step for group in plan.groups for step in group.steps}


class Broken(og.Op, name="acme.broken"):
    """Fails for negative numbers."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        if ins[0].min() < 0:
            raise ValueError("too low")
        outs[0][...] = ins[0]


def test_runs_instructions_and_lines_are_counted(rt):
    a, b = og.placeholder((2, 3), np.float64, name="a"), og.placeholder((3, 5), np.float64, name="b")
    product = a @ b
    y = og.exp(product) * 2.0
    program = rt.compile([a, b], [y])
    with rt.profile() as profile:
        for _ in range(3):
            program(np.ones((2, 3)), np.ones((3, 5)))
    assert profile.runs == 3
    of_matmul, of_chain = profile.instructions
    assert of_matmul.instruction.steps == ("matmul",)
    assert (of_matmul.calls, of_chain.calls) == (3, 3)
    assert of_matmul.flops == 3 * 2 * (2 * 3 * 5)
    assert of_matmul.nbytes == 3 * 8 * (2 * 3 + 3 * 5 + 2 * 5)
    assert of_chain.flops == 3 * 2 * (2 * 5)
    assert of_chain.nbytes == 3 * 8 * (2 * 5 + 1 + 2 * 5)  # reads the product and the constant
    lines = {str(line.source).rpartition(": ")[2]: line for line in profile.lines}
    assert lines.keys() == {"product = a @ b", "y = og.exp(product) * 2.0"}
    assert lines["product = a @ b"].calls == 3
    of_line = lines["y = og.exp(product) * 2.0"]
    assert of_line.calls == 6  # two steps in each run
    assert (of_line.flops, of_line.nbytes) == (of_chain.flops, of_chain.nbytes)


def test_times_add_up(rt):
    x = og.placeholder((100, 200))
    program = rt.compile([x], [og.reduce_sum(og.exp(x @ og.transpose(x)))])
    with rt.profile() as profile:
        program(np.ones((100, 200)))
    assert 0 < profile.seconds <= profile.elapsed
    assert sum(each.seconds for each in profile.instructions) == pytest.approx(profile.phases["instructions"])
    assert sum(line.seconds for line in profile.lines) == pytest.approx(profile.phases["instructions"])
    assert sum(profile.phases.values()) == pytest.approx(profile.seconds)
    assert all(spent >= 0 for spent in profile.phases.values())
    for each in (*profile.instructions, *profile.lines):
        assert each.share == pytest.approx(each.seconds / profile.seconds)
        assert each.flops_per_second == pytest.approx(each.flops / each.seconds)
        assert each.bytes_per_second == pytest.approx(each.nbytes / each.seconds)


def test_a_run_that_nobody_watches_is_not_timed(rt, monkeypatch):
    x = og.placeholder((3,))
    program = rt.compile([x], [og.exp(x)])
    with rt.profile() as profile:
        program([1, 2, 3])
    monkeypatch.setattr("opgraph.executable.Stopwatch", None)
    monkeypatch.setattr("opgraph.runtime.spending", None)
    program([1, 2, 3])
    rt.run(og.exp(x), {x: [1, 2, 3]})
    assert profile.runs == 1


class Noting:
    """A watcher that notes what was spent outside of plans, and how many runs there were."""

    def __init__(self):
        self.noted = []

    def begin(self, executable, plan):
        self.noted.append("run")

    def end(self, plan, stopwatch):
        pass

    def spent(self, what, began, ended):
        assert began <= ended
        if what == "compile":
            self.noted.append(what)


@pytest.mark.parametrize(
    "run",
    [
        lambda rt, x, y: rt.run(y, {x: np.ones(3)}),
        lambda rt, x, y: rt.compile([x], [y])(np.ones(3)),
        lambda rt, x, y: rt.compile_derived("twice", [y], lambda nodes: ([nodes[0] * 2.0], {}, None))[0](np.ones(3)),
        lambda rt, x, y: og.function(lambda x: x * 2.0, runtime=rt)(np.ones(3)),
    ],
    ids=["run", "compile", "compile_derived", "function"],
)
def test_the_passes_count_as_compiling_whoever_has_them_run(rt, run):
    x = og.placeholder((3,))
    watcher = Noting()
    rt.settings.watchers.append(watcher)
    run(rt, x, og.exp(x))
    assert watcher.noted == ["compile", "run"]


def test_a_run_that_returns_within_the_clock_s_resolution_did_not_fail(rt):
    x = og.placeholder((3,))
    program = rt.compile([x], [og.exp(x)])
    program([1, 2, 3])
    measured = MeasuredPlan(1, program._executable, plan_of(program))
    timings = [(steps_of(plan_of(program))["exp"], 7, 7, 1)]
    phases, _ = measured.add(noted(timings, ready=7, returned=7, ended=9))
    assert (phases["commit"], phases["fetches"], phases["python"]) == (2, 0, 0)
    failed, _ = measured.add(noted(timings, ready=7, returned=None, ended=9))
    assert (failed["commit"], failed["fetches"], failed["python"]) == (0, 0, 2)


def test_an_exception_ends_the_profile(rt):
    x = og.placeholder((3,))
    program = rt.compile([x], [og.exp(x)])
    profiles = []

    def profiled():
        with rt.profile() as profile:
            profiles.append(profile)
            program([1, 2, 3])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        profiled()
    (profile,) = profiles
    assert rt.settings.watchers == []
    elapsed = profile.elapsed
    program([1, 2, 3])
    assert profile.runs == 1
    assert profile.elapsed == elapsed


def test_a_run_that_fails_raises_as_usual_and_counts_what_ran(rt):
    x = og.placeholder((3,), name="x")
    w = og.Variable(np.ones(3), name="w")
    program = rt.compile([x], [og.apply(Broken(), og.exp(x) + x)], updates={w: w * 2})
    with rt.profile() as profile:
        with pytest.raises(og.KernelError, match="acme.broken: its kernel raised ValueError: too low"):
            program([-9, 0, 0])
        program([1, 2, 3])
    assert profile.runs == 2
    assert {each.instruction.steps: each.calls for each in profile.instructions} == {
        ("exp", "add"): 2,
        ("broken",): 1,
        ("multiply",): 1,
    }
    np.testing.assert_array_equal(w.val, [2, 2, 2])


def test_threads_share_blocks_and_their_time_is_that_of_the_instruction(tmp_path):
    x = og.placeholder((1000, 300), np.float64)
    y = og.sin(og.exp(x) * 0.5)
    values = np.random.default_rng(0).normal(size=(1000, 300))
    rt = og.RunTime(threads=2, tile=30_000)
    expected = rt.run(y, {x: values})
    with rt.profile() as profile:
        np.testing.assert_array_equal(rt.run(y, {x: values}), expected)
    (each,) = profile.instructions
    assert (each.calls, each.instruction.threads, each.instruction.blocks) == (1, 2, 10)
    events = events_of(profile, tmp_path)
    (whole,) = [event for event in events if event["cat"] == "instruction"]
    assert each.seconds == pytest.approx(whole["dur"] * 1e-6)
    steps = [event for event in events if event["cat"] == "step"]
    assert len(steps) == 10 * 3
    assert {event["tid"] for event in steps} >= {threading.get_ident()}
    for event in steps:
        assert whole["ts"] <= event["ts"]
        assert event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 1e-6


@pytest.mark.parametrize("threads", [1, 2])
def test_variables_written_in_place_are_timed_and_right(threads, tmp_path):
    w, v = og.Variable(np.ones((700, 400)), name="w"), og.Variable(np.zeros(3), name="v")
    rt = og.RunTime(threads=threads, tile=1 << 15)
    step = rt.compile([], [], updates={w: w * 0.5 + 1.0, v: v + 1.0})
    with rt.profile() as profile:
        step()
        step()
    np.testing.assert_array_equal(w.val, np.full((700, 400), (1 * 0.5 + 1) * 0.5 + 1))
    np.testing.assert_array_equal(v.val, [2, 2, 2])
    measured = {each.instruction.steps: each for each in profile.instructions}
    of_w = measured["multiply", "add"]
    assert of_w.instruction.commits
    assert (of_w.calls, of_w.flops) == (2, 2 * 2 * 280_000)
    assert of_w.seconds > 0
    assert measured[("add_1",)].calls == 2
    blocks = 9  # 280,000 elements in blocks of 81 rows of 400
    steps = [event["name"] for event in events_of(profile, tmp_path) if event["cat"] == "step"]
    assert {name: steps.count(name) for name in steps} == {"multiply": 2 * blocks, "add": 2 * blocks, "add_1": 2}


def test_several_plans_have_numbers_of_their_own(rt):
    x = og.placeholder((None,), name="x")
    y, z = og.exp(x), og.sin(x) + 1.0
    with rt.profile() as profile:
        rt.run(y, {x: [1, 2]})
        rt.run(y, {x: [1, 2, 3]})
        rt.run([z], {x: [1, 2]})
        rt.run(y, {x: [3, 4]})
    assert [(each.plan, each.instruction.steps, each.calls) for each in profile.instructions] == [
        (1, ("exp",), 2),
        (2, ("exp",), 1),
        (3, ("sin", "add"), 1),
    ]
    text = str(profile)
    assert "4 runs of 3 plans" in text
    assert "[exp] of x (2,) float32" in text
    assert "[add] of x (2,) float32" in text


def test_forward_backward_and_optimizers_are_measured_too(rt):
    graph = og.get_default_graph()
    graph.set_runtime(rt)
    x = og.placeholder((2,), name="x")
    y = og.reduce_sum(og.exp(x))
    with rt.profile() as profile, rt.forward_backward_cycle():
        y.forward({x: [1, 2]})
        y.backward({x: [1, 2]})
    assert profile.runs == 2


def test_runs_of_several_threads_are_all_measured(rt):
    x = og.placeholder((3,))
    y, z = og.exp(x), og.sin(x)
    programs = [rt.compile([x], [y]), rt.compile([x], [z])]

    def work(program):
        for _ in range(50):
            program([1, 2, 3])

    with rt.profile() as profile:
        workers = [threading.Thread(target=work, args=(program,)) for program in programs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert profile.runs == 100
    assert [each.calls for each in profile.instructions] == [50, 50]


def test_of_two_open_profiles_each_measures_until_it_ends(rt):
    x = og.placeholder((3,))
    program = rt.compile([x], [og.exp(x)])
    with rt.profile() as outer:
        program([1, 2, 3])
        with rt.profile() as inner:
            program([1, 2, 3])
        program([1, 2, 3])
    assert (outer.runs, inner.runs) == (3, 1)


def test_other_run_times_are_not_measured(rt):
    x = og.placeholder((3,))
    with rt.profile() as profile:
        og.RunTime().run(og.exp(x), {x: [1, 2, 3]})
    assert profile.runs == 0
    assert "nothing ran" in str(profile)


def test_it_may_be_read_while_it_is_open(rt):
    x = og.placeholder((3,))
    with rt.profile() as profile:
        rt.run(og.exp(x), {x: [1, 2, 3]})
        assert profile.runs == 1
        assert "exp" in str(profile)


def test_first_runs_and_checked_runs_are_measured_like_others():
    x = og.placeholder((3,))
    rt = og.RunTime(check_finite=True)
    with rt.profile() as profile, pytest.raises(og.NonFiniteError, match="went infinite"):
        rt.run(og.exp(x) * 1e38, {x: [0, 1, 60]})
    assert [(each.instruction.steps, each.calls) for each in profile.instructions] == [
        (("exp",), 1),
        (("multiply",), 0),
    ]


def test_an_op_that_says_no_number_of_operations_fails_before_anything_is_written(rt):
    class Odd(og.Op, name="acme.odd"):
        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            outs[0][...] = ins[0]

        def flops(self, ins, outs):
            return "many"

    w = og.Variable(np.ones(2), name="w")
    program = rt.compile([], [og.apply(Odd(), w)], updates={w: w + 1.0})
    with rt.profile(), pytest.raises(og.KernelError, match="acme.odd: its flops returned 'many'"):
        program()
    np.testing.assert_array_equal(w.val, [1, 1])
    program()
    np.testing.assert_array_equal(w.val, [2, 2])


def test_an_argument_too_many_is_refused(rt):
    with pytest.raises(og.ArgumentError, match="profile"):
        rt.profile("trace.json")


def events_of(profile, tmp_path):
    path = profile.to_chrome_trace(tmp_path / "trace.json")
    with open(path, encoding="utf-8") as file:
        return [event for event in json.load(file)["traceEvents"] if event["ph"] == "X"]


def test_the_trace_has_what_perfetto_needs(rt, tmp_path):
    x = og.placeholder((4, 3), np.float64, name="x")
    program = rt.compile([x], [og.exp(x) @ og.transpose(x)])
    with rt.profile() as profile:
        program(np.ones((4, 3)))
    path = profile.to_chrome_trace(str(tmp_path / "trace.json"))
    assert path == str(tmp_path / "trace.json")
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    assert trace["otherData"] == {"events left out": 0}
    named, *events = trace["traceEvents"]
    assert (named["ph"], named["name"]) == ("M", "thread_name")
    assert named["args"] == {"name": threading.current_thread().name}
    assert [event["name"] for event in events] == ["feeds", "plan 1", "exp", "matmul"]
    for event in events:
        assert event["ph"] == "X"
        assert (event["pid"], event["tid"]) == (named["pid"], named["tid"])
        assert 0 <= event["ts"] <= event["ts"] + event["dur"] <= profile.elapsed * 1e6
    assert events[2]["args"]["line"].startswith("test_profile.py:")
    assert events[2]["ts"] + events[2]["dur"] <= events[3]["ts"]


def test_a_trace_holds_so_many_events_and_says_how_many_it_left_out(rt, tmp_path, monkeypatch):
    monkeypatch.setattr("opgraph.viz.trace.EVENTS", 2)
    x = og.placeholder((3,))
    with rt.profile() as profile:
        rt.compile([x], [og.exp(x)])([1, 2, 3])
    path = profile.to_chrome_trace(tmp_path / "trace.json")
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    assert len([event for event in trace["traceEvents"] if event["ph"] == "X"]) == 2
    assert trace["otherData"] == {"events left out": 2}  # of compile, feeds, the run and its step


def test_a_trace_that_cannot_be_written_is_said_so(rt, tmp_path):
    with rt.profile() as profile:
        pass
    with pytest.raises(og.FileError, match=r"to_chrome_trace: cannot write .*: No such file(.|\n)*at test_profile.py"):
        profile.to_chrome_trace(tmp_path / "nowhere" / "trace.json")


def noted(timings, stamps=(), *, began=0, ready=0, returned, ended):
    """A stopwatch with what it noted in a run."""
    stopwatch = Stopwatch([])
    stopwatch.timings, stopwatch.stamps = list(timings), list(stamps)
    stopwatch.began, stopwatch.ready, stopwatch.returned, stopwatch.ended = began, ready, returned, ended
    return stopwatch


def test_what_lies_between_is_told_from_what_runs(rt):
    x = og.placeholder((3,))
    program = rt.compile([x], [og.reduce_sum(og.exp(x) * 2.0)])
    program([1, 2, 3])
    plan = plan_of(program)
    steps = steps_of(plan)
    timings = [
        (steps["exp"], 130, 150, 1),
        (steps["multiply"], 153, 163, 1),
        (steps["reduce_sum"], 170, 175, 1),
    ]
    measured = MeasuredPlan(1, program._executable, plan)
    phases, _ = measured.add(noted(timings, began=0, ready=100, returned=195, ended=198))
    assert phases == {"instructions": 35, "compile": 100, "feeds": 30, "fetches": 20, "commit": 3, "python": 10}
    assert measured.spent == [[20, 10], [5]]
    assert measured.calls == [1, 1]


def test_what_threads_share_counts_by_the_clock_and_is_divided_as_the_steps_took_time():
    x = og.placeholder((1000, 300), np.float64)
    program = og.RunTime(threads=2, tile=150_000).compile([x], [og.sin(og.exp(x))])
    program(np.ones((1000, 300)))
    plan = plan_of(program)
    (section,) = plan.calls
    steps = steps_of(plan)
    timings = [
        (steps["exp"], 10, 40, 1),
        (steps["exp"], 20, 50, 2),
        (steps["sin"], 40, 50, 1),
        (steps["sin"], 50, 60, 2),
        (section, 0, 60, 1),
    ]
    measured = MeasuredPlan(1, program._executable, plan)
    phases, _ = measured.add(noted(timings, returned=60, ended=60))
    assert measured.spent == [[60 * 60 / 80, 60 * 20 / 80]]
    assert (phases["instructions"], phases["python"], phases["feeds"]) == (60, 0, 0)


def test_variables_that_threads_write_side_by_side_divide_the_time_by_the_clock():
    v, w = og.Variable(np.ones(3), name="v"), og.Variable(np.ones((5, 2)), name="w")
    program = og.RunTime(threads=1).compile([], [], updates={v: v * 2.0, w: w * 2.0 + 1.0})
    program()
    plan = plan_of(program)
    assert [len(group.steps) for group in plan.groups] == [1, 2]
    stamps = [[0, (100, 1), (130, 1)], [1, (110, 2), (120, 2), (150, 2)]]
    measured = MeasuredPlan(1, program._executable, plan)
    phases, ran = measured.add(noted([], stamps, returned=90, ended=160))
    assert measured.spent == [[pytest.approx(50 * 30 / 70)], [pytest.approx(50 * 10 / 70), pytest.approx(50 * 30 / 70)]]
    assert phases["instructions"] == pytest.approx(50)
    assert phases["commit"] == 160 - 90 - 50
    assert [each.thread for each in ran] == [1, 2, 2]


# matmul: 2 · 2 · 3 · 5 operations and (6 + 15 + 10) floats in 2 ms; exp: 10 operations, 20 floats in 1 ms
PROFILED = """\
1 run of 1 plan: 4 ms, and 6 ms outside of runs
instructions 3 ms (75.0%), fetches 500 µs (12.5%), feeds 400 µs (10.0%), Python 100 µs (2.5%)

instructions
#  runs    calls  time  share  each  flop/s   B/s  threads  line
-  ------  -----  ----  -----  ----  ------  ----  -------  --------
1  matmul      1  2 ms  50.0%  2 ms    30 k  62 k        1  net.py:3
2  exp         1  1 ms  25.0%  1 ms    10 k  80 k        1  net.py:4

lines
line      calls  time  share  each  flop/s   B/s
--------  -----  ----  -----  ----  ------  ----
net.py:3      1  2 ms  50.0%  2 ms    30 k  62 k
net.py:4      1  1 ms  25.0%  1 ms    10 k  80 k
"""


def test_the_text_is_stable(rt):
    namespace = {"og": og, "__name__": "net"}
    text = "\na, b = og.placeholder((2, 3)), og.placeholder((3, 5))\nh = a @ b\ny = og.exp(h)\n"
    exec(compile(text, "/home/ann/net.py", "exec"), namespace)
    program = rt.compile([namespace["a"], namespace["b"]], [namespace["y"]])
    program([[1, 2, 3]] * 2, [[1, 2, 3, 4, 5]] * 3)
    plan = plan_of(program)
    steps = steps_of(plan)
    ms = 1_000_000
    timings = [(steps["matmul"], 0.4 * ms, 2.4 * ms, 1), (steps["exp"], 2.5 * ms, 3.5 * ms, 1)]
    with rt.profile() as profile:
        profile.begin(program._executable, plan)
        profile.end(plan, noted(timings, returned=4 * ms, ended=4 * ms))
    profile._began, profile._ended = 0, 10 * ms
    assert str(profile) + "\n" == PROFILED


@pytest.mark.skipif(importlib.util.find_spec("rich") is None, reason="rich is optional")
def test_rich_shows_tables(rt):
    import rich.console

    x = og.placeholder((3,))
    with rt.profile() as profile:
        rt.run(og.exp(x), {x: [1, 2, 3]})
    console = rich.console.Console(width=150)
    with console.capture() as capture:
        console.print(profile)
    assert "1 run of 1 plan" in capture.get()
    assert "test_profile.py" in capture.get()
