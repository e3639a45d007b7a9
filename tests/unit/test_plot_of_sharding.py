"""What is drawn of a measurement of sharding."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.sharding.measuring import SLOWEST, Taken, Work, measure
from benchmarks.sharding.plot import drawn
from benchmarks.sharding.results import Line, Target
from benchmarks.sharding.stages import STAGES, WHOLE, stages

import shoal


def line(ours: float, other: float, target: Target | None = None) -> Any:
    """Return a line as it is recorded, of times in seconds."""
    found = Line(
        work="count()",
        against="one <database>",
        ours=Taken([ours]),
        other=Taken([other]),
        target=target,
    )
    return found.as_json()


def test_the_drawing_is_xml_with_a_bar_for_each_line_and_its_ratio() -> None:
    found = drawn([line(2.0, 1.0), line(1.0, 4.0)])
    ElementTree.fromstring(found)
    assert found.count('<rect class="bar"') == 2
    assert [">2.00<" in found, ">0.25<" in found] == [True, True]


def test_a_target_of_rates_is_drawn_as_one_of_times() -> None:
    met = drawn([line(1.0, 1.0, Target(limit=0.5, is_rate=True))])
    same = drawn([line(1.0, 1.0, Target(limit=2.0))])
    [mark] = re.findall('<path class="target".*', met)
    assert 'class="bar met"' in met
    assert mark in same
    assert 'class="bar missed"' in drawn([line(3.0, 1.0, Target(limit=2.0))])


def test_who_is_wrong_has_no_bar() -> None:
    wrong = Line(
        work="count()", against="loop", ours=Taken([1.0]), other=Taken(wrong=True)
    )
    found = drawn([wrong.as_json()])
    assert ">wrong<" in found
    assert '<rect class="bar' not in found


def test_what_is_beside_is_measured_and_not_compared() -> None:
    def way(answer: int) -> Any:
        return lambda n: lambda: answer

    ways, beside = {"sharded": way(1), "one": way(1)}, {"floor": way(2)}
    work = Work(name="count()", ways=ways, beside=beside, right="one", rounds=3)
    taken = measure(work)
    assert SLOWEST not in taken
    assert not taken["floor"].wrong
    assert len(taken["floor"].seconds) == 3


def test_each_stage_is_a_function_that_there_is() -> None:
    root = Path(shoal.__file__).parent
    for file, function in STAGES.values():
        assert f"def {function}(" in (root / file).read_text("utf-8")
    assert list(stages(lambda: None)) == [WHOLE]
