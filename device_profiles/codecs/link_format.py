"""CoRE link format (RFC 6690), as much as a registration needs: paths and their attributes, both directions."""

import re

import msgspec

MOST_LINKS = 1024
"""Objects and instances of one device; a registration has a dozen."""

_LINK = re.compile(r'\s*<([^<>]*)>((?:\s*;\s*[^\s;=,"<>]+(?:=(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)\s*(,|\Z)')
_ATTRIBUTE = re.compile(r';\s*([^\s;=,"<>]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


class LinkFormatError(ValueError):
    """The text is no list of links (RFC 6690, 2)."""


class Link(msgspec.Struct, frozen=True):
    """One target with its attributes; an attribute without a value has an empty one."""

    path: str
    attributes: dict[str, str] = {}


def parse_links(data: bytes | str) -> tuple[Link, ...]:
    """The links of a document; none for an empty one. LinkFormatError when it is no such document."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")  # RFC 6690, 2.1
    except UnicodeDecodeError:
        raise LinkFormatError("no UTF-8") from None
    found: list[Link] = []
    at = 0
    while at < len(text):
        match = _LINK.match(text, at)
        if match is None or len(found) >= MOST_LINKS:
            raise LinkFormatError(f"no link at {at}: {text[at : at + 40]!r}")
        attributes = {
            name: re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in _ATTRIBUTE.findall(match[2])
        }
        found.append(Link(match[1], attributes))
        at = match.end()
        if match[3] and at == len(text):
            raise LinkFormatError("a comma and no link behind it")
    return tuple(found)


def encode_links(links: tuple[Link, ...] | list[Link]) -> bytes:
    """The document of these links. ValueError for a path or a name that cannot be said."""
    return ",".join(map(_link, links)).encode()


def _link(link: Link) -> str:
    if re.search(r"[<>]", link.path) or any(not re.match(r'[^\s;=,"<>]+\Z', name) for name in link.attributes):
        raise ValueError(f"no link: {link}")
    return f"<{link.path}>" + "".join(_attribute(name, value) for name, value in link.attributes.items())


def _attribute(name: str, value: str) -> str:
    if not value:
        return f";{name}"
    if value.isdecimal():
        return f";{name}={value}"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f';{name}="{quoted}"'
