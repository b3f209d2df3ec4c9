"""Whatever a program sends, the API answers as its own description says.

The stream of events is left out: it has no end, so that a request for it would never be answered.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.photo.test_inpainter import network_file
from tests.web.helpers import PATIENCE, begin, filled, paint, running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/sessions/{session}/events"
ENDING = "DELETE /api/sessions/{session}"
FEW = settings(max_examples=5, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    net = network_file(tmp_path_factory.mktemp("net") / "net.safetensors")
    with running(tmp_path_factory.mktemp("server"), content=str(net), max_pixels=100_000) as made:
        yield made


def faults(server, mode=GenerationMode.POSITIVE, change=None):
    """What is wrong with the answers to requests that are made up, of which there are a few for each operation."""
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json").exclude(path=ENDLESS)
    found, asked = {}, 0
    for result in described.get_all_operations():
        operation = result.ok()
        if change is not None and operation.label == ENDING:
            continue

        @given(operation.as_strategy(generation_mode=mode))
        @FEW
        def ask(case):
            if change is not None:
                change(case)
            case.call_and_validate(checks=CHECKS, timeout=PATIENCE)

        try:
            ask()
            asked += 1
        except Unsatisfiable:  # no request is forbidden
            continue
        except FailureGroup as failures:
            found[operation.label] = [str(failure) for failure in failures.exceptions]
    assert asked + len(found) > 10
    return found


def test_any_request(server):
    assert faults(server) == {}


def test_any_request_that_the_description_forbids(server):
    assert faults(server, GenerationMode.NEGATIVE) == {}


def test_any_request_to_a_session_that_there_is(server):
    """Not to one that nobody has heard of, as the names that are made up for the other test."""
    with server.client as client:
        address = begin(client)
        paint(client, address)
        filled(client, address)

    def change(case):
        if "session" in case.path_parameters:
            case.path_parameters |= {"session": address.rpartition("/")[2]}
            case.path_parameters |= {name: 0 for name in ("step", "result") if name in case.path_parameters}

    assert faults(server, change=change) == {}
