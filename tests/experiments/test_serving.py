"""The load test itself, for seconds instead of minutes."""

import re

import httpx

from experiments.serving import load


def test_every_answer_is_compared(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["load", "--clients", "2", "--minutes", "0.05"])
    load.main()
    said = capsys.readouterr().out
    assert re.search(r"[1-9]\d* programs' fills, [1-9]\d* the page's fills", said)
    assert "wrong: 0" in said


def test_a_wrong_answer_and_an_error_are_told():
    tally, problem = load.Tally(), load.problems()[0]
    for status in (200, 500):
        transport = httpx.MockTransport(lambda request, status=status: httpx.Response(status, content=b"no picture"))
        with httpx.Client(base_url="http://localhost", transport=transport) as client:
            load.attempt(lambda client=client: load.program(client, problem, b"a picture", tally), tally)
    assert tally.counts == {"programs' fills": 1, "errors": 1}
    assert len(tally.wrong) == 2
