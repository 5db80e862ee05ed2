"""A folder of real files, a manifest in memory, and a planner between them."""

from collections.abc import Mapping
from pathlib import Path

from streams.planning.plan import Plan, PlannedDocument, PlanRules
from streams.planning.planner import Planner
from streams.source import Source
from streams.sources.local.folder import FolderAdapter
from tests.unit.streams.planning.remembered_documents import PARAMETERS, RememberedDocuments, expected_fingerprint


class Corpus:
    """A folder, what is known of it, and a planner between them."""

    def __init__(self, path: Path) -> None:
        self.docs = path / "docs"
        self.docs.mkdir()
        self.scratch = path / "scratch"
        self.scratch.mkdir()
        self.states = RememberedDocuments()

    def batches(
        self,
        *sources: Source,
        rules: PlanRules | None = None,
        parameters: Mapping[str, str] = PARAMETERS,
        parser: str = "parser-1",
    ) -> Plan:
        planner = Planner(
            self.states,
            parameters=parameters,
            expected_fingerprint=lambda known: expected_fingerprint(known, parser),
            scratch=self.scratch,
        )
        return planner.plan(sources or (FolderAdapter(str(self.docs)),), rules or PlanRules())

    def plan(self, *sources: Source, rules: PlanRules | None = None, parser: str = "parser-1") -> list[PlannedDocument]:
        batches = self.batches(*sources, rules=rules, parameters={"PARSE": parser}, parser=parser)
        return [document for batch in batches for document in batch]

    def actions(self, *sources: Source, rules: PlanRules | None = None, parser: str = "parser-1") -> dict[str, str]:
        planned = self.plan(*sources, rules=rules, parser=parser)
        return {document.uri.rpartition("/")[2]: document.action.value for document in planned}

    def ingest(self, *sources: Source) -> None:
        self.states.complete(self.plan(*sources))
