import asyncio
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


def done(session, step=0, **options):
    """The results of a step that was filled."""
    session.fill(session.steps[step], wish(**options))
    session.task.ended.result(TOO_LONG)
    assert session.state().state == "done", session.state()
    return session.steps[step].results


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
    old.listeners = new.listeners = 1
    clock.now += IDLE - 1
    all_sessions.get(old.id, used=False)  # as a page that is hidden does
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
    session.listeners = 1
    session.fill(session.steps[0], wish())
    clock.now += IDLE + 1
    all_sessions.sweep()
    assert session.task.state == "waiting"
    busy.finish()
    session.task.ended.result(TOO_LONG)
    clock.now += IDLE - 1  # which are counted from its end
    all_sessions.sweep()
    assert session.id in all_sessions.all
    clock.now += 2
    all_sessions.sweep()
    assert session.id not in all_sessions.all


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


def test_a_session_that_nobody_listens_to_lives_by_its_requests(all_sessions, tmp_path, queue, clock):
    """As that of a page in a hidden tab, which asks now and then; what a program forgets goes soon."""
    busy = Busy(queue)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    for _ in range(3):
        clock.now += PATIENCE - 1
        all_sessions.sweep()
        assert session.task.state == "waiting"
        all_sessions.get(session.id)
    clock.now += PATIENCE + 1
    all_sessions.sweep()
    assert session.task.state == "cancelled"
    busy.finish()
    all_sessions.get(session.id)
    clock.now += ALONE - 1
    all_sessions.sweep()
    assert session.id in all_sessions.all
    clock.now += 2
    all_sessions.sweep()
    assert session.id not in all_sessions.all


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
    done(session)
    monkeypatch.setattr(sessions, "MOST_STEPS", 1)
    with pytest.raises(UserError, match="steps already"):
        session.go_on(session.steps[0], session.steps[0].results[0])
    assert len(session.steps) == 1
    assert MOST_STEPS > 20
    for number in range(MOST_MASKS):
        (tmp_path / "mask.png").write_bytes(mask())
        assert session.steps[0].upload_mask(tmp_path / "mask.png", "mask.png") == str(number + 1)
    with pytest.raises(UserError, match="masks already"):
        session.steps[0].upload_mask(tmp_path / "mask.png", "mask.png")


@pytest.mark.parametrize("devices", [["cuda", "cuda:0"], ["auto", "cuda:0"], ["cuda:1", "cuda:1"]])
def test_two_names_of_one_device(monkeypatch, devices):
    """On which two fills at a time would share its memory."""

    class Made:
        def __init__(self, device):
            self.device = "cuda" if device == "auto" else device

    monkeypatch.setattr(Inpainters, "get", lambda self, preset, device: Made(device))
    with pytest.raises(UserError, match=f"^--device {','.join(devices)} names a device twice"):
        Inpainters({}, devices)
    assert Inpainters({}, ["cuda", "cuda:1", "cpu"]).devices == ["cuda", "cuda:1", "cpu"]


def test_the_command_that_is_shown_names_the_device_that_was_asked_for(all_sessions, tmp_path):
    (step,) = begun(all_sessions, tmp_path).steps
    command = "python -m inpaint.fill photo.png --mask photo_mask.png --seed 2"
    assert step.command("default", 2, "auto", " --max-side 512") == f"{command} --max-side 512"
    assert step.command("default", 2, "cuda:1", "") == f"{command} --device cuda:1"


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


@pytest.fixture
def slow_write(monkeypatch):
    """Writing a result, which begins and goes on."""

    class Write:
        began, goes_on = threading.Event(), threading.Event()

    def write(photo, path, real=run.write_photo):
        Write.began.set()
        assert Write.goes_on.wait(TOO_LONG)
        return real(photo, path)

    monkeypatch.setattr(run, "write_photo", write)
    return Write


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


def test_waiting_for_files_holds_no_threads(all_sessions, tmp_path, slow_write):
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    assert slow_write.began.wait(TOO_LONG)
    (result,) = session.steps[0].all_results()

    async def many():
        waiting = [asyncio.create_task(result.wait()) for _ in range(1000)]
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in waiting)
        slow_write.goes_on.set()
        await asyncio.wait_for(asyncio.gather(*waiting), TOO_LONG)

    threads = threading.active_count()
    asyncio.run(many())
    assert threading.active_count() <= threads
    assert result.file.exists()


def test_what_was_replaced_while_it_was_written_and_forgotten_leaves_no_files(all_sessions, tmp_path, slow_write):
    """The fill before the last one is still at work when the session goes."""
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    first = session.task
    assert slow_write.began.wait(TOO_LONG)
    session.fill(session.steps[0], wish())
    all_sessions.forget(session.id)
    slow_write.goes_on.set()
    for task in (first, session.task):
        task.ended.result(TOO_LONG)
    assert list(all_sessions.folder.iterdir()) == []


def numbers(results):
    return [result.number for result in results]


def test_what_was_there_stays_until_there_is_a_variant(all_sessions, tmp_path, inpainters, monkeypatch):
    """The preview is shown beside it, and the first variant takes the place of both; the files of before go then."""
    session = begun(all_sessions, tmp_path)
    step = session.steps[0]
    (before,) = done(session)
    made = {preset: Slow(inpainters.get(preset, "cpu")) for preset in ("instant", "default")}
    monkeypatch.setattr(inpainters, "get", lambda preset, device: made[preset])
    session.fill(step, answers.Wish())
    assert session.state().first == before.answer.number + 1
    assert made["instant"].began.wait(TOO_LONG)
    assert numbers(session.event().results) == [before.answer.number]
    made["instant"].goes_on.set()
    assert made["default"].began.wait(TOO_LONG)
    old, preview = session.event().results
    assert (old, preview.preview) == (before.answer, True)
    assert numbers(session.answer().steps[0].results) == numbers([old, preview])
    assert before.file.exists()
    made["default"].goes_on.set()
    session.task.ended.result(TOO_LONG)
    (variant,) = session.event().results
    assert (variant.preview, variant.number) == (False, session.state().first + 1)
    for number in numbers([old, preview]):
        with pytest.raises(Missing, match=f"no result {number} "):
            step.result(number)
    assert not before.file.exists()


def test_a_variant_that_cannot_be_written_leaves_what_was_there(all_sessions, tmp_path, monkeypatch):
    """It is shown before its file is written, which then fails: a full disk, say."""
    session = begun(all_sessions, tmp_path)
    (before,) = done(session)
    content = before.file.read_bytes()
    shown = []

    def fails(*_):
        shown.extend(session.event().results)
        raise UserError("The disk is full.")

    monkeypatch.setattr(run, "write_photo", fails)
    session.fill(session.steps[0], wish())
    session.task.ended.result(TOO_LONG)
    assert [result.number for result in shown] == [session.state().first]
    assert (session.state().state, session.state().error) == ("failed", "The disk is full.")
    assert session.event().results == [before.answer]
    assert session.steps[0].result(before.answer.number).file.read_bytes() == content


def test_a_mask_that_cannot_be_written_changes_nothing(all_sessions, tmp_path, monkeypatch):
    session = begun(all_sessions, tmp_path)
    (step,) = session.steps
    mask, overlay = step.mask_file.read_bytes(), step.overlay.read_bytes()
    before = step.answer()

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("inpaint.web.steps.write_overlay", fails)
        with pytest.raises(OSError, match="No space"):
            step.paint([BOX, Rectangle(tool="box", points=((3, 3), (9, 9)))])
    assert step.answer() == before
    assert (step.mask_file.read_bytes(), step.overlay.read_bytes()) == (mask, overlay)
    assert step.paint([BOX]).marked == before.mask.marked


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_fill_that_ends_without_a_variant_leaves_what_was_there(all_sessions, tmp_path, inpainters, monkeypatch, end):
    session = begun(all_sessions, tmp_path)
    step = session.steps[0]
    (before,) = done(session)
    content = before.file.read_bytes()
    made = {preset: Slow(inpainters.get(preset, "cpu")) for preset in ("instant", "default")}
    monkeypatch.setattr(inpainters, "get", lambda preset, device: made[preset])
    made["instant"].goes_on.set()
    session.fill(step, answers.Wish())
    assert made["default"].began.wait(TOO_LONG)
    assert len(session.event().results) == 2
    if end == "cancelled":
        session.cancel()
        assert session.event().results == [before.answer]  # at once
    else:
        monkeypatch.setattr(session.filling, "publish", None)  # a fault
    made["default"].goes_on.set()
    session.task.ended.result(TOO_LONG)
    assert session.state().state == end
    assert session.event().results == [before.answer]
    assert session.answer().steps[0].results == [before.answer]
    assert step.result(before.answer.number).file.read_bytes() == content
    assert before.mask.exists()


def test_a_fill_that_was_replaced_changes_nothing_any_more(all_sessions, tmp_path, slow):
    """Even where it does not notice that it was cancelled."""
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    assert slow.began.wait(TOO_LONG)
    first = session.task
    first.cancel = lambda: None
    session.fill(session.steps[0], wish())
    slow.goes_on.set()
    for task in (first, session.task):
        task.ended.result(TOO_LONG)
    (result,) = session.event().results
    assert result.number >= session.state().first
    assert result.ready


def test_steps_keep_their_numbers_and_never_share_them(all_sessions, tmp_path):
    session = begun(all_sessions, tmp_path)
    first, other = done(session, variants=2)
    session.go_on(session.steps[0], first)
    session.steps[1].paint([BOX])
    (later,) = done(session, step=1)
    session.go_on(session.steps[1], later)
    assert [(step.number, step.target) for step in session.steps] == [
        (0, "photo_filled.png"),
        (1, "photo_filled_2.png"),
        (2, "photo_filled_3.png"),
    ]
    forgotten = session.steps[1]
    session.go_on(session.steps[0], other)
    assert [(step.number, step.target) for step in session.steps] == [
        (0, "photo_filled.png"),
        (3, "photo_filled_2.png"),
    ]
    assert session.step(3) is session.steps[1]
    session.steps[1].paint([BOX])
    session.fill(session.steps[1], wish())
    assert session.state().step == 3
    session.task.ended.result(TOO_LONG)
    for change in (
        lambda: session.step(1),
        lambda: session.go_on(forgotten, later),
        lambda: session.fill(forgotten, wish()),
    ):
        with pytest.raises(Missing, match="no step 1 "):
            change()
    assert sorted(path.name for path in session.folder.iterdir()) == ["step_0", "step_3"]


def test_what_cannot_be_gone_on_from_loses_nothing(all_sessions, tmp_path, monkeypatch):
    session = begun(all_sessions, tmp_path)
    first, other = done(session, variants=2)
    session.go_on(session.steps[0], first)
    session.steps[1].paint([BOX])
    done(session, step=1)
    before, files = session.answer(), sorted(session.folder.rglob("*"))
    with monkeypatch.context() as patched:
        little_memory(patched)
        with pytest.raises(UserError, match=r"^photo_filled\.png has 96 x 72 pixels"):
            session.go_on(session.steps[0], other)
    assert (session.answer(), sorted(session.folder.rglob("*"))) == (before, files)
    other.file.unlink()
    with pytest.raises(Missing, match="not there any more"):
        session.go_on(session.steps[0], other)
    assert session.answer() == before


def test_fills_that_come_to_nothing_leave_no_files(all_sessions, tmp_path, queue):
    session = begun(all_sessions, tmp_path)
    done(session)
    files = len(list(session.folder.rglob("*")))
    busy = Busy(queue)
    for _ in range(5):
        session.fill(session.steps[0], wish())
        session.cancel()
    busy.finish()
    session.task.ended.result(TOO_LONG)
    assert len(list(session.folder.rglob("*"))) <= files + 1  # its mask, until the next one begins


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


def little_memory(monkeypatch):
    class Memory:
        available = 2**20

    monkeypatch.setattr("inpaint.web.room.psutil.virtual_memory", lambda: Memory)


def test_a_photo_that_does_not_fit_into_memory_is_refused(all_sessions, tmp_path, monkeypatch):
    little_memory(monkeypatch)
    with pytest.raises(UserError, match=r"^photo\.png has 96 x 72 pixels, for which about .* GiB .* make it smaller"):
        begun(all_sessions, tmp_path)


def test_memory_is_asked_for_again_when_a_fills_turn_comes(all_sessions, tmp_path, queue, monkeypatch):
    """Others may have begun since the photo came."""
    busy = Busy(queue)
    session = begun(all_sessions, tmp_path)
    session.fill(session.steps[0], wish())
    little_memory(monkeypatch)
    busy.finish()
    session.task.ended.result(TOO_LONG)
    assert session.state().state == "failed"
    assert session.state().error.startswith("photo.png has 96 x 72 pixels, for which about")


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
        assert session.listeners == 0
        before = session.left
        listening = events(client, address)
        assert next(listening) == {"fill": None, "results": []}
        assert session.listeners == 1
        listening.close()
        deadline = time.monotonic() + 20
        while session.listeners and time.monotonic() < deadline:
            time.sleep(0.02)
        assert session.listeners == 0
        assert session.left > before
        listening = events(client, address)
        next(listening)
        client.delete(address)
        assert list(listening) == []  # it is told that the session is gone


def test_two_tabs_of_one_session(server):
    """What one of them goes on from takes the other's step away, and never shows it another photo."""
    with server.client as client:
        session = begin(client)
        paint(client, session)
        results = filled(client, session, variants=2)[-1]["results"]
        one, other = (f"{session}/steps/0/results/{result['number']}/next" for result in results)
        assert [step["number"] for step in client.post(one).json()["steps"]] == [0, 1]
        paint(client, session, step=1)
        (result,) = filled(client, session, step=1)[-1]["results"]
        assert [step["number"] for step in client.post(other).json()["steps"]] == [0, 2]
        for method, path, body in (
            ("GET", "picture", None),
            ("GET", "overlay.png", None),
            ("GET", f"results/{result['number']}/file", None),
            ("GET", f"results/{result['number']}/picture", None),
            ("POST", f"results/{result['number']}/next", None),
            ("PUT", "strokes", {"strokes": []}),
            ("POST", "fill", {}),
        ):
            answer = client.request(method, f"{session}/steps/1/{path}", json=body)
            assert answer.status_code == 404, path
            assert answer.json() == {"detail": "There is no step 1 here (any more)."}
        assert client.get(f"{session}/steps/2/picture").status_code == 200
        client.delete(session)


def test_a_file_that_was_replaced_meanwhile_is_not_there(server):
    """Between the question for it and the answer."""
    with server.client as client:
        session = begin(client)
        paint(client, session)
        (result,) = filled(client, session)[-1]["results"]
        at = f"{session}/steps/0/results/{result['number']}"
        (step,) = server.sessions.all[session.rpartition("/")[2]].steps
        step.remove_files()
        for path in ("file", "picture", "mask", "report"):
            answer = client.get(f"{at}/{path}")
            assert answer.status_code == 404, path
            assert "not there any more" in answer.json()["detail"]
        assert client.post(f"{at}/next").status_code == 404
        client.delete(session)


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
