import threading
from concurrent.futures import wait

import pytest

from inpaint.errors import UserError
from inpaint.web import work
from inpaint.web.work import MOST_HELD, MOST_WAITING, Cancelled, Queue, Task

SOON = 20  # seconds, after which something is broken


class Work:
    """Work that begins and goes on when a test says so, and asks at each step whether it is still wanted."""

    def __init__(self, log=None, name=""):
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.log, self.name = [] if log is None else log, name
        self.device = None
        self.task = Task(self)

    def __call__(self, device, task):
        self.device = device
        task.enter("filling")
        self.log.append(self.name)
        self.began.set()
        assert self.goes_on.wait(SOON)
        task.progress(0.5)
        self.log.append(f"{self.name} went on")

    def wait_until_it_began(self):
        assert self.began.wait(SOON)

    def finish(self):
        self.goes_on.set()
        self.task.ended.result(SOON)


@pytest.fixture
def queue():
    made = Queue(["cpu"])
    yield made
    made.close()


def added(queue, *works):
    for one in works:
        queue.add(one.task)
    return works


def test_the_first_come_is_the_first_served(queue):
    log = []
    works = added(queue, *(Work(log, name) for name in "abc"))
    for one in works:
        one.finish()
    assert log == ["a", "a went on", "b", "b went on", "c", "c went on"]
    assert all(one.task.state == "done" and one.task.share == 1 for one in works)


def test_places(queue):
    first, second, third = added(queue, Work(), Work(), Work())
    first.wait_until_it_began()
    assert [queue.place(one.task) for one in (first, second, third)] == [0, 1, 2]
    second.task.cancel()
    assert queue.place(third.task) == 1
    first.finish()
    third.wait_until_it_began()
    assert [queue.place(one.task) for one in (first, second, third)] == [0, 0, 0]
    third.finish()
    assert queue.place(Work().task) == 0  # that was never added


def test_two_devices_run_two_at_a_time():
    queue = Queue(["one", "two"])
    works = added(queue, Work(), Work(), Work())
    for one in works[:2]:
        one.wait_until_it_began()
    assert {one.device for one in works[:2]} == {"one", "two"}
    assert works[2].task.state == "waiting"
    assert queue.place(works[2].task) == 2
    works[1].finish()
    works[2].wait_until_it_began()
    assert works[2].device == works[1].device  # which is free, as the other is not
    works[0].goes_on.set()
    works[2].goes_on.set()
    queue.close()


def test_what_waits_and_is_cancelled_never_runs(queue):
    first, second, third = added(queue, Work(), Work(), Work())
    first.wait_until_it_began()
    second.task.cancel()
    assert second.task.state == "cancelled"
    assert second.task.over
    first.finish()
    third.finish()
    second.task.ended.result(SOON)
    assert not second.began.is_set()
    assert second.task.state == "cancelled"
    assert second.task.began is None


def test_what_runs_and_is_cancelled_ends_at_its_next_step(queue):
    log = []
    (one,) = added(queue, Work(log, "a"))
    one.wait_until_it_began()
    one.task.cancel()
    assert one.task.state == "cancelled"  # at once, though it still runs
    assert not one.task.ended.done()
    one.finish()
    assert log == ["a"]
    assert one.task.error is None
    with pytest.raises(Cancelled):
        one.task.progress(0.7)


def test_what_is_over_cannot_be_cancelled(queue):
    (one,) = added(queue, Work())
    one.finish()
    one.task.cancel()
    assert one.task.state == "done"


def test_what_is_cancelled_while_it_fails_is_cancelled(queue):
    def fails(device, task):
        began.set()
        assert goes_on.wait(SOON)
        raise ValueError

    began, goes_on, task = threading.Event(), threading.Event(), Task(fails)
    queue.add(task)
    assert began.wait(SOON)
    task.cancel()
    goes_on.set()
    task.ended.result(SOON)
    assert task.state == "cancelled"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("The mask is empty: paint."), "The mask is empty: paint."),
        (ValueError("one line\nand another"), "The server has a fault, which its log tells."),
        (OSError(28, "No space left", "a/secret/place"), "The server has a fault, which its log tells."),
    ],
)
def test_an_error_becomes_a_sentence_and_the_queue_goes_on(queue, error, sentence):
    def fails(device, task):
        raise error

    task = Task(fails)
    queue.add(task)
    task.ended.result(SOON)
    assert (task.state, task.error) == ("failed", sentence)
    assert task.over
    (other,) = added(queue, Work())
    other.finish()
    assert other.task.state == "done"


def test_so_many_may_wait_and_no_more(queue):
    works = [Work() for _ in range(MOST_WAITING)]
    added(queue, *works)
    with pytest.raises(UserError, match=f"^{MOST_WAITING} fills wait already: try again in a while"):
        queue.check_room()
    works[-1].task.cancel()
    queue.check_room()
    (last,) = added(queue, Work())  # what is cancelled does not count, up to a bound
    for one in works:
        one.task.cancel()
        one.goes_on.set()
    last.finish()
    assert last.task.state == "done"


def test_what_is_cancelled_does_not_pile_up(queue):
    (running,) = added(queue, Work())
    for _ in range(MOST_HELD - 1):
        queue.check_room()
        (one,) = added(queue, Work())
        one.task.cancel()
    with pytest.raises(UserError, match="fills wait already"):
        queue.check_room()
    running.finish()


def test_closing_ends_everything(queue):
    running, waiting = added(queue, Work(), Work())
    running.wait_until_it_began()
    running.task.cancel = lambda: (Task.cancel(running.task), running.goes_on.set())
    queue.close()
    assert wait([running.task.ended, waiting.task.ended], 0).not_done == set()
    assert [running.task.state, waiting.task.state] == ["cancelled", "cancelled"]
    assert not waiting.began.is_set()


def test_seconds_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(work.time, "monotonic", lambda: now[0])

    def some_work(device, task):
        assert task.seconds_left is None  # nothing to go by
        now[0] = 101.0
        task.progress(0.01)
        assert task.seconds_left is None  # too little
        now[0] = 110.0
        task.progress(0.25)
        assert task.seconds_left == pytest.approx(30)
        now[0] = 125.0  # no word of a step that takes long
        assert task.seconds_left == pytest.approx(15)
        now[0] = 500.0
        assert task.seconds_left == 0

    task = Task(some_work)
    assert task.seconds_left is None
    task.run("cpu")
    assert (task.error, task.state) == (None, "done")
    assert task.seconds_left is None
