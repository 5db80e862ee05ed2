"""The HTTP API of Confluent's schema registry, as far as it is used; Karapace, Apicurio and Redpanda speak it too."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from schemas.errors import FatalError, RefoldError, TransientError, UsageError
from schemas.extras import extra
from schemas.registry import SchemaConflict

with extra("kafka"):
    import httpx

CONNECT_TIMEOUT_S = 5.0
"""How long a registry may take to accept a connection; it is asked when a process starts, and people wait for that."""

ANSWER_TIMEOUT_S = 15.0
"""How long it may take to answer: checking a schema against all versions before it is what takes longest."""

COMPATIBILITY = "FULL_TRANSITIVE"
"""Old events are read by new code for ever, and old code may read new events while a release is rolled out."""

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_ABSENT = range(40400, 40500)  # error codes of what is not there; a 404 without one means that this is no registry
_HTTP_CONFLICT, _HTTP_NOT_FOUND, _HTTP_TIMEOUT, _HTTP_TOO_MANY, _HTTP_FAULT = 409, 404, 408, 429, 500
_HTTP_DENIED = (401, 403)
_HTTP_UNPROCESSABLE = 422


@dataclass(frozen=True, slots=True)
class HeldSchema:
    """A version of a subject, with the text the registry has for it."""

    schema_id: int
    text: str


class ConfluentClient:
    """Asks the registry at `url`; connects at the first question. Thread-safe.

    Args:
        url: Such as ``https://user:password@host:8081``, with the path if its API has one (Apicurio:
            ``/apis/ccompat/v7``).
        user: For basic authentication, unless `url` names one.
        password: Of that user.
        ca_file: Certificates to trust instead of the machine's, as PEM.

    Raises:
        UsageError: `url` or `ca_file` cannot be.

    All methods raise TransientError when the registry cannot be reached or is not well, UsageError when it refuses the
    user, and FatalError when what answers is no registry.
    """

    def __init__(
        self, url: str, *, user: str | None = None, password: str | None = None, ca_file: Path | None = None
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise _bad_url() from exc
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise _bad_url()
        self.address = str(parsed.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
        name = parsed.username or user
        self._client = httpx.Client(
            base_url=self.address,
            auth=httpx.BasicAuth(name, parsed.password or password or "") if name else None,
            verify=_trusting(ca_file) if ca_file is not None else True,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"Accept": f"{_MEDIA_TYPE}, application/json"},
        )

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._client.close()

    def versions(self, subject: str) -> list[int]:
        """The versions of `subject`; none where there is no such subject."""
        found = self._ask("GET", f"/subjects/{_quoted(subject)}/versions")
        return sorted(map(int, found)) if found is not None else []

    def version(self, subject: str, version: int) -> HeldSchema | None:
        """That version of `subject`, or None."""
        found = self._ask("GET", f"/subjects/{_quoted(subject)}/versions/{version}")
        return HeldSchema(int(found["id"]), str(found["schema"])) if found is not None else None

    def text_of(self, schema_id: int) -> str | None:
        """The schema of that id, or None."""
        found = self._ask("GET", f"/schemas/ids/{schema_id}")
        return str(found["schema"]) if found is not None else None

    def places_of(self, schema_id: int) -> list[tuple[str, int]]:
        """The subjects and versions that the schema of that id stands at."""
        found = self._ask("GET", f"/schemas/ids/{schema_id}/versions")
        return [(str(place["subject"]), int(place["version"])) for place in found or ()]

    def register(self, subject: str, text: str) -> int:
        """The id of the schema `text` as the next version of `subject`, or as the one that it is already.

        Raises:
            SchemaConflict: it is not compatible with the versions there are, or no schema to this registry.
        """
        body = {"schema": text, "schemaType": "AVRO"}
        return int(self._ask("POST", f"/subjects/{_quoted(subject)}/versions?normalize=true", body)["id"])

    def compatibility(self, subject: str) -> str | None:
        """The rule for new versions that was set for `subject` itself, or None."""
        found = self._ask("GET", f"/config/{_quoted(subject)}")
        return str(found["compatibilityLevel"]) if found is not None else None

    def set_compatibility(self, subject: str, level: str = COMPATIBILITY) -> None:
        """Set the rule for new versions of `subject`, which need not exist."""
        self._ask("PUT", f"/config/{_quoted(subject)}", {"compatibility": level})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Content-Type": _MEDIA_TYPE} if body is not None else None
        try:
            response = self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as exc:
            raise self._away(str(exc) or type(exc).__name__) from exc
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and answer is not None:
            return answer
        code, message = _complaint(answer)
        if response.status_code == _HTTP_NOT_FOUND and code in _ABSENT:
            return None
        raise self._fault(response, message, path=path)

    def _fault(self, response: httpx.Response, message: str, *, path: str) -> RefoldError:
        status = response.status_code
        if status in {_HTTP_TIMEOUT, _HTTP_TOO_MANY} or status >= _HTTP_FAULT:
            seconds = response.headers.get("Retry-After", "")
            return self._away(f"{status} {message}", retry_after_s=float(seconds) if seconds.isdecimal() else None)
        if status in {_HTTP_CONFLICT, _HTTP_UNPROCESSABLE}:
            return SchemaConflict(
                f"the registry refuses the schema: {message}",
                op="register schema",
                subject=path.split("/")[2],
                hint="refold schema check says what is wrong with a new version; a released one never changes",
            )
        if status in _HTTP_DENIED:
            return UsageError(
                f"the schema registry at {self.address} refuses: {status} {message}",
                op="ask registry",
                subject=self.address,
                hint="check the user, the password and what the user may do",
            )
        return FatalError(
            f"what answers at {self.address} is no schema registry: {status} {message}",
            op="ask registry",
            subject=self.address,
            hint="check the address: some registries need a path, such as /apis/ccompat/v7 of Apicurio",
        )

    def _away(self, what: str, *, retry_after_s: float | None = None) -> TransientError:
        return TransientError(
            f"the schema registry at {self.address} cannot be reached: {what}",
            op="ask registry",
            subject=self.address,
            hint="check that the registry runs and that its address and certificates are right",
            retry_after_s=retry_after_s,
        )


def _complaint(answer: Any) -> tuple[int, str]:
    if not isinstance(answer, dict):
        return 0, ""
    code = answer.get("error_code", 0)
    return code if isinstance(code, int) else 0, str(answer.get("message", ""))


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _trusting(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # which ssl.SSLError is, too
        raise UsageError(
            f"{ca_file} holds no certificates: {exc}",
            op="ask registry",
            subject=str(ca_file),
            hint="name a PEM file with the certificate authority of the registry",
        ) from exc


def _bad_url() -> UsageError:
    return UsageError(
        "the address of the schema registry is not one",  # it may hold a password, so it is not shown
        op="ask registry",
        subject="registry",
        hint="write it like https://host:8081",
    )
