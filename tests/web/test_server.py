import io
import json
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from inpaint.errors import UserError
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import read_photo
from inpaint.photo.masks import as_mask
from inpaint.web.files import plain_name
from inpaint.web.server import EXAMPLE
from inpaint.web.strokes import paint as paint_over
from tests.photo.test_inpainter import network_file
from tests.web.helpers import (
    BOX,
    SIZE,
    begin,
    by_command,
    deep_png,
    encoded,
    events,
    fill_command,
    filled,
    jpeg,
    marked,
    mask,
    paint,
    painted_box,
    pixels,
    png,
    running,
    until_over,
)

MOST = 100_000  # pixels that these servers take


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


@pytest.fixture(scope="module")
def server(tmp_path_factory, net):
    with running(tmp_path_factory.mktemp("server"), content=str(net), max_pixels=MOST, more=" --told") as made:
        yield made


@pytest.fixture(scope="module")
def client(server):
    with server.client as made:
        yield made


def fill(client, files, preset="instant", **data):
    answer = client.post("/api/fill", files=files, data={"preset": preset} | data)
    assert answer.status_code == 200, answer.text
    return answer


def refusal(answer, status=422):
    """The one sentence that says why not."""
    assert answer.status_code == status, answer.content[:300]
    assert answer.json().keys() == {"detail"}
    sentence = answer.json()["detail"]
    assert isinstance(sentence, str)
    assert "\n" not in sentence
    return sentence


def test_about(client):
    about = client.get("/api/about").json()
    assert about["device"] == "cpu"
    assert about["max_pixels"] == MOST
    assert about["max_bytes"] == 4 * MOST
    assert {".jpg", ".png", ".tif", ".heic"} <= set(about["accept"].split(","))
    assert about["presets"] == ["instant", "default", "best"]


@pytest.mark.parametrize(
    ("name", "target", "kind", "data"),
    [
        ("Ferien am Meer.JPG", "Ferien am Meer_filled.JPG", "image/jpeg", {}),
        ("deep.png", "deep_filled.png", "image/png", {"seed": 2}),
        ("deep.png", "deep_filled.png", "image/png", {"invert": "true", "dilate": 3, "feather": 0}),
        ("Größe.tif", "Größe_filled.tif", "image/tiff", {}),
        ("drawn.gif", "drawn_filled.png", "image/png", {}),
        ("no_ending", "no_ending_filled.png", "image/png", {}),
    ],
)
def test_a_program_gets_what_the_command_writes(client, net, tmp_path, name, target, kind, data):
    """Byte for byte."""
    image = Image.fromarray(pixels())
    photo = {
        ".JPG": jpeg,
        ".tif": lambda: encoded(image, "TIFF"),
        ".gif": lambda: encoded(image, "GIF"),
    }.get(name[-4:], lambda: deep_png(tmp_path))()
    own = mask() if "invert" not in data else encoded(Image.fromarray(~marked()))
    (tmp_path / "mask.png").write_bytes(own)
    answer = fill(client, {"photo": (name, photo), "mask": ("mask.png", own)}, **data)

    options = [part for key, value in data.items() for part in (f"--{key}", value) if part != "true"]
    expected = by_command(
        tmp_path / "by", name, photo, "--mask", tmp_path / "mask.png", "--preset", "instant", "--content", net, *options
    )
    assert answer.content == expected
    assert answer.headers["content-type"] == kind
    assert named(answer) == target


def named(answer):
    """What a browser calls the file of an answer."""
    said = answer.headers["content-disposition"]
    found = re.fullmatch(r"""attachment; filename(="(?P<plain>[^"]+)"|\*=utf-8''(?P<coded>\S+))""", said)
    assert found, said
    return found["plain"] or unquote(found["coded"])


def test_boxes_and_more_canvas(client, net, tmp_path):
    boxes = ["10,10,20,20", "60,50,70,60"]
    answer = fill(client, {"photo": ("photo.png", png())}, box=boxes, expand="8,0,10%,0")
    options = ["--box", boxes[0], "--box", boxes[1], "--expand", "8,0,10%,0", "--preset", "instant", "--content", net]
    assert answer.content == by_command(tmp_path / "by", "photo.png", png(), *options)


def test_the_default_preset_is_the_commands(client, net, tmp_path):
    answer = client.post("/api/fill", files={"photo": ("photo.png", png())}, data={"box": "40,30,48,38"})
    expected = by_command(tmp_path / "by", "photo.png", png(), "--box", "40,30,48,38", "--content", net)
    assert answer.content == expected


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "Nothing says what to remove: give a mask, a box, or more canvas by expand."),
        ({"box": "1,2,3"}, "1,2,3 is not four whole numbers"),
        ({"box": "5,5,5,9"}, "The box 5,5,5,9 is empty"),
        ({"box": "0,0,500,9"}, "The box 0,0,500,9 reaches outside the photo, which is 96 x 72 pixels"),
        ({"box": "0,0,96,72"}, "marks the whole photo"),
        ({"expand": "a lot"}, "a lot"),
        ({"expand": "5000,0,0,5000"}, f"{MOST}"),
        ({"box": "1,1,9,9", "seed": "-1"}, "The field seed is wrong: input should be "),
        ({"box": "1,1,9,9", "seed": "much"}, "The field seed is wrong: input should be "),
        ({"box": "1,1,9,9", "preset": "worst"}, "The field preset is wrong: input should be "),
        ({"box": "1,1,9,9", "dilate": "-3"}, "The field dilate is wrong: input should be "),
    ],
)
def test_wishes_that_cannot_be_done(client, data, sentence):
    answer = client.post("/api/fill", files={"photo": ("photo.png", png())}, data={"preset": "instant"} | data)
    assert sentence in refusal(answer)


def test_inverting_no_mask_is_refused_as_by_the_command(client):
    answer = client.post("/api/fill", files={"photo": ("a.png", png())}, data={"box": "1,1,9,9", "invert": "true"})
    assert "invert" in refusal(answer)


def test_a_program_that_sends_no_photo_is_told_so(client):
    missing = "The field photo is missing."
    assert refusal(client.post("/api/fill", data={"box": "1,1,9,9"})) == missing
    assert refusal(client.post("/api/sessions")) == missing
    answer = client.post("/api/fill", data={"photo": "photo.png", "box": "1,1,9,9"})
    assert refusal(answer) == "The field photo is no file."


def test_sentences_are_plain(client):
    """Also those for what no person would send."""
    session = begin(client)
    strokes = f"{session}/steps/0/strokes"
    headers = {"content-type": "application/json"}
    for answer, status, sentence in (
        (client.get("/nothing"), 404, "There is nothing at this address."),
        (client.get("/api/nothing"), 404, "There is nothing at this address."),
        (client.get("/page/nothing.js"), 404, "There is nothing at this address."),
        (client.delete("/api/about"), 405, "This address takes no requests of this kind."),
        (client.put(strokes, content=b"no json", headers=headers), 422, "The request is no JSON."),
        (client.put(strokes, content=b"", headers=headers), 422, "The request is empty."),
        (client.put(strokes, content=b"[" * 100_000, headers=headers), 400, "The request cannot be read."),
        (client.put(strokes, json={}), 422, "The field strokes is missing."),
        (client.put(strokes, json={"strokes": 5}), 422, "The field strokes is wrong: input should be a valid list."),
        (
            client.get(f"{session}/steps/first/picture"),
            422,
            "The field step is wrong: input should be a valid integer, unable to parse string as an integer.",
        ),
    ):
        assert refusal(answer, status) == sentence


def opened(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def bad_photos():
    image = Image.fromarray(pixels())
    other = Image.fromarray(255 - pixels())
    return {
        "a text.txt": b"no picture at all",
        "a text.jpg": b"no picture at all",
        "empty.png": b"",
        "cut short.jpg": jpeg()[:1500],
        "cut short.png": png()[:3000],
        "an animation.gif": encoded(image, "GIF", save_all=True, append_images=[other]),
        "floats.tif": encoded(Image.fromarray(pixels(channels=1)[..., 0].astype(np.float32)), "TIFF"),
        "pages.tiff": encoded(image, "TIFF", save_all=True, append_images=[other]),
        "a header.tif": b"II\x2a\0 and nothing",
        "large.png": encoded(Image.new("L", (400, 300))),
    }


def bad_masks():
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    photos = {name: content for name, content in bad_photos().items() if name != "floats.tif"}
    return photos | {
        "of another size.png": mask(size=(72, 95)),
        "none.png": mask((0, 0, 0, 0)),
        "all.png": mask((0, 0, 96, 72)),
        "Möwe.png": encoded(Image.fromarray(noise)),
        "levels.png": encoded(Image.fromarray((np.indices(SIZE).sum(0) % 5).astype(np.uint8))),
    }


def sentence_of(read, path, content):
    """What `inpaint.fill` says of a file, which it calls by its name."""
    path.write_bytes(content)
    with pytest.raises(UserError) as told:
        read(path)
    return str(told.value).replace(str(path), path.name)


@pytest.mark.parametrize("name", bad_photos())
def test_bad_photos_are_refused_in_the_commands_words(server, client, tmp_path, name):
    content = bad_photos()[name]
    expected = sentence_of(lambda path: read_photo(path, MOST), tmp_path / name, content)
    assert name in expected
    expected = expected.replace(name, plain_name(name))
    before = server.files
    answer = client.post("/api/fill", files={"photo": (name, content)}, data={"box": "1,1,9,9", "preset": "instant"})
    assert refusal(answer) == expected
    assert refusal(client.post("/api/sessions", files={"photo": (name, content)})) == expected
    assert server.files == before  # nothing of it is left


@pytest.mark.parametrize("name", bad_masks())
def test_bad_masks_are_refused_in_the_commands_words(client, tmp_path, name):
    content = bad_masks()[name]
    expected = sentence_of(lambda path: as_mask(path, SIZE, max_pixels=MOST), tmp_path / name, content)
    assert name in expected
    expected = expected.replace(name, plain_name(name))
    files = {"photo": ("photo.png", png()), "mask": (name, content)}
    assert refusal(client.post("/api/fill", files=files, data={"preset": "instant"})) == expected
    session = begin(client)
    assert refusal(client.post(f"{session}/steps/0/masks", files={"mask": (name, content)})) == expected


def test_two_bad_files_of_one_name_and_none(client):
    """The photo is looked at first; what has no name is called what it is."""
    files = {"photo": ("same.png", png()), "mask": ("same.png", mask((0, 0, 0, 0)))}
    assert refusal(client.post("/api/fill", files=files)).startswith("same.png marks nothing")
    files = {"photo": ("photo.png", png()), "mask": ("..", mask((0, 0, 0, 0)))}
    assert refusal(client.post("/api/fill", files=files)).startswith("mask marks nothing")


def test_transparency_that_the_format_cannot_keep(client, tmp_path):
    clear = Image.fromarray(pixels(channels=4))
    answer = client.post(
        "/api/fill", files={"photo": ("clear.gif", encoded(clear))}, data={"box": "1,1,9,9", "preset": "instant"}
    )
    assert named(answer) == "clear_filled.png"
    answer = client.post("/api/fill", files={"photo": ("clear.bmp", encoded(clear))}, data={"box": "1,1,9,9"})
    assert answer.status_code == 200
    answer = client.post("/api/fill", files={"photo": ("clear.jpg", encoded(clear))}, data={"box": "1,1,9,9"})
    assert refusal(answer) == "The photo has transparency, which .jpg cannot keep: write a .png instead."


def test_the_whole_life_of_a_session(server, client, net, tmp_path):
    before = server.files
    session = begin(client, "Haus am See.JPG", jpeg())
    here = client.get(session).json()
    (step,) = here["steps"]
    assert (step["name"], step["width"], step["height"]) == ("Haus am See.JPG", 96, 72)  # upright
    assert (step["strokes"], step["mask"], step["results"], here["fill"]) == ([], None, [], None)
    shown = client.get(f"{session}/steps/0/picture")
    assert shown.headers["content-type"] == "image/jpeg"
    assert opened(shown).size == (96, 72)

    refusal(client.get(f"{session}/steps/0/overlay.png"), 404)
    refusal(client.get(f"{session}/steps/0/mask.png"), 404)
    refusal(client.post(f"{session}/steps/0/fill", json={}))

    masked = paint(client, session, painted_box())
    weights = enlarge(marked()).weights
    left, top, right, bottom = masked["box"]
    assert (weights[top:bottom, left:right] > 0).any(0).all()
    assert np.count_nonzero(weights) == np.count_nonzero(weights[top:bottom, left:right])
    assert masked["marked"] == pytest.approx(marked().mean())
    assert masked["share"] == pytest.approx((weights > 0).mean())
    assert masked["lines"] == ["enlarged by 1 pixel"]
    assert masked["problem"] is None
    overlay = opened(client.get(f"{session}/steps/0/overlay.png")).convert("RGBA")
    assert overlay.size == (right - left, bottom - top)
    opacity = np.asarray(overlay)[..., 3]
    there, weights = marked()[top:bottom, left:right], weights[top:bottom, left:right]
    assert (opacity[there] == 140).all()
    assert np.abs(opacity[~there] - weights[~there] / 255 * 80).max() <= 1
    kept = client.get(f"{session}/steps/0/mask.png")
    assert named(kept) == "Haus am See_mask.png"
    assert np.array_equal(np.asarray(opened(kept)) > 0, marked())

    heard = filled(client, session, preset="default", variants=2)
    assert {event["fill"]["of"] for event in heard} == {2}
    shares = [event["fill"]["share"] for event in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    previews = [event["results"] for event in heard if event["results"] and event["results"][0]["preview"]]
    assert all(len(results) == 1 for results in previews)  # alone, and gone when there is a better one
    results = heard[-1]["results"]
    assert [result["preview"] for result in results] == [False, False]
    assert [result["seed"] for result in results] == [0, 1]
    assert [result["number"] for result in results] == [1, 2]
    assert all(result["ready"] for result in results)

    (tmp_path / "mask.png").write_bytes(kept.content)
    options = ["--mask", tmp_path / "mask.png", "--content", net]
    for result in results:
        at = f"{session}/steps/0/results/{result['number']}"
        assert result["name"] == "Haus am See_filled.JPG"
        seed = ["--seed", str(result["seed"])] if result["seed"] else []
        command = ["python", "-m", "inpaint.fill", "Haus am See.JPG", "--mask", "Haus am See_mask.png", *seed]
        assert shlex.split(result["command"]) == [*command, "--device", "cpu", "--told"]
        file = client.get(f"{at}/file")
        assert named(file) == "Haus am See_filled.JPG"
        assert file.headers["content-type"] == "image/jpeg"
        assert file.content == by_command(tmp_path / f"by_{result['seed']}", step["name"], jpeg(), *options, *seed)
        left, top, right, bottom = result["box"]
        assert opened(client.get(f"{at}/picture")).size == (right - left, bottom - top)
        assert client.get(f"{at}/mask").content == kept.content
        report = client.get(f"{at}/report")
        assert named(report) == "Haus am See_filled.json"
        (photo,) = report.json()["photos"]
        assert (photo["photo"], photo["output"]) == ("Haus am See.JPG", "Haus am See_filled.JPG")
        assert (photo["seed"], photo["size"]) == (result["seed"], [96, 72])
        assert report.json()["preset"] == "default"
        assert str(server.temporary) not in report.text
    refusal(client.get(f"{session}/steps/0/results/0/file"), 404)  # the preview
    first = client.get(f"{session}/steps/0/results/1/file").content

    went_on = client.post(f"{session}/steps/0/results/1/next").json()
    assert [one["name"] for one in went_on["steps"]] == ["Haus am See.JPG", "Haus am See_filled.JPG"]
    assert went_on["steps"][0]["strokes"] == [painted_box() | {"points": [[40, 30], [56, 44]], "erase": False}]
    assert went_on["steps"][1]["strokes"] == []
    paint(client, session, painted_box((5, 5, 12, 12)), step=1)
    (result,) = filled(client, session, step=1)[-1]["results"]
    assert result["name"] == "Haus am See_filled_2.JPG"
    words = shlex.split(result["command"])
    assert words[3] == "Haus am See_filled.JPG"
    assert words[words.index("-o") + 1] == "Haus am See_filled_2.JPG"
    (tmp_path / "mask.png").write_bytes(client.get(f"{session}/steps/1/mask.png").content)
    second = by_command(tmp_path / "by_2", "Haus am See_filled.JPG", first, *options, "--preset", "instant")
    assert client.get(f"{session}/steps/1/results/0/file").content == second

    again = client.post(f"{session}/steps/0/results/2/next").json()  # a step back, and on by the other variant
    assert [step["number"] for step in again["steps"]] == [0, 2]
    assert again["steps"][1]["results"] == []
    assert again["steps"][1]["mask"] is None
    assert again["steps"][1]["name"] == "Haus am See_filled.JPG"
    refusal(client.get(f"{session}/steps/1/results/0/file"), 404)
    refusal(client.get(f"{session}/steps/1/picture"), 404)

    assert client.delete(session).status_code == 204
    refusal(client.get(session), 404)
    assert server.files == before


def test_a_step_that_was_forgotten_leaves_no_results_to_the_one_in_its_place(client):
    """A page that listens would show them over another photo."""
    session = begin(client)
    paint(client, session)
    (result,) = filled(client, session)[-1]["results"]
    client.post(f"{session}/steps/0/results/{result['number']}/next")
    paint(client, session, painted_box((5, 5, 12, 12)), step=1)
    filled(client, session, step=1)
    here = client.post(f"{session}/steps/0/results/{result['number']}/next").json()
    assert here["fill"] is None
    assert next(events(client, session)) == {"fill": None, "results": []}


def test_what_cannot_be_filled_is_a_problem_of_the_mask(client):
    session = begin(client)
    masked = paint(client, session, {"tool": "invert"})
    assert "marks the whole photo" in masked["problem"]
    assert refusal(client.post(f"{session}/steps/0/fill", json={})) == masked["problem"]
    masked = paint(client, session, painted_box((1, 0, 96, 72)))
    assert "covers the whole photo" in masked["problem"]
    assert refusal(client.post(f"{session}/steps/0/fill", json={})) == masked["problem"]
    assert paint(client, session, painted_box(), {"tool": "clear"}) is None
    assert "Nothing is marked" in refusal(client.post(f"{session}/steps/0/fill", json={}))


def test_a_mask_file_is_a_stroke(client):
    session = begin(client)
    file = client.post(f"{session}/steps/0/masks", files={"mask": ("mine.png", mask())}).json()["file"]
    masked = paint(client, session, {"tool": "file", "file": file})
    assert masked["marked"] == pytest.approx(marked().mean())
    strokes = {"strokes": [{"tool": "file", "file": "7"}]}
    assert "7" in refusal(client.put(f"{session}/steps/0/strokes", json=strokes), 404)
    assert client.get(session).json()["steps"][0]["strokes"] == [{"tool": "file", "file": file}]


@pytest.mark.parametrize(
    "body",
    [
        b'{"strokes": [{"tool": "pen", "points": [[1, 1]]}]}',
        b'{"strokes": [{"tool": "brush", "size": 0, "points": [[1, 1]]}]}',
        b'{"strokes": [{"tool": "brush", "size": 5, "points": [[NaN, 1]]}]}',
        b'{"strokes": [{"tool": "brush", "size": 5, "points": [[1e999, 1]]}]}',
        b'{"strokes": [{"tool": "brush", "size": 5, "points": [["\\ud800", 1]]}]}',
        b'{"strokes": [{"tool": "lasso", "points": []}]}',
        b'{"strokes": 5}',
        b"[]",
        b"{}",
        b"",
        b"no json",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_strokes_of_a_wrong_kind(client, body):
    session = begin(client)
    headers = {"content-type": "application/json"}
    answer = client.put(f"{session}/steps/0/strokes", content=body, headers=headers)
    refusal(answer, answer.status_code if answer.status_code == 400 else 422)


def test_too_many_points_are_refused(client):
    session = begin(client)
    stroke = {"tool": "brush", "size": 2, "points": [[1, 1]] * 50_001}
    answer = client.put(f"{session}/steps/0/strokes", json={"strokes": [stroke] * 2})
    assert "100000 points" in refusal(answer)


def test_strokes_that_would_take_long_are_refused(client):
    session = begin(client, "tall.png", png((4000, 20)))
    stroke = {"tool": "brush", "size": 4000, "points": [[1, 1], [19, 3999]] * 6000}
    files = {"mask": ("mask.png", mask((2, 2, 9, 900), (4000, 20)))}
    uploaded = client.post(f"{session}/steps/0/masks", files=files).json()["file"]
    answer = client.put(f"{session}/steps/0/strokes", json={"strokes": [stroke]})
    assert refusal(answer) == (
        "The strokes are too many and too large to be painted: save the mask, press Clear, load it, and go on."
    )
    assert client.get(session).json()["steps"][0]["strokes"] == []
    more = [stroke, {"tool": "clear"}, {"tool": "file", "file": uploaded}]  # as the sentence says
    assert paint(client, session, *more)["marked"] > 0


def test_only_strokes_that_came_are_painted(client, monkeypatch):
    """An undo paints all anew, and what is marked is the same in either case."""
    painted = []
    monkeypatch.setattr(
        "inpaint.web.steps.paint",
        lambda marked, strokes, files: (painted.append(len(strokes)), paint_over(marked, strokes, files)),
    )
    session = begin(client)
    one, two, swap = painted_box(), painted_box((5, 5, 12, 12)), {"tool": "invert"}
    shares = [
        paint(client, session, *strokes)["marked"] for strokes in ([one], [one, two], [one, two, swap], [one, two])
    ]
    assert painted == [1, 1, 1, 2]
    assert shares[1] == shares[3] == pytest.approx((marked() | marked((5, 5, 12, 12))).mean())
    assert shares[2] == pytest.approx(1 - shares[1])
    assert paint(client, session, one, two)["marked"] == shares[1]
    assert painted[-1] == 0
    assert paint(client, session, two, one)["marked"] == shares[1]
    assert painted[-1] == 2


def test_what_is_not_there(client):
    session = begin(client)
    paint(client, session)
    for answer in (
        client.get("/api/sessions/nobody"),
        client.delete("/api/sessions/nobody"),
        client.get("/api/sessions/nobody/events"),
        client.get("/api/sessions/nobody/steps/0/picture"),
        client.get(f"{session}/steps/1/picture"),
        client.get(f"{session}/steps/-1/picture"),
        client.put(f"{session}/steps/9/strokes", json={"strokes": []}),
        client.post(f"{session}/steps/1/fill", json={}),
        client.get(f"{session}/steps/0/results/0/file"),
        client.post(f"{session}/steps/0/results/5/next"),
        client.post(f"{session}/steps/0/results/{10**30}/next"),
    ):
        refusal(answer, 404)
    assert client.delete(f"{session}/fill").json() is None  # nothing to cancel


def test_a_page_that_is_loaded_anew_in_the_middle_sees_what_there_is(server, client):
    """While another photo's fill is at work, this one waits: strokes, fill and place are told anew."""
    with server.busy() as go_on:
        session = begin(client)
        paint(client, session)
        first = client.post(f"{session}/steps/0/fill", json={"preset": "instant"}).json()
        assert first["place"] == 1
        here = client.get(session).json()
        assert here["fill"] == first
        assert here["fill"]["state"] == "waiting"
        assert here["steps"][0]["strokes"]
        assert here["steps"][0]["mask"]["version"] == 1
        go_on()
        heard = until_over(client, session)
    assert heard[-1]["fill"]["state"] == "done"
    assert client.get(session).json()["steps"][0]["results"] == heard[-1]["results"]


def test_what_was_cancelled_shows_no_results(server, client):
    session = begin(client)
    paint(client, session)
    with server.busy():
        client.post(f"{session}/steps/0/fill", json={"preset": "instant"})
        state = client.delete(f"{session}/fill").json()
        assert state["state"] == "cancelled"
    assert client.get(session).json()["fill"]["state"] == "cancelled"
    assert client.get(session).json()["steps"][0]["results"] == []
    refusal(client.get(f"{session}/steps/0/results/0/file"), 404)
    assert filled(client, session)[-1]["fill"]["done"] == 1  # it may be filled after all


def test_a_fill_takes_the_place_of_the_one_before(server, client):
    session = begin(client)
    paint(client, session)
    with server.busy():
        client.post(f"{session}/steps/0/fill", json={"preset": "instant", "variants": 4})
        client.post(f"{session}/steps/0/fill", json={"preset": "instant"})
    last = until_over(client, session)[-1]
    assert (last["fill"]["of"], last["fill"]["done"]) == (1, 1)
    assert len(client.get(session).json()["steps"][0]["results"]) == 1


def test_what_is_painted_meanwhile_does_not_change_a_fill(server, client):
    session = begin(client)
    paint(client, session)
    with server.busy():
        client.post(f"{session}/steps/0/fill", json={"preset": "instant"})
        paint(client, session, painted_box((5, 5, 12, 12)))
    last = until_over(client, session)[-1]
    number = last["results"][0]["number"]
    used = opened(client.get(f"{session}/steps/0/results/{number}/mask"))
    assert np.array_equal(np.asarray(used) > 0, marked(BOX))


def test_a_program_that_goes_away_is_not_waited_for(server, client):
    """Its fill leaves the queue, and its files go."""
    before = server.files
    with server.busy():
        with suppress(httpx.TimeoutException):
            httpx.post(
                f"{server.url}/api/fill",
                files={"photo": ("photo.png", png())},
                data={"box": "1,1,9,9"},
                timeout=httpx.Timeout(30, read=0.5),
                trust_env=False,
            )
        deadline = time.monotonic() + 20
        while any(not task.over for task in server.queue.tasks[1:]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(task.over for task in server.queue.tasks[1:])
    while server.files != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.files == before


def test_what_a_program_sends_is_refused_before_it_is_read_into_memory(client, monkeypatch):
    """A large mask beside a small photo, and a canvas that is too large."""

    class Memory:
        available = 2**30 + 60 * 96 * 72

    read = []
    monkeypatch.setattr("inpaint.photo.masks.read_values", lambda *_: read.append("mask"))
    monkeypatch.setattr("inpaint.web.room.psutil.virtual_memory", lambda: Memory)
    large = mask(size=(300, 330))  # which is not too large by itself
    answer = client.post("/api/fill", files={"photo": ("photo.png", png()), "mask": ("large.png", large)})
    assert "large.png is 330 x 300 pixels" in refusal(answer)
    answer = client.post("/api/fill", files={"photo": ("photo.png", png())}, data={"expand": "100,100,100,100"})
    assert "GiB of memory" in refusal(answer)
    assert read == []


def test_memory_is_asked_for_again_when_a_programs_turn_comes(client, monkeypatch):
    asked = []

    def check(path, max_pixels, margins):
        asked.append(path)
        if len(asked) == 2:
            raise UserError(f"{path} does not fit any more.")

    monkeypatch.setattr("inpaint.web.programs.check_memory", check)
    answer = client.post("/api/fill", files={"photo": ("photo.png", png())}, data={"box": "1,1,9,9"})
    assert refusal(answer) == "photo.png does not fit any more."


def test_a_result_that_a_program_cannot_be_given(server, client, monkeypatch):
    """The disk is full by then, say."""
    before = server.files

    def fails(photo, path):
        raise UserError(f"{path} could not be written: No space left on device.")

    monkeypatch.setattr("inpaint.fill.run.write_photo", fails)
    answer = client.post(
        "/api/fill", files={"photo": ("photo.png", png())}, data={"box": "1,1,9,9", "preset": "instant"}
    )
    assert refusal(answer) == "photo_filled.png could not be written: No space left on device."
    assert server.files == before


def no_room(answer):
    """Why there is no room, and that one may ask again."""
    assert int(answer.headers["retry-after"]) > 0
    return refusal(answer, 503)


def test_there_is_no_room(server, client, monkeypatch):
    """For a file, another fill or another page: all that may be different in a while."""
    full = "The server's disk is full: try again in a while."
    session = begin(client)
    paint(client, session)
    files = {"photo": ("photo.png", png())}

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("inpaint.web.files.shutil.copyfileobj", fails)
        assert no_room(client.post("/api/sessions", files=files)) == full
    with monkeypatch.context() as patched:
        patched.setattr("inpaint.web.filling.shutil.copyfile", fails)
        assert no_room(client.post(f"{session}/steps/0/fill", json={})) == full
    with monkeypatch.context() as patched:
        patched.setattr("starlette.datastructures.UploadFile.write", fails)
        assert no_room(client.post("/api/sessions", files=files)) == full
    with monkeypatch.context() as patched:
        patched.setattr("inpaint.web.work.MOST_WAITING", 0)
        assert "fills wait already" in no_room(client.post(f"{session}/steps/0/fill", json={}))
        assert "fills wait already" in no_room(client.post("/api/fill", files=files, data={"box": "1,1,9,9"}))
    with monkeypatch.context() as patched:
        patched.setattr("inpaint.web.sessions.MOST_SESSIONS", 0)
        assert "pages are open already" in no_room(client.post("/api/sessions", files=files))
    described = client.get("/openapi.json").json()
    for operations in described["paths"].values():
        for operation in operations.values():
            assert "Retry-After" in operation["responses"]["503"]["headers"]


def test_requests_that_wait_hold_up_nobody(server, client):
    """Many wait for files that are still written, and for a lock."""
    with server.busy(), ThreadPoolExecutor(60) as pool:
        session = begin(client)
        paint(client, session)
        own = server.sessions.all[session.rpartition("/")[2]]
        with own.lock:
            waiting = [pool.submit(client.get, session) for _ in range(60)]
            time.sleep(1)  # until they wait
            began = time.monotonic()
            assert client.get("/api/about").status_code == 200
            assert client.delete(f"{session}/fill").json() is None
            assert time.monotonic() - began < 5
            assert not any(one.done() for one in waiting)
        assert {one.result(20).status_code for one in waiting} == {200}


def test_the_example(client):
    """It has more pixels than this server takes, and the sentence calls it by its name."""
    assert refusal(client.post("/api/sessions/example")).startswith(f"{EXAMPLE.name} declares ")


def test_the_page_and_the_description_of_the_api(client):
    for path, kind in [("/", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json")]:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
    assert json.dumps(client.get("/openapi.json").json())


@pytest.mark.parametrize("name", ["--it's $HOME.png", "list.txt", "photos.png.CSV", "-o"])
def test_the_command_that_is_shown_can_be_typed(client, net, tmp_path, monkeypatch, name):
    """Whatever the photo is called."""
    session = begin(client, name)
    paint(client, session)
    (first,) = filled(client, session)[-1]["results"]
    client.post(f"{session}/steps/0/results/{first['number']}/next")
    paint(client, session, painted_box((5, 5, 12, 12)), step=1)
    (second,) = filled(client, session, step=1)[-1]["results"]
    monkeypatch.chdir(tmp_path)
    steps = client.get(session).json()["steps"]
    Path(steps[0]["name"]).write_bytes(png())
    for step, result in zip(steps, (first, second), strict=True):
        words = shlex.split(result["command"])[3:-1]
        mask_file = Path(words[words.index("--mask") + 1])
        mask_file.write_bytes(client.get(f"{session}/steps/{step['number']}/mask.png").content)
        done = CliRunner().invoke(fill_command, [*words, "--content", str(net)])
        assert done.exit_code == 0, done.output
        file = client.get(f"{session}/steps/{step['number']}/results/{result['number']}/file")
        assert (tmp_path / result["name"]).read_bytes() == file.content


def test_a_photo_longer_than_a_jpeg_can_be_is_shown(client):
    session = begin(client, "long.png", png((1, 70_000)))
    answer = client.get(f"{session}/steps/0/picture")
    assert answer.status_code == 200, answer.text
    shown = Image.open(io.BytesIO(answer.content))
    assert shown.width == 17_500


def test_a_field_that_there_is_not_is_named(client):
    """A misspelt seed would else be passed over in silence."""
    answer = client.post("/api/fill", files={"photo": ("a.png", png()), "mask": ("m.png", mask())}, data={"sed": "3"})
    assert answer.status_code == 422
    assert refusal(answer).startswith("There is no field sed: the fields are box, dilate, expand,")


def test_fields_left_as_the_documentation_shows_them_change_nothing(client):
    """Its examples are sent by who tries it out there."""
    schema = client.get("/openapi.json").json()
    (name,) = (name for name in schema["components"]["schemas"] if name.startswith("Body_fill"))
    properties = schema["components"]["schemas"][name]["properties"]
    shown = {field: one["examples"][0] for field, one in properties.items() if "examples" in one}
    assert shown == {"box": [], "expand": "", "dilate": "", "feather": ""}
    files = {"photo": ("a.png", png()), "mask": ("m.png", mask())}
    plain, tried = (client.post("/api/fill", files=files, data=data) for data in ({}, shown))
    assert tried.status_code == 200, tried.text
    assert tried.content == plain.content
