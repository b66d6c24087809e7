"""Who we trust and who we are, out of files, each time anew: so a certificate is changed by replacing its file.

Refuses TLS before 1.2. What is wrong with a certificate is said in words for the operator (``TlsTrouble``).
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from device_profiles.tls_files import TlsFiles

_WORDS = {
    "certificate has expired": "its certificate has expired",
    "certificate is not yet valid": "its certificate is not valid yet: is this box's clock right?",
    "self-signed certificate": "its certificate is signed by itself: name its ca under tls.ca",
    "self-signed certificate in certificate chain": "its certificate is signed by a ca that we do not trust (tls.ca)",
    "unable to get local issuer certificate": "its certificate is signed by a ca that we do not trust (tls.ca)",
    "certificate revoked": "its certificate has been revoked (tls.crl)",
    "CRL has expired": "the revocation list has expired: renew tls.crl",
    "unable to get certificate CRL": "tls.crl is no list of the ca that signed its certificate",
}
"""What OpenSSL says of the other side's certificate, for people."""

_ALERTS = {
    "CERTIFICATE_REQUIRED": "it wants a certificate of ours: name tls.cert and tls.key",
    "CERTIFICATE_EXPIRED": "it says that our certificate has expired (tls.cert)",
    "CERTIFICATE_REVOKED": "it says that our certificate has been revoked (tls.cert)",
    "UNKNOWN_CA": "it does not trust the ca that signed our certificate (tls.cert)",
    "BAD_CERTIFICATE": "it does not take our certificate (tls.cert)",
    "CERTIFICATE_UNKNOWN": "it does not take our certificate (tls.cert)",
    "HANDSHAKE_FAILURE": "it breaks the handshake off: it may want a certificate of ours (tls.cert)",
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
}
"""What the other side says of ours (RFC 8446, 6.2), for people."""


class TlsTrouble(Exception):
    """A certificate file cannot be used; the text says which and why."""


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """A context for connecting. TlsTrouble when a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.crl is not None:
            context.load_verify_locations(files.crl)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (OSError, ssl.SSLError) as trouble:
        raise TlsTrouble(f"tls.ca or tls.crl cannot be used: {trouble}") from None
    if files.cert is not None and files.key is not None:
        try:
            context.load_cert_chain(files.cert, files.key, lambda: files.key_password or "")
        except (OSError, ssl.SSLError) as trouble:
            why = "they do not belong together" if "MISMATCH" in str(trouble) else str(trouble)
            raise TlsTrouble(f"tls.cert and tls.key cannot be used: {why}") from None
    return context


def changed_at(files: Iterable[Path]) -> tuple[tuple[int, int], ...]:
    """(time of change, size) of each file: another value means another certificate; a missing file is (0, 0)."""
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def in_words(trouble: BaseException) -> str:
    """A connection's trouble for the operator: what TLS says is translated, the rest is left as it is."""
    if isinstance(trouble, TlsTrouble):
        return str(trouble)
    seen: BaseException | None = trouble
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return _WORDS.get(seen.verify_message, _mismatch(seen.verify_message))
        if isinstance(seen, ssl.SSLError):
            break
        seen = seen.__cause__ or seen.__context__  # aiomqtt keeps what it wraps as the context only
    text = str(seen or trouble)
    return next((words for alert, words in _ALERTS.items() if alert in text.replace(" ", "_").upper()), text)


def _mismatch(message: str) -> str:
    if "mismatch" in message or "not valid for" in message:
        return f"its certificate is for another name ({message})"
    return f"its certificate is not taken: {message}"
