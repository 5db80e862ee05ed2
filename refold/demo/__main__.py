"""The demo: documents go in, three questions are answered, and the indexes are proved equal to the log.

Everything it shows is printed by the commands it names, run here one after another.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from rich.text import Text

from refold.api.session import Session
from refold.cli.app import app
from refold.cli.output import EXIT_INTERRUPTED, EXIT_NO, out, print_error
from refold.control.messages import Json, exit_code_of
from refold.demo.documents import write_documents
from refold.settings.settings import Settings, load_settings
from schemas.errors import RefoldError
from streams.documents.uris import file_uri

QUESTIONS = (
    "why is there high water twice a day?",
    "Fresnel lens",
    "what to do when the disk is full?",
)
"""For the demo's own documents: a question to the web page, words from the PDF, a question to the runbooks."""

PROJECT_DOCS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ops")
"""What of the project is ingested when the demo runs in a checkout."""

SEARCHES = 3
HITS = 2

_DOCUMENTS_READ = 500
_LETTERS = re.compile(r"[^\W\d_]{3}")
_QUESTION_WORDS = 6


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo in the folder `home`: its documents, and its data folder."""

    home: Path
    source: str | None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "refold-data"

    @property
    def settings(self) -> Settings:
        """What its commands run with."""
        return load_settings({"data": self.data})

    def sources(self) -> list[str]:
        """What is ingested: the given source, or documents made here and the project's own."""
        if self.source is not None:
            return [self.source]
        folder = self.home / "documents"
        write_documents(folder)
        root = Path(__file__).parents[2]
        return [str(folder), *(_shown(root / name) for name in PROJECT_DOCS if (root / name).exists())]

    def run(self, *arguments: str) -> int:
        """The exit code of `refold arguments…`, which is shown first, as it would be typed."""
        typed = [*arguments, "--data", str(self.data)]
        out().print(Text(f"$ {_program()} {shlex.join(typed)}", style="bold cyan"), soft_wrap=True)
        code = app(typed, standalone_mode=False)
        return code if isinstance(code, int) else 0

    def questions(self) -> Sequence[str]:
        """What to search for: of documents nobody knows, their own titles, or else the names of their files."""
        if self.source is None:
            return QUESTIONS
        documents = self._documents()
        titles = _questions(document["title"] or "" for document in documents)
        names = _questions(_file_name(document["uri"]) for document in documents)
        return _spread(titles if len(titles) >= SEARCHES else [*titles, *names])

    def _documents(self) -> Sequence[Json]:
        source = Path(str(self.source))
        prefix = file_uri(source.resolve()) if source.exists() else None
        wanted = {"status": "live", "uri": prefix, "limit": _DOCUMENTS_READ}
        documents: list[Json] = Session(self.settings).call("documents list", wanted)["documents"]
        return documents

    def has_nothing_to_do(self) -> bool:
        """Whether the latest ingest found every document as it was."""
        jobs: list[Json] = Session(self.settings).call("jobs list", {"limit": 1})["jobs"]
        return bool(jobs) and jobs[0]["requested"] == 0


def main() -> None:
    """Run the demo and exit: 0 when the indexes equal the log."""
    parser = argparse.ArgumentParser(prog="python -m refold.demo.__main__", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("demo-data"), help="where the demo lives [demo-data]")
    parser.add_argument("source", nargs="?", help="a folder, file or glob of yours, instead of the demo's documents")
    given = parser.parse_args()
    try:
        sys.exit(show(Demo(given.data, given.source)))
    except RefoldError as error:
        print_error(error, as_json=False)
        sys.exit(exit_code_of(error))


def show(demo: Demo) -> int:
    """Run everything; the exit code of the last step that matters."""
    if demo.data.exists():
        out().print(f"{demo.home} holds an earlier demo, which is used again: only what has changed is work.\n")
    _heading("Documents go in")
    if demo.run("ingest", *demo.sources()) == EXIT_INTERRUPTED:
        return EXIT_INTERRUPTED
    if demo.has_nothing_to_do():
        out().print("nothing to do: every document is as it was, and none had to be read to know that")

    _heading("Questions are answered")
    questions = demo.questions()
    if not questions:
        out().print("there is nothing to search for: no document was completed")
        return EXIT_NO
    for question in questions:
        demo.run("search", question, "--limit", str(HITS))

    _heading("The indexes hold exactly what the log says")
    code = demo.run("verify")
    _say_what_next(demo, questions[0])
    return code


def _say_what_next(demo: Demo, question: str) -> None:
    _heading("What to try next")
    program, data = _program(), f"--data {shlex.quote(str(demo.data))}"
    for command, meaning in (
        (f"{program} search {shlex.quote(question)} --mode vector {data}", "by meaning only; or --mode keyword"),
        (f"{program} documents list {data}", "every document, and what became of it"),
        (f"{program} log tail {data}", "the events that everything else is folded from"),
        (f"{program} rebuild {data}", "both indexes anew: nothing is parsed or embedded again"),
        (f"{program} ingest FOLDER --data my-data", "a corpus of your own"),
        (f"{program} --help", "everything else; README.md tells it in order"),
    ):
        out().print(Text.assemble(f"  {command}\n", (f"      {meaning}", "dim")), soft_wrap=True)


def _heading(text: str) -> None:
    out().print(Text(f"\n== {text}", style="bold"))


def _program() -> str:
    """How `refold` is called from here: by its name, or where this environment keeps it."""
    if shutil.which("refold"):
        return "refold"
    beside = Path(sys.executable).parent / "refold"
    return _shown(beside) if beside.exists() else f"{_shown(Path(sys.executable))} -m refold.cli"


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _file_name(uri: str) -> str:
    return Path(unquote(uri.rpartition("/")[2])).stem


def _questions(names: Iterable[str]) -> list[str]:
    """The first words of titles or file names, each once; of those that say nothing, such as ``a1``, none."""
    said = (re.findall(r"[^\W_]+", name)[:_QUESTION_WORDS] for name in names if _LETTERS.search(name))
    return list(dict.fromkeys(" ".join(words) for words in said))


def _spread(questions: Sequence[str]) -> Sequence[str]:
    """Some of them, from all over the list."""
    step = max(1, len(questions) // SEARCHES)
    return questions[step // 2 :: step][:SEARCHES]


if __name__ == "__main__":
    main()
