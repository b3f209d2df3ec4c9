import io
import threading
import time

import pytest
from PIL import Image

from inpaint.errors import UserError
from inpaint.fill import run
from inpaint.web import answers, sessions
from inpaint.web.filling import Inpainters
from inpaint.web.sessions import ALONE, IDLE, MOST_SESSIONS, MOST_STEPS, PATIENCE, Session, Sessions
from inpaint.web.steps import MOST_MASKS, Missing
from inpaint.web.strokes import Rectangle
from inpaint.web.work import MOST_WAITING, Queue, Task
from tests.photo.test_inpainter import network_file
from tests.web.helpers import PATIENCE as TOO_LONG
from tests.web.helpers import SIZE, begin, encoded, events, filled, mask, paint, pixels, png, running

BOX = Rectangle(tool="box", points=((40, 30), (56, 44)))


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


@pytest.fixture(scope="module")
def inpainters(net):
    return Inpainters({"content": str(net), "max_pixels": 100_000}, ["cpu"])


@pytest.fixture
def queue():
    made = Queue(["cpu"])
    yield made
    made.close()


@pytest.fixture
def all_sessions(tmp_path, queue, inpainters):
    (tmp_path / "sessions").mkdir()
    made = Sessions(tmp_path / "sessions", lambda name, folder: Session(name, folder, queue, inpainters, ""))
    yield made
    for name in list(made.all):
        made.forget(name)


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test sets."""

    class Clock:
        now = 10_000.0

    monkeypatch.setattr(sessions.time, "monotonic", lambda: Clock.now)
    return Clock


def begun(all_sessions, tmp_path):
    """A session with a photo over which a box is painted."""
    session = all_sessions.new()
    (tmp_path / "upload").write_bytes(png())
    session.begin(tmp_path / "upload", "photo.png", 100_000)
    session.steps[0].paint([BOX])
    return session


def wish(**options):
    return answers.Wish(preset="instant", **options)


class Busy:
    """Keeps a queue's device busy until it is told to go on."""

    def __init__(self, queue):
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.task = Task(self)
        queue.add(self.task)
        assert self.began.wait(TOO_LONG)

    def __call__(self, device, task):
        self.began.set()
        assert self.goes_on.wait(TOO_LONG)

    def finish(self):
        self.goes_on.set()
        self.task.ended.result(TOO_LONG)


def test_what_nobody_used_for_an_hour_is_forgotten(all_sessions, clock):
    old, new = all_sessions.new(), all_sessions.new()
    clock.now += IDLE - 1
    all_sessions.get(new.id)
    all_sessions.sweep()
    assert all_sessions.all.keys() == {old.id, new.id}
    clock.now += 2
    all_sessions.sweep()
    assert all_sessions.all.keys() == {new.id}
    assert not old.folder.exists()
    assert new.folder.exists()
    with pytest.raises(Missing, match="start again"):
        all_sessions.get(old.id)


def test_a_fill_of_more_than_an_hour_keeps_its_session(all_sessions, tmp_path, queue, clock):
    busy = Busy(queue)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    clock.now += IDLE + 1
    all_sessions.sweep()
    assert all_sessions.get(session.id) is session
    busy.finish()
    session.task.ended.result(TOO_LONG)


def test_a_page_that_was_closed_is_waited_for_a_little_and_its_fill_is_cancelled(all_sessions, tmp_path, queue, clock):
    busy = Busy(queue)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    session.left = clock.now
    clock.now += PATIENCE - 1
    all_sessions.sweep()
    assert session.task.state == "waiting"
    session.listeners = 1  # it was only loaded anew
    clock.now += PATIENCE
    all_sessions.sweep()
    assert session.task.state == "waiting"
    session.listeners = 0
    all_sessions.sweep()
    assert session.task.state == "cancelled"
    assert session.folder.exists()
    clock.now += ALONE
    all_sessions.sweep()
    assert session.id not in all_sessions.all
    assert not session.folder.exists()
    busy.finish()


def test_of_two_pages_of_a_session_one_may_be_closed(all_sessions, clock):
    session = all_sessions.new()
    session.listeners, session.left = 1, clock.now
    clock.now += IDLE - 1
    all_sessions.sweep()
    assert session.id in all_sessions.all


def test_so_many_sessions_and_no_more(all_sessions):
    for _ in range(MOST_SESSIONS):
        last = all_sessions.new()
    with pytest.raises(UserError, match="pages are open already: try again"):
        all_sessions.new()
    all_sessions.forget(last.id)
    all_sessions.new()


def test_so_many_steps_and_masks_and_no_more(all_sessions, tmp_path, monkeypatch):
    session = begun(all_sessions, tmp_path)
    monkeypatch.setattr(sessions, "MOST_STEPS", 1)
    (tmp_path / "upload").write_bytes(png())
    with pytest.raises(UserError, match="steps already"):
        session.begin(tmp_path / "upload", "photo.png", 100_000)
    assert MOST_STEPS > 20
    for number in range(MOST_MASKS):
        (tmp_path / "mask.png").write_bytes(mask())
        assert session.steps[0].upload_mask(tmp_path / "mask.png", "mask.png") == str(number + 1)
    with pytest.raises(UserError, match="masks already"):
        session.steps[0].upload_mask(tmp_path / "mask.png", "mask.png")


def test_names_of_sessions_cannot_be_guessed(all_sessions):
    names = {all_sessions.new().id for _ in range(50)}
    assert len(names) == 50
    assert all(len(name) >= 20 for name in names)


def test_a_fill_that_the_queue_does_not_take_is_none_that_waits(all_sessions, tmp_path, queue):
    """Nobody would ever run it; and what there was stays."""
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    session.task.ended.result(TOO_LONG)
    before = session.answer()
    busy = Busy(queue)
    others = [Task(lambda device, task: None) for _ in range(MOST_WAITING - 1)]
    for other in others:
        queue.add(other)
    with pytest.raises(UserError, match="wait already"):
        session.fill(session.steps[0], wish())
    busy.finish()
    for other in others:
        other.ended.result(TOO_LONG)
    assert session.state() is None or session.state().state != "waiting"
    assert [result.number for result in session.answer().steps[0].results] == [
        result.number for result in before.steps[0].results
    ]


class Slow:
    """Stands for an `Inpainter` that has done its last step, and does not ask any more whether it is wanted."""

    def __init__(self, real):
        self.real = real
        self.began, self.goes_on = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.real, name)

    def fill_photo(self, *arguments, **options):
        done = self.real.fill_photo(*arguments, **options)
        self.began.set()
        assert self.goes_on.wait(TOO_LONG)
        return done


@pytest.fixture
def slow(inpainters, monkeypatch):
    made = Slow(inpainters.get("instant", "cpu"))
    monkeypatch.setattr(inpainters, "get", lambda preset, device: made)
    return made


def test_what_was_cancelled_at_its_last_step_shows_no_result(all_sessions, tmp_path, slow):
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    assert slow.began.wait(TOO_LONG)
    session.cancel()
    slow.goes_on.set()
    session.task.ended.result(TOO_LONG)
    assert session.state().state == "cancelled"
    assert session.event().results == []


def test_what_was_forgotten_at_its_last_step_leaves_no_files(all_sessions, tmp_path, slow):
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    assert slow.began.wait(TOO_LONG)
    all_sessions.forget(session.id)
    slow.goes_on.set()
    session.task.ended.result(TOO_LONG)
    assert not session.folder.exists()
    assert list(all_sessions.folder.iterdir()) == []


def test_what_was_replaced_while_it_was_written_and_forgotten_leaves_no_files(all_sessions, tmp_path, monkeypatch):
    """The fill before the last one is still at work when the session goes."""
    began, goes_on = threading.Event(), threading.Event()
    write = run.write_photo

    def slow_write(photo, path):
        began.set()
        assert goes_on.wait(TOO_LONG)
        return write(photo, path)

    monkeypatch.setattr(run, "write_photo", slow_write)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    first = session.task
    assert began.wait(TOO_LONG)
    session.fill(session.steps[0], wish())
    all_sessions.forget(session.id)
    goes_on.set()
    for task in (first, session.task):
        task.ended.result(TOO_LONG)
    assert list(all_sessions.folder.iterdir()) == []


def test_files_of_fills_that_were_replaced_are_removed(all_sessions, tmp_path):
    """A person who tries a dozen masks on a large photo would fill the disk."""
    session = begun(all_sessions, tmp_path)
    counts = []
    for _ in range(3):
        session.fill(session.steps[0], wish())
        session.task.ended.result(TOO_LONG)
        counts.append(len(list(session.folder.rglob("*"))))
    assert counts[2] == counts[1]


def test_a_failure_calls_files_by_their_names(all_sessions, tmp_path, monkeypatch):
    def fails(photo, path):
        raise UserError(f"{path} could not be written: No space left on device.")

    monkeypatch.setattr(run, "write_photo", fails)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    session.task.ended.result(TOO_LONG)
    assert session.state().error == "photo_filled.png could not be written: No space left on device."


def test_a_fill_that_fails_leaves_no_result_that_never_comes(all_sessions, tmp_path, monkeypatch):
    def fails(photo, path):
        raise UserError("The disk is full.")

    monkeypatch.setattr(run, "write_photo", fails)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    session.task.ended.result(TOO_LONG)
    assert all(result.ready for result in session.event().results)


def test_a_photo_that_does_not_fit_into_memory_is_refused(all_sessions, tmp_path, monkeypatch):
    class Memory:
        available = 2**20

    monkeypatch.setattr("inpaint.web.steps.psutil.virtual_memory", lambda: Memory)
    with pytest.raises(UserError, match=r"^photo\.png has 96 x 72 pixels, for which about .* GiB .* make it smaller"):
        begun(all_sessions, tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory, net):
    with running(tmp_path_factory.mktemp("server"), content=str(net)) as made:
        yield made


def test_sessions_do_not_see_each_others_things(server):
    with server.client as client:
        mine, yours = begin(client, "mine.png"), begin(client, "yours.png", png((40, 50)))
        assert mine != yours
        file = client.post(f"{mine}/steps/0/masks", files={"mask": ("mask.png", mask())}).json()["file"]
        paint(client, mine, {"tool": "file", "file": file})
        strokes = {"strokes": [{"tool": "file", "file": file}]}
        assert client.put(f"{yours}/steps/0/strokes", json=strokes).status_code == 404
        (result,) = filled(client, mine)[-1]["results"]
        theirs = client.get(yours).json()
        assert theirs["fill"] is None
        assert (theirs["steps"][0]["strokes"], theirs["steps"][0]["results"]) == ([], [])
        assert client.get(f"{yours}/steps/0/results/{result['number']}/file").status_code == 404
        assert client.get(f"{yours}/steps/0/overlay.png").status_code == 404
        assert client.delete(yours).status_code == 204
        assert client.get(mine).status_code == 200
        client.delete(mine)


def test_a_page_that_listens_is_open_and_one_that_went_is_closed(server):
    with server.client as client:
        address = begin(client)
        session = server.sessions.all[address.rpartition("/")[2]]
        assert (session.listeners, session.left) == (0, None)
        listening = events(client, address)
        assert next(listening) == {"fill": None, "results": []}
        assert session.listeners == 1
        listening.close()
        deadline = time.monotonic() + 20
        while session.listeners and time.monotonic() < deadline:
            time.sleep(0.02)
        assert session.listeners == 0
        assert session.left is not None
        listening = events(client, address)
        next(listening)
        client.delete(address)
        assert list(listening) == []  # it is told that the session is gone


def test_nothing_is_left_after_the_server_stopped(tmp_path, net):
    with running(tmp_path, content=str(net)) as server, server.client as client:
        session = begin(client)
        paint(client, session)
        filled(client, session)
        client.post(f"{session}/steps/0/fill", json={"preset": "best", "variants": 4})
        assert server.files
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "image", "kind"),
    [
        ("clear.png", Image.fromarray(pixels(channels=4)), "image/png"),
        ("opaque.png", Image.fromarray(pixels()).convert("RGBA"), "image/jpeg"),
        ("grey.png", Image.fromarray(pixels()).convert("L"), "image/jpeg"),
        ("print.tif", Image.new("CMYK", SIZE[::-1], (10, 200, 30, 40)), "image/jpeg"),
    ],
)
def test_photos_of_any_kind_are_shown(server, name, image, kind):
    with server.client as client:
        session = begin(client, name, encoded(image, "TIFF" if name.endswith("tif") else "PNG"))
        assert client.get(f"{session}/steps/0/picture").headers["content-type"] == kind
        paint(client, session)
        (result,) = filled(client, session)[-1]["results"]
        shown = client.get(f"{session}/steps/0/results/{result['number']}/picture")
        assert shown.headers["content-type"] == kind
        with Image.open(io.BytesIO(shown.content)) as opened:
            left, top, right, bottom = result["box"]
            assert opened.size == (right - left, bottom - top)
        client.delete(session)
