"""The client's settings as Faust takes them: one mapping, librdkafka's, is all that people write."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import faust
from faust.types.auth import CredentialsT

from schemas.errors import UsageError

_SASL = {"SASL_PLAINTEXT", "SASL_SSL"}
_TLS = {"SSL", "SASL_SSL"}


def credentials_of(client: Mapping[str, str]) -> CredentialsT | None:
    """TLS and SASL of `client`; None for plain text.

    Raises:
        UsageError: a protocol or mechanism that Faust does not speak.
    """
    protocol = client.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in {"PLAINTEXT", *_SASL, *_TLS}:
        raise UsageError(
            f"security.protocol {protocol!r} is not known", hint="PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
        )
    context = _tls_of(client) if protocol in _TLS else None
    if protocol in _SASL:
        return faust.SASLCredentials(
            username=client.get("sasl.username"),
            password=client.get("sasl.password"),
            mechanism=client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "PLAIN",
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _tls_of(client: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
    certificate = client.get("ssl.certificate.location")
    if certificate is not None:
        context.load_cert_chain(certificate, client.get("ssl.key.location"), client.get("ssl.key.password"))
    if client.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    return context
