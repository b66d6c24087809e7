"""The certificate files of a TLS connection as a site or centre file names them; opened elsewhere, checked to be there.

Mutual TLS is ``cert`` and ``key`` beside ``ca``. Refuses a half of a pair, and files that cannot be read.
"""

from pathlib import Path

import msgspec

from device_profiles.tables import Table


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. ``ca``: who signs the other side (None: whom the system trusts); ``cert``/``key``: who we are, with
    the chain behind it; ``crl``: certificates that no longer count."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str | None = None
    crl: Path | None = None

    def __repr__(self) -> str:  # a password is never printed
        return f"TlsFiles(ca={self.ca}, cert={self.cert}, key={self.key}, crl={self.crl})"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is named."""
        return tuple(path for path in (self.ca, self.cert, self.key, self.crl) if path is not None)


def read_tls(table: Table, wanted: bool) -> TlsFiles | None:
    """A ``tls`` table; None without TLS. ``wanted``: the address says so (mqtts://, coaps://)."""
    if not wanted:
        if table.data:
            table.trouble("", "needs an address with TLS", "mqtts://HOST:8883")
        return None
    files = TlsFiles(
        ca=_file(table, "ca"),
        cert=_file(table, "cert"),
        key=_file(table, "key"),
        key_password=table.secret("key_password"),
        crl=_file(table, "crl"),
    )
    if (files.cert is None) != (files.key is None):
        table.trouble("key" if files.key is None else "cert", "a certificate and its key come together")
    if files.crl is not None and files.ca is None:
        table.trouble("crl", "needs the ca that signs it")
    table.end()
    return files


def _file(table: Table, key: str) -> Path | None:
    if not table.has(key):
        return None
    path = table.path(key).absolute()
    try:
        with path.open("rb"):
            return path
    except OSError as trouble:
        table.trouble(key, f"{path} cannot be read: {trouble.strerror}")
        return None
