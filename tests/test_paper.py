"""What a person is shown: no control code of a stranger, no markup, changes that can be seen."""

import os
import pty
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from verbs.paper import difference, money, plain, seconds, share
from viewer.words import compared

SHOW = (
    "import sys; from verbs.paper import heading, show, words\n"
    "show(heading('Title'), *(words(f'line {n} \\x1b[31mred') for n in range(int(sys.argv[1]))))"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J", "<U+001B>[2J"),
        ("\x07\x9b31m", "<U+0007><U+009B>31m"),
        ("abc\u202edcba", "abc<U+202E>dcba"),
        ("a\u200bb\u2066", "a<U+200B>b<U+2066>"),
        ("می\u200cخواهم 书 é 👩\u200d🚀", "می\u200cخواهم 书 é 👩\u200d🚀"),
        ("[red]x[/red] :smile:", "[red]x[/red] :smile:"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_by_its_number(text, shown):
    assert plain(text) == shown


def test_a_difference_can_be_read_without_colours():
    told = str(difference(compared("A quiet book.", "A loud book.")))
    assert told == "A [-quiet -]{+loud +}book."


@pytest.mark.parametrize(
    ("nano", "unpriced", "said"),
    [(0, 0, "$0.0000"), (2_500_000, 0, "$0.0025"), (0, 3, "unpriced"), (None, 0, "unpriced"),
     (10**9, 2, "$1.0000 + 2 unpriced")],
)  # fmt: skip
def test_what_has_no_price_is_not_called_free(nano, unpriced, said):
    assert money(nano, unpriced) == said


def test_durations_and_rates_are_short():
    told = [seconds(ms) for ms in (None, 0, 12.4, 999, 12_340)]
    assert told == ["", "", "12 ms", "999 ms", "12.3 s"]
    assert [share(rate) for rate in (None, 0, 0.1234)] == ["", "0.0 %", "12.3 %"]


def in_a_terminal(lines: int, pager: str) -> str:
    """What a terminal of 24 lines gets to see."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "LINES": "24", "COLUMNS": "80", "PAGER": pager}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW, str(lines)], cwd=ROOT, stdout=theirs, stdin=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:
            break
        if not some:
            break
        seen += some
    process.wait()
    os.close(ours)
    return seen.decode()


def test_what_is_longer_than_the_terminal_goes_to_the_pager(tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\nexec head -2\n")
    pager.chmod(0o755)
    assert "PAGED" not in in_a_terminal(5, str(pager))
    assert "PAGED" in in_a_terminal(60, str(pager))


def test_in_a_terminal_only_our_own_codes_are_sent():
    seen = in_a_terminal(3, "cat")
    assert "\x1b[1m" in seen and "<U+001B>[31mred" in seen and "\x1b[31m" not in seen


def test_without_a_pager_everything_is_printed():
    assert "line 59" in in_a_terminal(60, "no-such-pager")
