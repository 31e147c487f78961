"""How to reach the broker, and how to be known there.

The client id is the name of our session: the broker keeps what we have not acknowledged under it
for `session_expiry_seconds`, so it must be the same in every life of one agent.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from agent.contract.errors import AgentError

PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """`retry_seconds_*` bound the wait between two attempts to connect."""

    url: str
    client_id: str
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_seconds: int = 30
    session_expiry_seconds: int = 7 * 86_400
    payload_bytes_max: int = 1 << 20
    retry_seconds_first: float = 0.5
    retry_seconds_max: float = 30.0
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def address(self) -> Address:
        return parse_url(self.url)


def parse_url(url: str) -> Address:
    """Where `mqtt://host:port` or `mqtts://host:port` points; the port may be left out.

    Raises:
        AgentError: naming the key and what would be right.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or "@" in parts.netloc:
        raise AgentError(
            "broker.url must be mqtt://host:port or mqtts://host:port, "
            f"with user name and password in keys of their own (got {_without_user(url)!r})"
        )
    return Address(host, port or PORTS[parts.scheme], parts.scheme == "mqtts")


def _without_user(url: str) -> str:
    """`url` less what stands before an `@`: it may be a password, and messages are logged."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """What `mqtts://` needs, read from disk anew each time: certificates are renewed.

    Raises:
        AgentError: naming the files, if one cannot be read or is no certificate.
    """
    if not settings.address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except OSError as error:  # ssl.SSLError is one too
        files = [settings.ca_file, settings.cert_file, settings.key_file]
        names = ", ".join(str(file) for file in files if file is not None) or "system's CA files"
        raise AgentError(f"broker: cannot use {names} for TLS: {error.strerror or error}") from None
    return context
