"""Prints names of files so that no terminal, log or program stumbles over one."""

import sys
import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories: control, format, surrogates for bytes, ends of lines


def printable(text: str, encoding: str | None = None) -> str:
    """Text on one line for a person: what cannot be seen, or what the encoding lacks, is escaped as in Python.

    Args:
        encoding: of the stream; None is UTF-8.
    """
    shown = "".join(_escaped(one) if unicodedata.category(one) in UNSEEN else one for one in text)
    encoding = encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # stands for a byte of a name that is no proper text
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def print_path(path: str) -> None:
    """Prints a path on standard output: for programs byte by byte as the file is called, where its encoding allows.

    On a terminal, which a person reads, and where the encoding lacks a character, it is `printable`.
    """
    out = sys.stdout
    try:
        line = path.encode(out.encoding or "utf-8", "surrogateescape")
    except UnicodeEncodeError:
        line = b""
    if out.isatty() or not line or not hasattr(out, "buffer"):
        print(printable(path, out.encoding))
        return
    out.flush()
    out.buffer.write(line + b"\n")
    out.flush()
