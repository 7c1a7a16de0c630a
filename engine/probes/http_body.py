"""What a body says: its content coding undone, its text looked through.

Nothing that was not seen passes: what is beyond the bytes that are read, or lost within a broken compression, may be what the
assertion is about.
"""

from __future__ import annotations

import codecs
import re
import zlib
from typing import NamedTuple

from jsonpath_rfc9535 import JSONPathQuery

from peekaping.engine.probes.http_answer import Answer
from peekaping.engine.probes.http_json import Condition, Expected, problem_in_json

HEADERS = frozenset({b"content-encoding", b"content-type"})
"""What must be known of an answer's header to read its body."""
ACCEPTED = "gzip, deflate"
MOST_MEMBERS = 100
"""Each member of a gzip stream (RFC 1952, 2.2) costs a copy of the rest; nobody sends more than a few."""

PIECE = 256 * 1024
"""Bytes decoded in one go: what fits no charset costs 60 ns a byte, and other threads wait for as long."""

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15  # zlib's names for them
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
# In Python these ask for a byte order mark; without one it is the big end first (RFC 2781, 4.3).
_ASK_FOR_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Codecs of Python that are no charsets: punycode takes quadratic time, the others refuse or mean something else.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"})


class Assertion(NamedTuple):
    """What a monitor expects of a body: a keyword, a value in JSON, or both."""

    keyword: str | None
    invert_keyword: bool
    path: JSONPathQuery | None
    condition: Condition
    expected: Expected
    cost: int
    """What a byte of the body takes (see `http_json.cost_of`)."""


class Problem(NamedTuple):
    """Why an answer is not good enough: for machines, for people."""

    reason: str
    message: str


class Content(NamedTuple):
    """A body without its content coding."""

    data: bytes
    is_whole: bool
    """False when there is more than was read."""


class Unreadable(Exception):
    """The body cannot be decoded; its argument is the problem."""


def problem_in(answer: Answer, assertion: Assertion, max_body: int) -> Problem | None:
    """What is wrong with the body; None when all is well. Takes a few milliseconds a megabyte, JSON up to a second."""
    try:
        content = content_of(answer, max_body)
    except Unreadable as error:
        return Problem(*error.args)
    problem = None
    if assertion.keyword is not None:
        text = text_of(content.data, answer.headers.get(b"content-type", ""))
        problem = _keyword_problem(assertion.keyword in text, assertion, content)
    if problem is None and assertion.path is not None:
        if not content.is_whole:
            return _beyond(content, "the JSON is longer")
        found = problem_in_json(content.data, assertion.path, assertion.condition, assertion.expected)
        problem = Problem(*found) if found is not None else None
    return problem


def _keyword_problem(is_found: bool, assertion: Assertion, content: Content) -> Problem | None:
    if is_found:
        if not assertion.invert_keyword:
            return None
        return Problem("keyword_present", f"The body holds the forbidden keyword {assertion.keyword!r}")
    if not content.is_whole:
        return _beyond(content, f"the keyword {assertion.keyword!r} may come later")
    if assertion.invert_keyword:
        return None
    return Problem("keyword_missing", f"The body does not hold the keyword {assertion.keyword!r}")


def _beyond(content: Content, what: str) -> Problem:
    return Problem("body_too_large", f"Only the first {len(content.data)} bytes of the body were read, {what}")


def content_of(answer: Answer, max_body: int) -> Content:
    """At most `max_body` bytes of the body, without its content coding (RFC 9110, 8.4).

    Raises:
      Unreadable: for a coding that is not known, and for a body that breaks its coding or ends within it.
    """
    data, is_whole = bytes(answer.body), answer.body_size <= max_body
    coding = answer.headers.get(b"content-encoding", "").lower()
    if coding in ("", "identity"):
        return Content(data, is_whole)
    if coding in ("gzip", "x-gzip"):
        return _inflate(data, _GZIP, is_whole, max_body)
    if coding == "deflate":
        # RFC 9110, 8.4.1.2: in the zlib format, which some servers leave out. Its header is a multiple of 31 (RFC 1950, 2.2).
        has_header = len(data) > 1 and data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
        return _inflate(data, _ZLIB if has_header else _RAW_DEFLATE, is_whole, max_body)
    raise Unreadable("content_encoding", f"The body has a Content-Encoding that is not known: {coding}")


def _inflate(data: bytes, kind: int, is_whole: bool, max_body: int) -> Content:
    content = bytearray()
    for _ in range(MOST_MEMBERS):
        decoder = zlib.decompressobj(kind)
        try:
            content += decoder.decompress(data, max_body + 1 - len(content))  # a bomb stops here
        except zlib.error as error:
            raise Unreadable("body_corrupt", f"The compressed body is broken: {error}") from error
        if len(content) > max_body:
            return Content(bytes(content[:max_body]), False)
        if not decoder.eof:
            if not is_whole:
                return Content(bytes(content), False)
            raise Unreadable("body_corrupt", "The compressed body ends before its end")
        data = decoder.unused_data
        if kind != _GZIP or not data.startswith(b"\x1f\x8b"):  # what else follows is padding, as for every browser
            return Content(bytes(content), is_whole)
    raise Unreadable("body_corrupt", f"The compressed body has more than {MOST_MEMBERS} parts")


def text_of(data: bytes, content_type: str) -> str:
    """The text: by the charset it declares, else by its byte order mark, else as UTF-8. What does not fit is U+FFFD."""
    marked = next((charset for mark, charset in _BOMS.items() if data.startswith(mark)), "utf-8")
    declared = _CHARSET.search(content_type)
    charset = declared[1] if declared is not None and _is_charset(declared[1]) else marked
    name = codecs.lookup(charset).name
    if name in _ASK_FOR_MARKS and not data.startswith(_ASK_FOR_MARKS[name]):
        charset = f"{name}-be"
    decoder = codecs.getincrementaldecoder(charset)("replace")
    pieces = [decoder.decode(data[start : start + PIECE]) for start in range(0, len(data), PIECE)]
    return "".join([*pieces, decoder.decode(b"", True)])


def _is_charset(name: str) -> bool:
    try:
        b" ".decode(name, "replace")  # codecs that are not for texts are refused here
        return codecs.lookup(name).name not in _NO_CHARSETS and bool(codecs.getincrementaldecoder(name))
    except (LookupError, UnicodeError):
        return False
