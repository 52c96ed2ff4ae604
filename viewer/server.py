"""The page's server: one socket on 127.0.0.1, until Ctrl-C."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from errors import UsageError
from viewer.app import build
from viewer.sources import Sources


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket on 127.0.0.1 and nowhere else. Raises UsageError where the port is taken."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: {error.strerror}.", hint="Leave --port out for a free one."
            ) from error
        place.listen(128)
        yield place


def serve(sources: Sources, place: socket.socket) -> None:
    """Answer until the user ends it."""
    import uvicorn

    config = uvicorn.Config(
        build(sources, place.getsockname()[1]),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
    )
    # uvicorn ends in good order and then raises the signal again: for a page that is the way out.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[place])
