"""Asking a running pole over its gateway's socket, for `tap` and `ledger`. Refuses to start anything by
itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from device_profiles.handover import Answer, Ask, HandoverError, Reader, Trouble, encode
from edge_agent.handover import READ_BYTES, Address, connect


class NobodyListens(Exception):
    """No gateway answers at that address; the text says where and what to do."""


async def answers(address: Address, what: str) -> AsyncGenerator[bytes, None]:
    """The gateway's answers (JSON) to a question, until it closes the connection. NobodyListens when none
    can be had."""
    place = str(address) if not isinstance(address, tuple) else "tcp://{}:{}".format(*address)
    try:
        reader, writer = await connect(address)
    except OSError as trouble:
        raise NobodyListens(
            f"no pole listens at {place} ({trouble.strerror or trouble}): is `kuimen pole run` running for this site?"
        ) from None
    try:
        writer.write(encode(Ask(what)))
        messages = Reader()
        while data := await reader.read(READ_BYTES):
            for message in messages.feed(data):
                if isinstance(message, Answer):
                    yield message.payload
                elif isinstance(message, Trouble):
                    raise NobodyListens(f"the gateway at {place} refuses: {message.text}")
    except (OSError, HandoverError) as trouble:
        raise NobodyListens(f"the gateway at {place} broke off: {trouble}") from None
    finally:
        writer.transport.abort()
