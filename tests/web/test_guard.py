import asyncio
import base64
import itertools
import json
import socket
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI, Request

from inpaint.files import LONGEST_NAME
from inpaint.web.files import plain_name
from inpaint.web.guard import FOR_JSON, Bounded, Guard
from tests.photo.test_inpainter import network_file
from tests.web.helpers import begin, filled, mask, paint, png, running, serving

MOST = 100_000  # pixels that this server takes
BOUNDED = 8 * MOST + 2**16  # bytes of two files of 4 bytes a pixel, and of a form beside them


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


@pytest.fixture(scope="module")
def server(tmp_path_factory, net):
    with running(tmp_path_factory.mktemp("server"), content=str(net), max_pixels=MOST) as made:
        yield made


@pytest.fixture(scope="module")
def client(server):
    with server.client as made:
        yield made


def guarded(host="127.0.0.1", password=None):
    """A small application behind the guard."""
    app = FastAPI()

    @app.get("/{path:path}")
    @app.post("/{path:path}")
    def any_path(path: str) -> str:
        return path

    return Guard(app, host, password)


def ask(app, headers, path="/api/about", method="GET"):
    """Sends a request with these headers to an application, without a network."""

    async def answered():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:80") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(answered())


@pytest.mark.parametrize(
    ("listens", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8472", True),
        ("127.0.0.1", "localhost:8472", True),
        ("127.0.0.1", "LOCALHOST:8472", True),
        ("127.0.0.1", "localhost.:8472", True),
        ("127.0.0.1", "[::1]:8472", True),
        ("::1", "[::1]:8472", True),
        ("localhost", "localhost", True),
        ("127.0.0.1", "192.168.1.7:8472", False),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "evil.localhost", False),
        ("127.0.0.1", "[::1", False),
        ("127.0.0.1", "", False),
        ("0.0.0.0", "192.168.1.7:8472", True),
        ("0.0.0.0", "[fe80::1]:8472", True),
        ("0.0.0.0", "localhost:8472", True),
        ("0.0.0.0", socket.gethostname(), True),
        ("0.0.0.0", f"{socket.gethostname()}.local", True),
        ("0.0.0.0", "evil.example", False),  # a name that may be made to lead here
        ("studio.example", "Studio.example:8472", True),
        ("studio.example", "evil.example:8472", False),
    ],
)
def test_hosts(listens, host, allowed):
    answer = ask(guarded(listens), {"host": host})
    assert answer.status_code == (200 if allowed else 403)
    if not allowed:
        assert "use the address" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "path", "method", "allowed"),
    [
        ({}, "/api/fill", "POST", True),  # a program
        ({"origin": "http://127.0.0.1"}, "/api/fill", "POST", True),
        ({"origin": "http://127.0.0.1:3000"}, "/api/fill", "POST", False),  # another server on this machine
        ({"origin": "http://evil.example"}, "/api/fill", "POST", False),
        ({"origin": "http://evil.example"}, "/api/about", "GET", False),
        ({"origin": "null"}, "/api/fill", "POST", False),
        ({"origin": "http://["}, "/api/fill", "POST", False),
        ({"origin": "http://127.0.0.1", "sec-fetch-site": "cross-site"}, "/api/fill", "POST", False),
        ({"sec-fetch-site": "same-origin"}, "/api/fill", "POST", True),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, "/api/about", "GET", True),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, "/api/about", "GET", True),  # typed by a person
        ({"sec-fetch-site": "same-site"}, "/api/fill", "POST", False),
        ({"sec-fetch-site": "cross-site"}, "/api/about", "GET", False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "/", "GET", False),  # as a picture, say
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "/", "GET", True),  # by a link
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "/", "POST", False),  # by a form
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "/api/about", "GET", False),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, "/docs", "GET", True),
    ],
)
def test_other_sites(headers, path, method, allowed):
    answer = ask(guarded(), {"host": "127.0.0.1"} | headers, path, method)
    assert answer.status_code == (200 if allowed else 403), answer.text
    if not allowed:
        assert answer.json() == {"detail": "Another site asked for this: open the page itself."}


def basic(password, user="anyone"):
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("password", ["correct horse", "Füße: größer", "a:b"])
def test_passwords(monkeypatch, password):
    now = itertools.count()  # each look at the time is a second later
    monkeypatch.setattr("inpaint.web.guard.time.monotonic", lambda: next(now))
    app = guarded(password=password)
    for path in ("/", "/api/about"):
        none = ask(app, {}, path)
        assert none.status_code == 401
        assert none.headers["www-authenticate"] == 'Basic realm="inpaint", charset="UTF-8"'
        assert "password" in none.json()["detail"]
        assert ask(app, basic(password), path).status_code == 200
        assert ask(app, basic(password, "another"), path).status_code == 200
    for wrong in (
        basic("wrong"),
        basic(""),
        basic(password + "x"),
        {"authorization": "Bearer " + password.encode().hex()},
        {"authorization": "Basic"},
        {"authorization": "Basic not base64"},
        {"authorization": "Basic ü".encode()},
        {"authorization": "Basic " + base64.b64encode(password.encode()).decode()},
    ):
        if password == "a:b" and wrong == {"authorization": "Basic " + base64.b64encode(b"a:b").decode()}:
            continue  # whose user is a, and whose password is b
        assert ask(app, wrong).status_code == 401
    assert ask(app, {"host": "evil.example"} | basic(password)).status_code == 403


def test_a_password_may_come_in_either_encoding():
    """Browsers write UTF-8, and some programs Latin-1."""
    latin = {"authorization": "Basic " + base64.b64encode("anyone:Füße".encode("latin-1")).decode()}
    assert ask(guarded(password="Füße"), latin).status_code == 200
    assert ask(guarded(password="Füße"), basic("Füße")).status_code == 200
    for password in ("🐦", "ü🐦"):  # which Latin-1 has not, or not all of
        for wrong in (b"", "ü".encode("latin-1"), b"&#128038;"):
            header = {"authorization": "Basic " + base64.b64encode(b"anyone:" + wrong).decode()}
            assert ask(guarded(password=password), header).status_code == 401


def test_guessing_by_many_at_once_is_no_quicker(monkeypatch):
    """After a wrong password nothing from the same address is looked at for a second, the right one neither."""
    now = [100.0]
    monkeypatch.setattr("inpaint.web.guard.time.monotonic", lambda: now[0])
    app = guarded(password="right")

    async def many():
        near, far = (
            httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(name, 1)), base_url="http://127.0.0.1:80")
            for name in ("10.0.0.1", "10.0.0.2")
        )
        async with near, far:

            async def status(client, password):
                return (await client.get("/", headers=basic(password))).status_code

            assert await status(near, "right") == 200
            assert [await status(near, guess) for guess in ("0", "1", "right")] == [401, 429, 429]
            assert (await near.get("/")).status_code == 401  # a browser that asks what is wanted
            assert await status(far, "right") == 200
            now[0] += 0.9
            assert await status(near, "right") == 429
            now[0] += 0.2
            assert await status(near, "right") == 200

    asyncio.run(many())


@pytest.mark.parametrize(
    ("proxy", "host", "status"),
    [
        ("nginx: proxy_pass http://127.0.0.1:8472", "127.0.0.1:8472", 200),
        ("nginx: proxy_set_header Host $host", "photos.example.org", 403),
        ("Caddy: header_up Host {upstream_hostport}", "127.0.0.1:8472", 200),
        ("Caddy", "photos.example.org", 403),
    ],
)
def test_a_proxy_has_to_call_the_server_by_its_own_name(proxy, host, status):
    """As the documentation says. A page's own requests say so, whatever it is called outside."""
    headers = {"host": host, "origin": "https://photos.example.org", "sec-fetch-site": "same-origin"}
    assert ask(guarded(), headers, "/api/fill", "POST").status_code == status
    foreign = headers | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert ask(guarded(), foreign, "/api/fill", "POST").status_code == 403


def test_a_server_with_a_password_serves_who_knows_it(tmp_path, net):
    with running(tmp_path, content=str(net), password="Füße", host="0.0.0.0") as server, server.client as client:
        assert client.get("/").status_code == 401
        assert client.post("/api/sessions", files={"photo": ("a.png", png())}).status_code == 401
        client.headers.update(basic("Füße"))
        assert client.get("/").status_code == 200
        begin(client)


def assert_headers(answer):
    headers = answer.headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in policy.get("script-src", "")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] == ("no-store" if answer.url.path.startswith("/api") else "no-cache")
    assert "server" not in headers


def test_every_answer_has_the_headers_that_browsers_look_at(server, client):
    session = begin(client)
    paint(client, session)
    for answer in (
        client.get("/"),
        client.get("/docs"),
        client.get("/openapi.json"),
        client.get("/nothing"),
        client.get("/page/nothing.js"),
        client.get("/page/../../server.py"),
        client.get("/api/about"),
        client.get(session),
        client.get(f"{session}/steps/0/picture"),
        client.get(f"{session}/steps/0/mask.png"),
        client.delete("/api/about"),
        client.get("/api/sessions/nobody"),
        client.put(f"{session}/steps/0/strokes", json={}),
        client.post("/api/fill", files={"photo": ("a.png", bytes(BOUNDED))}),
        client.get("/api/about", headers={"host": "evil.example"}),
        client.get("/", headers={"sec-fetch-site": "cross-site"}),
    ):
        assert_headers(answer)


def test_a_fault_of_ours_has_these_headers_too_and_says_nothing_of_the_server(server, client, monkeypatch):
    def fails(*_):
        raise RuntimeError(f"cannot open {server.temporary}/file")

    monkeypatch.setattr("inpaint.web.sessions.Session.answer", fails)
    answer = client.post("/api/sessions", files={"photo": ("a.png", png())})
    assert answer.status_code == 500
    assert str(server.temporary) not in answer.text
    assert_headers(answer)
    assert isinstance(answer.json()["detail"], str)  # which the page shows


def test_scripts_and_styles_of_the_page_are_its_own(client):
    """What the policy forbids would not run."""
    html = client.get("/").text
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert "<script>" not in html
    assert "//" not in html.replace("http://www.w3.org", "").replace("<!doctype", "") or "https://" not in html


def echo():
    """An application that reads a body, and answers how long it is."""
    app = FastAPI()

    @app.post("/length")
    @app.post("/api/fill")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/ignored")
    async def ignored() -> str:
        return "not read"

    return app


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    """An application that takes forms of 1000 bytes, and its address."""
    with (
        serving(Bounded(echo(), 1000, tmp_path_factory.mktemp("forms"))) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield client


FORM = {"content-type": "multipart/form-data; boundary=x"}
JSON = {"content-type": "application/json"}


def parts(length):
    """A body whose length is not told before."""
    for start in range(0, length, 100_000):
        yield b"x" * min(100_000, length - start)


@pytest.mark.parametrize(
    ("headers", "path", "most"),
    [(FORM, "/api/fill", 1000), (FORM, "/length", FOR_JSON), (JSON, "/api/fill", FOR_JSON), ({}, "/length", FOR_JSON)],
)
def test_bodies_are_bounded(bounded, headers, path, most):
    """Forms may be large where files are taken, and nowhere else."""
    for body in (lambda n: b"x" * n, parts):
        assert bounded.post(path, content=body(most), headers=headers).json() == most
        answer = bounded.post(path, content=body(most + 1), headers=headers)
        assert answer.status_code == 413
        assert isinstance(answer.json()["detail"], str)
    assert bounded.post("/ignored", content=b"x" * most, headers=headers).status_code == 200


def test_a_length_that_is_declared_is_believed_before_anything_came(bounded):
    """And nothing that was not sent is waited for."""
    with socket.create_connection((bounded.base_url.host, bounded.base_url.port), 20) as connection:
        declared = {"host": "127.0.0.1", "content-length": "99999999999", **FORM}
        lines = ["POST /api/fill HTTP/1.1", *map(": ".join, declared.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


class FullDisk:
    free = 2**28 + 1000


def test_forms_that_the_disk_cannot_take_are_refused_before_they_are_read(bounded, monkeypatch):
    """Where no length is declared, the most is reckoned with."""
    monkeypatch.setattr("inpaint.web.room.psutil.disk_usage", lambda _: FullDisk)
    assert bounded.post("/api/fill", content=b"x" * 1000, headers=FORM).status_code == 200
    FullDisk.free -= 1
    assert bounded.post("/api/fill", content=b"x" * 999, headers=FORM).status_code == 200
    assert bounded.post("/api/fill", content=b"x" * 1000, headers=JSON).status_code == 200  # which is not stored
    for content in (b"x" * 1000, parts(10)):
        answer = bounded.post("/api/fill", content=content, headers=FORM)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The server's disk is full: try again in a while."}
        assert int(answer.headers["retry-after"]) > 0


def test_a_file_that_is_too_large_is_refused_where_two_might_be_taken(server, client):
    """What the server says that it takes is of one file."""
    most = client.get("/api/about").json()["max_bytes"]
    session = begin(client)
    for answer in (
        client.post("/api/sessions", files={"photo": ("a.png", bytes(most + 1))}),
        client.post("/api/fill", files={"photo": ("a.png", bytes(most + 1))}, data={"box": "1,1,9,9"}),
        client.post("/api/fill", files={"photo": ("b.png", png()), "mask": ("a.png", bytes(most + 1))}),
        client.post(f"{session}/steps/0/masks", files={"mask": ("a.png", bytes(most + 1))}),
    ):
        assert answer.status_code == 413
        assert answer.json() == {"detail": "a.png is too large: a file may have 0.4 MiB."}
    assert client.post("/api/sessions", files={"photo": ("a.png", bytes(most))}).status_code == 422  # no picture
    client.delete(session)


@pytest.mark.parametrize(
    ("files", "data"),
    [
        ({"photo": ("a.png", b""), "mask": ("b.png", b""), "more": ("c.png", b"")}, {}),
        ({"photo": ("a.png", b"")}, {str(number): "x" for number in range(33)}),
        ({"photo": ("a.png", b"")}, {"box": "x" * (2**16 + 1)}),
    ],
)
def test_forms_hold_no_more_than_is_asked_for(client, files, data):
    """What is no file is kept in memory."""
    answer = client.post("/api/fill", files=files, data=data)
    assert answer.status_code == 400
    assert answer.json()["detail"].endswith(".")


def test_the_server_refuses_files_that_are_too_large(server, client):
    before = server.files
    for content in (bytes(BOUNDED), b"x" * (2 * BOUNDED)):
        answer = client.post("/api/sessions", files={"photo": ("a.png", content)})
        assert answer.status_code == 413
        assert "MiB" in answer.json()["detail"]
    session = begin(client)
    answer = client.put(f"{session}/steps/0/strokes", content=b'{"strokes": [' + b" " * FOR_JSON + b"]}", headers=JSON)
    assert answer.status_code == 413
    assert client.delete(session).status_code == 204
    assert server.files == before


def test_what_is_too_large_and_no_file_is_not_called_a_file(server, client):
    session = begin(client)
    answer = client.put(f"{session}/steps/0/strokes", content=b" " * (FOR_JSON + 1), headers=JSON)
    assert "file" not in answer.json()["detail"]


NAMES = {
    "../../etc/x.png": "x.png",
    "/etc/passwd.png": "passwd.png",
    "C:\\a\\b.jpg": "b.jpg",
    "a/b.png": "b.png",
    "a\\..\\b.png": "b.png",
    "a\x00\x07\nb.png": "ab.png",
    "\u202egnp.a": "gnp.a",  # which would be read backwards
    "": "photo",
    ".": "photo",
    "..": "photo",
    "...": "photo",
    "/": "photo",
    " ": "photo",
    "a/": "photo",
    'a"b;c.png': 'a"b;c.png',
    "a\r\nSet-Cookie: x=y.png": "aSet-Cookie: x=y.png",
    "Möwe 🐦.png": "Möwe 🐦.png",
    "~.png": "~.png",
    ".png": ".png",
    "list.txt": "list",
    "a.b.CSV": "a.b",
    "a.png.txt.csv": "a.png",
    ".txt": ".txt",
    "..txt": "photo",
    "..csv.txt": "photo",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_become_plain(name):
    assert plain_name(name) == NAMES[name]


def test_a_file_without_a_name():
    assert plain_name(None) == "photo"


@pytest.mark.parametrize("ending", [".png", "", ".jpeg"])
@pytest.mark.parametrize("letter", ["x", "ß", "🐦", "."])
def test_long_names_fit(letter, ending):
    name = plain_name(letter * 300 + ending)
    assert len(name.encode()) <= LONGEST_NAME
    assert name == "photo" or name.endswith(ending)


def test_long_endings_fit():
    assert len(plain_name("a." + "x" * 300).encode()) <= LONGEST_NAME


def raw_form(name, content, field="photo"):
    """A form as a program may write it, whatever its file is called."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    head = b'--x\r\ncontent-disposition: form-data; name="' + field.encode() + b'"; filename="' + quoted
    return {"content": head + b'"\r\n\r\n' + content + b"\r\n--x--\r\n", "headers": FORM}


@pytest.mark.parametrize("name", [*[name for name in NAMES if not {"\n", "\0"} & set(name)], "ü" * 300 + ".png"])
def test_files_of_any_name_stay_in_the_sessions_folder(server, client, name):
    before = server.files
    outside = sorted(server.temporary.parent.iterdir())
    answer = client.post("/api/sessions", **raw_form(name, png()))
    if answer.status_code == 422 and not name:  # some take a file without a name for none
        return
    assert answer.status_code == 201, answer.text
    session = f"/api/sessions/{answer.json()['id']}"
    (step,) = answer.json()["steps"]
    assert not {"/", "\\"} & set(step["name"])
    assert step["name"] == plain_name(name) or "\\" in name or '"' in name  # which forms write in several ways
    paint(client, session)
    upload = client.post(f"{session}/steps/0/masks", **raw_form(name, mask(), "mask"))
    assert upload.status_code == 201
    assert "set-cookie" not in client.get(f"{session}/steps/0/mask.png").headers
    (folder,) = server.temporary.iterdir()
    (own,) = (path for path in folder.iterdir() if path not in before)
    assert own.name == session.rpartition("/")[2]
    assert {path.suffix for path in own.rglob("*") if path.is_file()} <= {"", ".png", ".jpg", ".npy"}
    assert client.delete(session).status_code == 204
    assert server.files == before
    assert sorted(server.temporary.parent.iterdir()) == outside


def test_a_result_of_an_odd_name_is_kept_under_it(client):
    name = "a;b 100%'ü🐦.png"
    session = begin(client, name)
    paint(client, session)
    (result,) = filled(client, session)[-1]["results"]
    answer = client.get(f"{session}/steps/0/results/{result['number']}/file")
    said = answer.headers["content-disposition"]
    assert unquote(said.partition("utf-8''")[2]) == result["name"] == "a;b 100%'ü🐦_filled.png"


def test_the_servers_folder_is_for_its_user_alone(server, client):
    session = begin(client)
    (folder,) = server.temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o777 == 0o700
    assert client.delete(session).status_code == 204


def test_no_answer_tells_where_the_server_lies(server, client, net):
    """Neither its files nor those of its weights: whoever asks need not know who runs it."""
    session = begin(client)
    paint(client, session)
    (result,) = filled(client, session)[-1]["results"]
    at = f"{session}/steps/0/results/{result['number']}"
    told = [
        client.get("/api/about").text,
        client.get(session).text,
        client.get("/openapi.json").text,
        client.get(f"{at}/report").text,
        json.dumps(dict(client.get(f"{at}/file").headers)),
        client.post(f"{at}/next").text,
        client.post("/api/sessions", files={"photo": ("a.png", b"")}).text,
        client.post(f"{session}/steps/0/masks", files={"mask": ("a.png", b"")}).text,
    ]
    for text in told:
        for path in (server.temporary, net.parent, __file__.partition("/tests/")[0]):
            assert str(path) not in text
