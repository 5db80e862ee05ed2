"""`refold documents`."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import EXIT_NO, Result, err, out, print_facts, print_table, short_time, tell_open_of_others
from refold.settings.settings import Settings
from schemas.errors import UsageError
from schemas.ids import random_id

app = typer.Typer(help="The documents of the corpus and what became of them.", no_args_is_help=True)

_is_uri = re.compile(r"(file|folder|https?|push):.*", re.DOTALL).fullmatch
_is_id = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch

DocumentArgument = Annotated[str, typer.Argument(help="A document id, its uri, or a path.")]


@app.command(
    "list",
    epilog="Examples: refold documents list · refold documents list --status failed · "
    "refold documents list --uri 'file:///srv/docs/' --json",
)
@with_settings
def list_(
    *,
    status: Annotated[str | None, typer.Option(help="live, failed, queued, removed or absent.")] = None,
    uri: Annotated[str | None, typer.Option(help="Only uris that begin with this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    after: Annotated[str | None, typer.Option(help="Begin after this uri (the `next` of the page before).")] = None,
    settings: Settings,
) -> Result:
    """List documents by uri."""
    arguments = {"status": status, "uri": uri, "limit": limit, "after": after}
    return Result(call(settings, "documents list", arguments), _show_list)


def _show_list(answer: dict[str, Any]) -> None:
    rows = [
        (d["status"], d["version"], d["chunk_count"], d["uri"], _trouble(d["error_code"], d["message"], d["hint"]))
        for d in answer["documents"]
    ]
    print_table(("status", "version", "chunks", "document", "error"), rows, right=("version", "chunks"))
    if answer["next"]:
        err().print(f"more with --after '{answer['next']}'")


def _trouble(code: str | None, message: str | None, hint: str | None) -> str:
    return "" if not code else f"{code}: {message}" + (f" ({hint})" if hint else "")


@app.command(epilog="Example: refold documents show docs/guide.md")
@with_settings
def show(document: DocumentArgument, settings: Settings) -> Result:
    """Show one document: version, stages, indexes, open requests."""
    answer = call(settings, "documents show", {"document": _named(document)})
    return Result(answer, lambda _: print_facts({k: v for k, v in answer.items() if v not in (None, [], {})}))


@app.command(epilog="Example: refold documents history docs/guide.md --json")
@with_settings
def history(document: DocumentArgument, settings: Settings) -> Result:
    """Show every event of one document, the first first."""
    return Result(call(settings, "documents history", {"document": _named(document)}), _show_history)


def _show_history(answer: dict[str, Any]) -> None:
    rows = [
        (e["sequence"], short_time(e["occurred_at"]), e["kind"], e["version"], e["summary"]) for e in answer["events"]
    ]
    print_table(("sequence", "at", "event", "version", "what"), rows, right=("sequence", "version"))


@app.command(
    epilog="Examples: refold documents add notes --text 'remember the milk' · "
    "refold documents add report.pdf --file report.pdf --metadata team=search"
)
@with_settings
def add(
    *,
    name: Annotated[str, typer.Argument(help="The document is called push:NAME.")],
    text: Annotated[str | None, typer.Option(help="Its text; '-' reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="The file whose bytes are pushed.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, may be repeated.")] = None,
    priority: Annotated[str, typer.Option(help="critical, normal or batch.")] = "normal",
    settings: Settings,
) -> Result:
    """Push one document that no source holds, and wait until it is searchable."""
    if (text is None) == (file is None):
        raise UsageError("give either --text or --file", op="documents add", hint="see: refold documents add --help")
    arguments = {
        "name": name,
        "data": base64.b64encode(_content(text, file)).decode(),
        "is_text": text is not None,
        "metadata": dict(_pair(pair) for pair in metadata or []),
        "priority": priority,
        "request_id": random_id(),
    }
    answer = call(settings, "documents add", arguments)
    return Result(answer, _show_added, EXIT_NO if answer["answer"] in {"failed", "parked"} else 0)


def _show_added(answer: dict[str, Any]) -> None:
    out().print(f"{answer['answer']}: {answer['uri']}, version {answer['version']}, {answer['chunks']} chunks")
    if answer.get("message"):
        err().print(_trouble(answer["error_code"], answer["message"], answer["hint"]))
    tell_open_of_others(answer)


@app.command(
    epilog="Examples: refold documents remove docs/old.md · refold documents remove docs/archive/ --yes · "
    "refold documents remove 'docs/**/*.tmp' folder:share/"
)
@with_settings
def remove(
    *,
    documents: Annotated[
        list[str], typer.Argument(help="Document ids, uris or paths; folders, globs and sources stand for all in them.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove many without a question.")] = False,
    settings: Settings,
    as_json: bool,
) -> Result | int:
    """Remove documents from the corpus; their files stay. An ingest of their source adds them again.

    A folder, a glob or a source needs not be there any more.
    """
    arguments = {"documents": [_named(d) for d in documents], "request_id": random_id()}
    answer = call(settings, "documents remove", {**arguments, "confirmed": yes})
    if "selected" in answer:
        if not _is_meant(answer["selected"], as_json=as_json):
            err().print("nothing was removed")
            return EXIT_NO
        answer = call(settings, "documents remove", arguments)
    return Result(answer, _show_removed, EXIT_NO if answer["absent"] else 0)


def _show_removed(answer: dict[str, Any]) -> None:
    out().print(f"{answer['removed']} removed, {answer['absent']} were not there")
    tell_open_of_others(answer)


def _is_meant(count: int, *, as_json: bool) -> bool:
    """What the person at the terminal says of removing `count` documents.

    Raises:
        UsageError: nobody can be asked.
    """
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            f"{count:,} documents would be removed", op="documents remove", hint="say --yes if that is meant"
        )
    return typer.confirm(f"remove {count:,} documents?", err=True)


def _content(text: str | None, file: Path | None) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text is not None:
        return text.encode()
    assert file is not None  # noqa: S101 - checked by the caller
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", op="documents add", hint="name a file you may read") from error


def _pair(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not (key and equals):
        raise UsageError(f"{pair!r} is not KEY=VALUE", op="documents add", hint="such as --metadata team=search")
    return key, value


def _named(document: str) -> str:
    """A path becomes absolute, so that it means the same to the owner; it needs not be there any more."""
    if _is_uri(document) or _is_id(document):
        return document
    return str(Path(document).resolve()) + ("/" if document.endswith("/") else "")
