"""Names and addresses: which are this machine's alone, what to listen at, and what to type to get there."""

import socket
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from inpaint.errors import UserError


def is_loopback(host: str) -> bool:
    """Whether a host's name or address can be reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether it is an address of numbers, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def address(text: str) -> SplitResult:
    """The parts of an address, none of them where it is no address."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address; a UserError if it cannot be."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)  # who comes before the server is ready waits
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "there is no such name"
        raise UserError(
            f"The server cannot listen on {host}, port {port} ({reason}): give another --port or --host."
        ) from None
    return listening


def url_host(host: str) -> str:
    """A host as it stands in an address that a browser on this machine can open."""
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def own_address(family: socket.AddressFamily) -> str:
    """This machine's address in the network, as others reach it; its name where it has none."""
    far = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"  # no such host is asked: nothing is sent
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((far, 9))
            return str(way.getsockname()[0])
    except OSError:
        return socket.gethostname()
