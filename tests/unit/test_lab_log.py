"""Of a long log a person reads what matters."""

from shoal.lab.log import essence


def test_errors_are_shown_though_much_was_written_after_them() -> None:
    chatter = [f"line {number}" for number in range(100)]
    chatter[20] = "FATAL:  could not write: No space left on device"
    assert essence("\n".join(chatter)) == (
        "  FATAL:  could not write: No space left on device\n"
        "  line 95\n  line 96\n  line 97\n  line 98\n  line 99"
    )


def test_a_short_log_is_shown_as_it_is() -> None:
    assert essence("one\n\n  two  \n") == "  one\n    two"
    assert essence("\n") == "  (empty)"


def test_long_lines_and_many_errors_are_cut() -> None:
    shown = essence("\n".join(f"ERROR {number} " + "x" * 500 for number in range(50)))
    lines = shown.splitlines()
    assert [line.split()[1] for line in lines] == [
        *("0", "1", "2", "3", "4", "5"),
        *("45", "46", "47", "48", "49"),
    ]
    assert max(map(len, lines)) == 162
