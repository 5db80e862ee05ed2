"""Canonical uris: how each kind of source names its documents, so that one document has one name.

| scheme | of | form |
|---|---|---|
| ``file:`` | files and folders by their real path | RFC 8089; the bytes percent-encoded, a folder ends in ``/`` |
| ``folder:`` | the same, for a root that may move | ``folder:NAME/relative/path`` |
| ``http:``, ``https:`` | pages | RFC 3986 §6 normalised, without fragment |
| ``push:`` | pushed bytes | ``push:NAME`` |

All but the unreserved characters of RFC 3986 §2.3 are encoded in names, so that names which are no UTF-8 survive, and
an unencoded ``*``, ``?`` or ``[`` can only be the pattern of a source root.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes, urlsplit

from schemas.errors import PoisonError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_is_plain = re.compile(r"[A-Za-z0-9._~-]+").fullmatch
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_is_canonical_file_uri = re.compile(
    # segments that are neither . nor .., of unreserved characters and escapes of others; / and NUL are in no name
    r"file://(?:/(?!\.{1,2}(?:/|$))"
    r"(?:[A-Za-z0-9._~-]|%(?!00|2[DEF]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)[0-9A-F]{2})+)+"
).fullmatch
"""True of what `canonical_uri` gives for files: most requests are about files, and this takes a twentieth as long."""

_URL_SAFE = "%:/?#[]@!$&'()*+,;=~"


class InvalidUri(PoisonError):  # noqa: N818 - a state, as in the error tree
    """This is no uri that a document can have."""


def quoted(name: str) -> str:
    """One segment of a path, percent-encoded; `name` as `os` gives it, undecodable bytes as surrogates."""
    return name if _is_plain(name) else quote_from_bytes(os.fsencode(name), safe="")


def canonical_uri(uri: str) -> str:
    """The canonical form of `uri`, by the table above; a ``file:`` uri is not compared with any disk.

    Raises:
        InvalidUri: no document can be called that.
    """
    if _is_canonical_file_uri(uri):
        return uri
    try:
        return _canonical_uri(uri)
    except UnicodeEncodeError as exc:
        raise InvalidUri("it holds half a character", op="name document", subject=ascii(uri)) from exc


def _canonical_uri(uri: str) -> str:
    scheme, colon, rest = uri.partition(":")
    match scheme.lower() if colon else "":
        case "file":
            return file_uri(os.path.normpath(path_of(uri)))
        case "folder":
            name, *segments = map(_unquoted, rest.split("/"))
            if {".", ".."} & set(segments) or "" in segments[:-1]:
                raise InvalidUri("its path has empty, . or .. segments", op="name file", subject=uri)
            return folder_file_uri(name, "/".join(segments))
        case "http" | "https":
            return http_uri(uri)
        case "push":
            return push_uri(_unquoted(rest))
        case _:
            raise InvalidUri(
                "it begins with none of file:, folder:, http:, https:, push:",
                op="name document",
                subject=uri,
                hint="push:NAME is for what no folder and no page holds",
            )


def file_uri(path: str | bytes | Path) -> str:
    """The ``file:`` uri of an absolute real `path`; a path that ends in a slash keeps it.

    Raises:
        InvalidUri: `path` is relative.
    """
    encoded = os.fsencode(path)
    if not encoded.startswith(b"/"):
        raise InvalidUri("the path is not absolute", op="name file", subject=os.fsdecode(encoded))
    return "file://" + quote_from_bytes(encoded, safe="/")


def folder_file_uri(name: str, relative_path: str) -> str:
    """The ``folder:`` uri of what lies at `relative_path` under the root that goes by `name`.

    Raises:
        InvalidUri: `name` is empty, or the path leaves the root.
    """
    segments = relative_path.split("/")
    if not name or ".." in segments or relative_path.startswith("/"):
        raise InvalidUri(op="name file", subject=f"{name}/{relative_path}")
    return f"folder:{quoted(name)}/{'/'.join(map(quoted, segments)) if relative_path else ''}"


def push_uri(name: str) -> str:
    """The ``push:`` uri of bytes pushed under `name`.

    Raises:
        InvalidUri: `name` is empty.
    """
    if not name:
        raise InvalidUri("pushed bytes need a name", op="name pushed bytes")
    return "push:" + quote_from_bytes(os.fsencode(name), safe="/")


def path_of(uri: str) -> Path:
    """The path that a ``file:`` uri names.

    Raises:
        InvalidUri: it names none on this machine: another scheme or host, a relative path, a NUL.
    """
    scheme, colon, rest = uri.partition(":")
    if scheme.lower() != "file" or not colon or "?" in rest or "#" in rest:
        raise InvalidUri("this is no file: uri", op="find file", subject=uri)
    for host in ("///", "//localhost/"):
        if rest.startswith(host):
            rest = rest[len(host) - 1 :]
            break
    encoded = unquote_to_bytes(rest)
    if not encoded.startswith(b"/") or encoded.startswith(b"//") or b"\0" in encoded:
        raise InvalidUri("this file: uri names no path on this machine", op="find file", subject=uri)
    return Path(os.fsdecode(encoded))


def http_uri(url: str) -> str:
    """`url` normalised: scheme and host in lower case, no default port, dot segments or fragment, tidy escapes.

    Raises:
        InvalidUri: it is no http(s) url, has no host or a bad port, or carries a user or password, which must not be
            written down.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidUri(f"this is no url: {exc}", op="name page", subject=_without_credentials(url)) from exc
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host:
        raise InvalidUri("this is no http(s) url with a host", op="name page", subject=_without_credentials(url))
    if "@" in parts.netloc:
        raise InvalidUri(
            "a url must not carry a user or password",
            op="name page",
            subject=_without_credentials(url),
            hint="give credentials in the settings",
        )
    authority = _authority(host, port if port != _DEFAULT_PORTS[scheme] else None)
    path = _without_dot_segments(_tidy(parts.path)) or "/"
    query = f"?{_tidy(parts.query)}" if parts.query else ""
    return f"{scheme}://{authority}{path}{query}"


def _unquoted(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/]*@", "//…@", url)


def _authority(host: str, port: int | None) -> str:
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as exc:
            raise InvalidUri("this is no host name", op="name page", subject=host) from exc
    return host if port is None else f"{host}:{port}"


def _tidy(text: str) -> str:
    """`text` with escapes of unreserved characters undone, other escapes in upper case, and the rest encoded."""

    def tidied(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character in _UNRESERVED else escape[0].upper()

    stray = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return _ESCAPE.sub(tidied, quote(stray, safe=_URL_SAFE))


def _without_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            kept[1:] = kept[1:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)
