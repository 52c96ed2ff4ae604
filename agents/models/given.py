"""An answer belongs to one question: what guards it where a proxy or a connection does not.

A faulty cache or proxy may send the answer to one question once more, as the answer to another.
And a server may send two responses to one request: on a connection that is kept alive the second
one would be read as the response to the next request. aiohttp looks for such a rest when it puts a
connection away, not when it takes it out again; `Lines` looks then, too.
"""

from collections import OrderedDict
from typing import Any
from weakref import WeakSet

from agents.models.base import Answer

MOST = 4096


class Given:
    """Which answer went to which question, for the last answers of one server.

    Some servers name every completion alike. Where one name stands for two texts, names tell
    nothing about that server, and it is believed from then on.
    """

    def __init__(self) -> None:
        self._by_name: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._names_tell = True

    def elsewhere(self, name: str, answer: Answer, question: object) -> bool:
        """Whether this very completion was the answer to another question; notes it if not."""
        if not name or not self._names_tell:
            return False
        content, asked = hash(answer), hash(question)
        known = self._by_name.setdefault(name, (content, asked))
        if known[0] != content:
            self._names_tell = False
            self._by_name.clear()
            return False
        if len(self._by_name) > MOST:
            self._by_name.popitem(last=False)
        return known[1] != asked


class Lines:
    """The connections of an aiohttp transport, watched."""

    def __init__(self) -> None:
        self._taken: WeakSet[Any] = WeakSet()
        self._once = False

    def watch(self, transport: Any) -> Any:
        """Let it use no kept connection on which something unasked for has come in.

        What comes in after the next request has left cannot be told from its response in HTTP/1.1.
        """
        make = transport.get_client

        def get_client() -> Any:
            session = make()
            connect = session.connector.connect

            async def checked(*about: Any, **more: Any) -> Any:
                while (connection := await connect(*about, **more)).protocol.should_close:
                    connection.close()
                self._taken.add(connection.protocol)
                if self._once:
                    connection.protocol.force_close()
                return connection

            session.connector.connect = checked
            return session

        transport.get_client = get_client
        return transport

    def distrust(self) -> None:
        """An answer came that was another's: hang up, and use each new connection only once.

        Behind it the right answer may be waiting to be taken for that of the next question.
        """
        if not self._once:
            self._once = True
            for protocol in list(self._taken):
                protocol.close()
