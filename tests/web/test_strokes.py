from itertools import pairwise
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from inpaint.web import strokes as module
from inpaint.web.strokes import MOST_WORK, Brush, File, Lasso, Rectangle, Stroke, Whole, paint, work

SIZE = (30, 40)  # height, width
RNG = np.random.default_rng(0)
HALF = np.indices(SIZE)[1] >= 20  # the right one


def brush(*points, size=1.0, erase=False):
    return Brush(tool="brush", size=size, points=list(points), erase=erase)


def box(*corners, erase=False):
    return Rectangle(tool="box", points=corners, erase=erase)


def lasso(*points, erase=False):
    return Lasso(tool="lasso", points=list(points), erase=erase)


def marks(*strokes, size=SIZE, files=None):
    marked = np.zeros(size, dtype=bool)
    paint(marked, list(strokes), (files or {}).__getitem__)
    return marked


def pixels(marked):
    """The columns and rows of what is marked."""
    return {(int(column), int(row)) for row, column in np.argwhere(marked)}


def distances(points, size):
    """Each pixel's distance, at its centre, from a line through points: by brute force, in complex numbers."""
    rows, columns = np.indices(size) + 0.5
    centres = columns + 1j * rows
    line = [complex(*point) for point in points]
    nearest = np.abs(centres - line[0])
    for a, b in pairwise(line):
        along = np.zeros(size) if a == b else (((centres - a) * np.conj(b - a)).real / abs(b - a) ** 2).clip(0, 1)
        nearest = np.minimum(nearest, np.abs(centres - a - along * (b - a)))
    return nearest


def inside(points, size):
    """The pixels whose centres a line goes around an odd number of times: by crossings with a ray, one at a time."""
    rows, columns = np.indices(size) + 0.5
    odd = np.zeros(size, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay != by:
            odd ^= ((ay > rows) != (by > rows)) & (columns < ax + (rows - ay) * (bx - ax) / (by - ay))
    return odd


@pytest.mark.parametrize("x", [7.0, 7.001, 7.3, 7.5, 7.9, 7.999])
@pytest.mark.parametrize("y", [4.0, 4.5, 4.999])
def test_a_dot_of_size_1_marks_the_pixel_that_it_lies_in(x, y):
    assert pixels(marks(brush((x, y)))) == {(7, 4)}


def test_dots_at_the_photos_edges():
    assert pixels(marks(brush((0, 0)))) == {(0, 0)}
    assert pixels(marks(brush((39.9, 29.9)))) == {(39, 29)}
    assert not marks(brush((40.001, 15)), brush((15, -0.001)), brush((15, 30.001))).any()


@pytest.mark.parametrize("diameter", [2, 3.7, 9, 24.2, 200])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_brush_marks_the_pixels_whose_centres_it_covers(diameter, count):
    points = RNG.uniform((-10, -10), (50, 40), (count, 2)).tolist()
    assert np.array_equal(marks(brush(*points, size=diameter)), distances(points, SIZE) <= diameter / 2)


@pytest.mark.parametrize("diameter", [1, 2, 17.5])
@pytest.mark.parametrize("ends", [[(2.37, 1.13), (897.7, 588.2)], [(880.4, 3.3), (5.1, 560.7), (899.6, 561.9)]])
def test_long_lines(diameter, ends):
    found, size = marks(brush(*ends, size=diameter), size=(600, 900)), (600, 900)
    expected = distances(ends, size) <= diameter / 2
    for x, y in ends:
        expected[int(y), int(x)] = True  # a fine brush marks the pixels of its points, near their centres or not
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("at_a_time", [1, 7, 100_000])
def test_long_lines_are_painted_part_by_part(monkeypatch, at_a_time):
    """However many parts are painted at a time."""
    monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    points = np.concatenate([RNG.uniform((-60, -40), (100, 70), (60, 2)), RNG.integers(0, 30, (20, 2))])
    for diameter in (2, 9.5, 31):
        assert np.array_equal(marks(brush(*points.tolist(), size=diameter)), distances(points, SIZE) <= diameter / 2)
    assert np.array_equal(marks(lasso(*points.tolist())), inside(points.tolist(), SIZE))


def seconds(stroke, size):
    """How long a stroke takes."""
    began = process_time()
    marks(stroke, size=size)
    return process_time() - began


@pytest.mark.parametrize(
    ("tool", "count", "span", "diameter"),
    [("brush", 500, 4000, 4000), ("brush", 20_000, 20, 400), ("lasso", 500, 4000, None), ("brush", 2, 4000, 20)],
)
def test_strokes_take_no_longer_than_they_seem_to(tool, count, span, diameter):
    """What bounds all that may be painted goes by it: a stroke that is as long as allowed takes some seconds."""
    size = (4000, 3000)
    points = RNG.uniform(0, span, (count, 2)).tolist()
    stroke = brush(*points, size=diameter) if tool == "brush" else lasso(*points)
    share = work(stroke, size) / MOST_WORK
    assert share < 0.5
    assert seconds(stroke, size) < 0.5 + 4 * MOST_WORK * share
    assert work(Whole(tool="invert"), size) < 0.001 * MOST_WORK


@pytest.mark.parametrize(
    ("stroke", "count"),
    [
        (lasso((5, 0), (9, 4000), (7, 2000)), 40),
        (lasso((0, 0), (3000, 9), (2900, 4000), (9, 3900)), 4),
        (brush((5, 0), (5, 4000), size=4), 40),
        (brush((100, 100), (130, 150), size=30), 500),
    ],
    ids=["thin lassos", "large lassos", "thin brushes", "small brushes"],
)
def test_many_strokes_take_no_longer_than_they_seem_to(stroke, count):
    size = (4000, 3000)
    began = process_time()
    marks(*[stroke] * count, size=size)
    assert process_time() - began < 0.2 + 4 * count * work(stroke, size)


def test_a_part_of_a_line_costs_the_rows_that_it_reaches():
    up_and_down = [(x, y) for x in range(100) for y in (10.5, 3990.5)]
    along = [(x, y) for y in (10.5, 3990.5) for x in range(100)]
    assert work(brush(*up_and_down, size=9), (4000, 100)) > 20 * work(brush(*along, size=9), (4000, 100))
    beyond = [(x, y - 10_000) for x, y in up_and_down]
    assert work(brush(*beyond, size=9), (4000, 100)) < 0.001


def test_lines_along_an_axis_and_points_that_repeat():
    assert pixels(marks(brush((3.5, 2.5), (3.5, 2.5), (8.5, 2.5)))) == {(column, 2) for column in range(3, 9)}
    assert pixels(marks(brush((3.5, 2.5), (3.5, 6.5), (3.5, 2.5)))) == {(3, row) for row in range(2, 7)}


def test_a_fine_brush_leaves_no_gap():
    """A line of size 1 marks pixels each of which touches the next one, at least by a corner."""
    marked = marks(brush((1.2, 1.9), (38.1, 27.3)))
    assert marked[1:28].any(1).all()
    assert marked[:, 1:39].any(0).all()


def test_a_line_beyond_the_photo_is_cut_off():
    points = [(-100_000.0, 12.2), (200_000.0, 14.9)]
    assert np.array_equal(marks(brush(*points, size=6)), distances(points, SIZE) <= 3)
    assert not marks(brush((-50, -50), (-20, 60), size=20), box((-9, -9), (0, 0)), box((40, 3), (60, 9))).any()
    assert not marks(lasso((50, 50), (60, 50), (60, 60))).any()


def test_a_box_is_exact():
    expected = np.zeros(SIZE, dtype=bool)
    expected[3:9, 5:12] = True
    for corners in [((5, 3), (12, 9)), ((12, 9), (5, 3)), ((12, 3), (5, 9)), ((5.4, 2.6), (11.6, 9.4))]:
        assert np.array_equal(marks(box(*corners)), expected)
    assert marks(box((-5, -5), (100, 100))).all()


@pytest.mark.parametrize("at", [3.1, 3.6, 4.5, 29.7])
def test_a_box_too_small_for_a_centre_marks_the_pixel_that_it_lies_in(at):
    """Also the last one of a row or a column."""
    assert pixels(marks(box((at, at), (at + 0.1, at + 0.1)))) == {(int(at), int(at))}


def test_a_lasso_marks_the_pixels_whose_centres_it_encloses():
    for count in (3, 8, 40):
        points = RNG.uniform((-10, -10), (50, 40), (count, 2)).tolist()
        assert np.array_equal(marks(lasso(*points)), inside(points, SIZE))
    square = lasso((5, 3), (12, 3), (12, 9), (5, 9))
    assert np.array_equal(marks(square), marks(box((5, 3), (12, 9))))


def test_a_lasso_around_a_large_object_is_quick():
    """A person's line has some hundred points, and is painted anew with each stroke that follows."""
    turns = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    points = np.stack([1000 + 990 * np.cos(turns), 1000 + 990 * np.sin(turns)], -1).tolist()
    began = process_time()
    marked = marks(lasso(*points), size=(2000, 2000))
    assert process_time() - began < 2
    assert marked.mean() == pytest.approx(np.pi * 0.495**2, abs=1e-3)


def test_erasing():
    whole = box((0, 0), (40, 30))
    for stroke in (brush((9.2, 9.7), (30, 20), size=7), box((3, 4), (9, 9)), lasso((3, 3), (30, 5), (9, 25))):
        erased = stroke.model_copy(update={"erase": True})
        assert np.array_equal(marks(whole, erased), ~marks(stroke))
        assert not marks(erased).any()


def test_clearing_and_inverting():
    dot, clear, invert = brush((7.5, 4.5)), Whole(tool="clear"), Whole(tool="invert")
    assert not marks(dot, clear).any()
    assert np.array_equal(marks(dot, invert), ~marks(dot))
    assert np.array_equal(marks(dot, invert, invert), marks(dot))
    assert marks(invert).all()


def test_mask_files():
    file, files = File(tool="file", file="1"), {"1": HALF}
    assert np.array_equal(marks(file, files=files), HALF)
    both = marks(brush((3, 3), size=5), file, files=files)
    assert np.array_equal(both, HALF | marks(brush((3, 3), size=5)))
    marks(file, Whole(tool="clear"), files=files)
    assert HALF[:, 20:].all()  # the file itself stays as it was
    with pytest.raises(KeyError):
        marks(file)


def test_the_order_of_strokes_matters():
    add, erase = box((5, 5), (15, 15)), box((10, 10), (20, 20), erase=True)
    assert np.array_equal(marks(erase, add), marks(add))
    assert np.array_equal(marks(add, erase), marks(add) & ~marks(box((10, 10), (20, 20))))


def test_no_strokes_mark_nothing():
    assert not marks().any()
    assert marks().shape == SIZE


points = st.tuples(st.floats(-20, 60), st.floats(-20, 60))
several = st.lists(points, min_size=3, max_size=6)
strokes = st.one_of(
    st.builds(Brush, tool=st.just("brush"), size=st.floats(1, 50), points=several, erase=st.booleans()),
    st.builds(Lasso, tool=st.just("lasso"), points=several, erase=st.booleans()),
    st.builds(Rectangle, tool=st.just("box"), points=st.tuples(points, points), erase=st.booleans()),
    st.builds(Whole, tool=st.sampled_from(["clear", "invert"])),
    st.just(File(tool="file", file="half")),
)


@given(st.lists(strokes, min_size=1, max_size=6))
@settings(max_examples=60)
def test_strokes_at_once_and_one_after_the_other_are_the_same(many):
    step_by_step = np.zeros(SIZE, dtype=bool)
    for stroke in many:
        so_far = File(tool="file", file="so far")
        step_by_step = marks(so_far, stroke, files={"half": HALF, "so far": step_by_step})
    assert np.array_equal(marks(*many, files={"half": HALF}), step_by_step)


@pytest.mark.parametrize(
    "stroke",
    [
        {"tool": "pen", "points": [[1, 1]]},
        {"tool": "brush", "size": 0.5, "points": [[1, 1]]},
        {"tool": "brush", "size": 5000, "points": [[1, 1]]},
        {"tool": "brush", "size": 5, "points": []},
        {"tool": "brush", "size": 5, "points": [[1]]},
        {"tool": "brush", "size": 5, "points": [[float("nan"), 1]]},
        {"tool": "brush", "size": 5, "points": [[float("inf"), 1]]},
        {"tool": "brush", "size": 5, "points": [[1e300, 1]]},
        {"tool": "lasso", "points": [[1, 1], [2, 2]]},
        {"tool": "box", "points": [[1, 1]]},
        {"tool": "file"},
        {},
    ],
)
def test_what_is_no_stroke(stroke):
    with pytest.raises(ValidationError):
        TypeAdapter(Stroke).validate_python(stroke)
