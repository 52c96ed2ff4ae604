"""An answer belongs to one question: what guards it where a proxy or a connection does not.

A faulty cache or proxy may send the answer to one question once more, as the answer to another.
And a server may send two responses to one request: on a connection that is kept alive the second
one would be read as the response to the next request. aiohttp looks for such a rest when it puts a
connection away, not when it takes it out again; `watched` looks then, too.
"""

from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from agents.models.base import Answer

MOST = 4096


class Given:
    """Which answer went to which question (its hash), for the last answers of one server.

    Some servers name every completion alike. Where one name stands for two texts, names tell
    nothing about that server, and it is believed from then on.
    """

    def __init__(self) -> None:
        self._first: OrderedDict[int, int] = OrderedDict()
        self._by_name: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._names_tell = True

    def first(self, response: bytes, question: int) -> int:
        """The question that this very response came to first. Called when it has been read.

        What is done with it after that takes longer for one answer than for another.
        """
        if not self._names_tell:
            return question
        found: int = _noted(self._first, hash(response), question)
        return found

    def elsewhere(self, name: str, answer: Answer, question: int, first: int) -> bool:
        """Whether this very completion is the answer to another question, the `first` included."""
        if not name or not self._names_tell:
            return False
        known, asked = _noted(self._by_name, name, (hash(answer), first))
        if known != hash(answer):
            self._names_tell = False
            self._by_name.clear()
            return False
        return not question == first == asked


def _noted(notes: OrderedDict[Any, Any], key: object, value: Any) -> Any:
    """What was noted under a key first; only the last keys are kept."""
    found = notes.setdefault(key, value)
    if len(notes) > MOST:
        notes.popitem(last=False)
    return found


@dataclass(eq=False)
class Line:
    """One use of a connection. `doubted`: what comes on it may be meant for an earlier use."""

    connection: Any
    protocol: Any
    doubted: bool = False


_USED: ContextVar[list[Line]] = ContextVar("used")
_LAST: WeakKeyDictionary[Any, Line] = WeakKeyDictionary()


def watched(transport: Any) -> Any:
    """An aiohttp transport that uses no kept connection on which something unasked for came in.

    What comes in after the next request has left cannot be told from its response in HTTP/1.1.
    """
    make = transport.get_client

    def get_client() -> Any:
        session = make()
        connect = session.connector.connect

        async def checked(*about: Any, **more: Any) -> Any:
            while (connection := await connect(*about, **more)).protocol.should_close:
                connection.close()
            line = _LAST[connection.protocol] = Line(connection, connection.protocol)
            _USED.get([]).append(line)
            return connection

        session.connector.connect = checked
        return session

    transport.get_client = get_client
    return transport


def note_lines() -> list[Line]:
    """A list of the connections that this task and what it starts will use."""
    used: list[Line] = []
    _USED.set(used)
    return used


def hang_up(used: list[Line]) -> None:
    """Give up connections on which the answer to another question came.

    Behind it the right answer may be waiting, to be taken for that of the next question. Where that
    is on its way already, its answer is doubted, and not cut off: it may well be right, and a proxy
    that repeats answers would hand it to somebody else before we had seen whose it is.
    """
    for line in used:
        now = _LAST[line.protocol]
        if now is line or now.connection.closed:
            line.protocol.close()
        else:
            now.doubted = True
