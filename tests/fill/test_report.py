import io
import sys

import pytest

from inpaint.fill import report
from inpaint.fill.printing import print_path, printable


def entry(**more):
    holes = [{"scales": [1], "flat": False}, {"scales": [], "flat": False}]
    return {"holes": holes, "seconds": {"total": 5.21}, "output": "out.png"} | more


@pytest.mark.parametrize(
    ("dilate", "words"),
    [
        ([1, 8], ", enlarged by 1 to 8 pixels,"),
        ([8, 8], ", enlarged by 8 pixels,"),
        ([1, 1], ", enlarged by 1 pixel,"),
        ([0, 0], ", not enlarged,"),
        (None, ""),
    ],
)
def test_the_line_about_a_filled_photo_says_how_the_mask_was_enlarged(dilate, words):
    more = {"enlargement": {"dilate": dilate, "feather": [1, 4], "share": 0.1}} if dilate else {}
    assert report.outcome(entry(**more)) == ("filled", f"2 holes{words} in 5.2 s -> out.png")


def test_what_a_person_should_know_of_a_filled_photo():
    smooth = "1 hole with too little around to take texture from, filled smoothly"
    assert report.warnings(entry()) == [smooth]
    more = {"remarks": ["the mask marks 70% of the photo"], "not_kept": ["the video of a motion photo", "IPTC"]}
    assert report.warnings(entry(**more)) == [
        smooth, "the mask marks 70% of the photo", "not kept: the video of a motion photo, IPTC"
    ]  # fmt: skip
    assert report.warnings(entry(holes=[{"scales": [], "flat": True}])) == []  # of one colour, as its ring is
    assert report.warnings(entry(holes=[], remarks=[], not_kept=[])) == []


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("Café 日本\u202f👍 [a].jpg", "utf-8", "Café 日本\u202f👍 [a].jpg"),
        ("Café.jpg", "ascii", r"Caf\xe9.jpg"),
        ("日.jpg", "latin-1", r"\u65e5.jpg"),
        ("caf\udce9.jpg", "utf-8", r"caf\xe9.jpg"),
        ("\ud800", "utf-8", r"\ud800"),
        ("a\nb\x1b[2J\x9b\u202e\u2028.jpg", "utf-8", r"a\nb\x1b[2J\x9b\u202e\u2028.jpg"),
    ],
)
def test_what_a_terminal_cannot_show_is_escaped(text, encoding, shown):
    assert printable(text, encoding) == shown


@pytest.mark.parametrize(
    ("path", "encoding", "terminal", "written"),
    [
        ("é.jpg", "utf-8", False, "é.jpg".encode()),
        ("caf\udce9\x1b.jpg", "utf-8", False, b"caf\xe9\x1b.jpg"),
        ("caf\udce9\x1b.jpg", "utf-8", True, rb"caf\xe9\x1b.jpg"),
        ("caf\udce9.jpg", "ascii", False, b"caf\xe9.jpg"),
        ("é\udce9.jpg", "ascii", False, rb"\xe9\xe9.jpg"),
    ],
)
def test_paths_are_for_programs_byte_by_byte(monkeypatch, path, encoding, terminal, written):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stdout", stream)
    print("first")
    print_path(path)
    stream.flush()
    assert stream.buffer.getvalue() == b"first\n" + written + b"\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_in_brackets_is_no_markup(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stderr", stream)
    report.say("[/red] :smile: é\udce9\x07.jpg")
    with report.progress_bar() as progress:
        progress.add_task("[/red]", total=1)
        progress.disable = False
        progress.refresh()
        report.CONSOLE.print(progress)
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)
    assert said.startswith(r"[/red] :smile: " + {"ascii": r"\xe9", "utf-8": "é"}[encoding] + r"\xe9\x07.jpg")
    assert said.count("[/red]") >= 2
