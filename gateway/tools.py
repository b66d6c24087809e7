"""Asking a running gateway over its socket, for people: blocking, one question, answers until the connection closes."""

import socket
from collections.abc import Iterator
from pathlib import Path

from device_profiles.handover import Answer, Ask, HandoverError, Reader, Trouble, encode
from device_profiles.problems import ConfigError, Problem

CONNECT_SECONDS = 5.0


def answers(listen: Path | tuple[str, int], what: str) -> Iterator[bytes]:
    """The gateway's answers (JSON) to ``Ask(what)``; ConfigError when no gateway answers there."""
    with _connect(listen) as stream:
        stream.sendall(encode(Ask(what)))
        reader = Reader()
        while data := stream.recv(65_536):
            for message in reader.feed(data):
                if isinstance(message, Answer):
                    yield message.payload
                elif isinstance(message, Trouble):
                    raise HandoverError(message.text)


def _connect(listen: Path | tuple[str, int]) -> socket.socket:
    try:
        if not isinstance(listen, Path):
            stream = socket.create_connection(listen, timeout=CONNECT_SECONDS)
        else:
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                stream.connect(str(listen))
            except OSError:
                stream.close()
                raise
    except OSError as trouble:
        place = str(listen) if isinstance(listen, Path) else f"tcp://{listen[0]}:{listen[1]}"
        message = f"no gateway answers here: {trouble.strerror or trouble}"
        raise ConfigError([Problem(place, 0, "", message, "is it running?")]) from None
    stream.settimeout(None)
    return stream
