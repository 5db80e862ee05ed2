"""A keyword index on an OpenSearch server (3 or newer), an index there per generation.

One shard, so that BM25's statistics are those of the whole index; a replica where there is a second node. A bulk that
was answered is durable (the server's translog is synced before it answers); `flush` refreshes, so that searches see it.
Deleted chunks count in BM25's statistics until their segments are merged, as in every Lucene.

The `_meta` of the index's mapping says what it is, from the moment it exists; writers check it before each turn of
writing, readers once a second. Writes go by an alias that only refold makes: to an index that was deleted they fail,
where the server would otherwise make an empty one of that name. Documents that others put there are foreign: reported
by `read`, never found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar, cast

from projections.backends.matching import admission, is_unicode, unchecked
from projections.backends.opensearch.errors import disk_full, is_disk_full, item_refusal, mapped_opensearch_errors
from projections.backends.opensearch.generation import OpenSearchGeneration
from projections.backends.opensearch.index import (
    CHUNK_ID,
    ENTRY_FIELDS,
    HIT_FIELDS,
    OURS,
    Json,
    attributes_of,
    document_of,
    entry_of,
    scored_chunk,
    search_query,
)
from projections.backends.opensearch.server import TIMEOUT_S, OpenSearchServer, whole
from projections.backends.ranking import best
from projections.backends.server_calls import BUSY, write_or_halve
from projections.index.backend import Filters, IndexedChunk, IndexEntry, IndexForeign, ScoredChunk, refused_chunk
from projections.index.words import parse_query
from schemas.errors import PoisonError, TransientError
from schemas.ids import ChunkId

ResultT = TypeVar("ResultT")

BULK_CHUNKS = 1_000
"""Chunks in one bulk request: some 2 MB of texts."""

PAGE_HITS = 5_000
"""Hits or ids read in one call; the server gives no more than 10,000."""

READ_CHUNKS = 1_000
"""Entries read in one call."""

MERGE_TIMEOUT_S = 60.0
"""For a vacuum, which rewrites segments; one that takes longer continues on the server."""

PIT_KEEP_ALIVE = "2m"
"""How long a scan may pause between two batches."""


class OpenSearchKeywordBackend:
    """Texts by their words in the index ``{prefix}-keyword-{generation}`` of a server.

    Args:
        generation: The id in the index's mark.
        server: Where it is.
        create: Whether to begin an empty index; an earlier one of the same name is deleted.

    Raises:
        IndexForeign: there is no index of that name that holds this generation.
        UsageError: an index of that name is not one of refold's; it is left alone. Or the user may not do this.
        UnreachableError: the server does not answer.
    """

    def __init__(self, generation: str, server: OpenSearchServer, *, create: bool) -> None:
        self._there = OpenSearchGeneration(generation, server)
        self._name, self._client = self._there.name, self._there.client
        self._is_closed = False
        self._is_dirty = False
        (self._there.create if create else self._there.check)()

    def check_mark(self) -> None:
        """Raise unless the index is the one that was opened; see the port."""
        self._there.check(opens=False)

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks` under their ids, replacing what was there; durable at once, visible after `flush`.

        Raises:
            PoisonError: the server refuses one, also alone; those before it in `chunks` are written.
            TransientError: it stays too busy, or does not answer.
        """
        try:
            for start in range(0, len(chunks), BULK_CHUNKS):
                write_or_halve(chunks[start : start + BULK_CHUNKS], self._upsert)
        except PoisonError:
            self.check_mark()  # an index that others have made again may refuse everything
            raise

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id; gone after `flush`."""
        for start in range(0, len(chunk_ids), BULK_CHUNKS):
            self._bulk("delete", [{"delete": {"_id": one}} for one in chunk_ids[start : start + BULK_CHUNKS]])

    def flush(self) -> None:
        """Make everything so far visible to searches that begin from now on; durable it is already."""
        if self._is_dirty:
            self._there.call(
                "flush", lambda: whole(self._client.indices.refresh(index=self._name), "flush", self._name)
            )
            self._is_dirty = False

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids, in batches, as they were when the scan began; of strangers' that say no chunk, a page at most."""
        self._there.look_again()
        for hits in self._pages({"query": OURS, "sort": [{CHUNK_ID: "asc"}], "_source": False}, op="scan"):
            yield [ChunkId(hit["_id"]) for hit in hits]
        strangers = {"query": {"bool": {"must_not": [OURS]}}, "_source": False, "size": PAGE_HITS}
        if hits := _hits(self._there.call("scan", lambda: self._client.search(index=self._name, body=strangers))):
            yield [ChunkId(hit["_id"]) for hit in hits]

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`, as searches see it."""
        self._there.look_again()
        options = {"realtime": "false", "_source_includes": ",".join(ENTRY_FIELDS)}
        wanted, entries = list(dict.fromkeys(chunk_ids)), list[IndexEntry]()
        for start in range(0, len(wanted), READ_CHUNKS):
            body = {"ids": wanted[start : start + READ_CHUNKS]}
            documents = self._there.call("read", partial(self._got, body, options))
            entries += [entry_of(ChunkId(one["_id"]), one["_source"]) for one in documents if one["found"]]
        return entries

    def count(self) -> int:
        """How many chunks are there, as searches see them."""
        self._there.look_again()

        def count() -> Json:
            return whole(self._client.count(index=self._name), "count", self._name)

        return int(self._there.call("count", count)["count"])

    def vacuum(self) -> None:
        """Have segments rewritten of which a tenth or more is deleted (the server's own measure)."""
        merge = partial(
            self._client.indices.forcemerge,
            index=self._name,
            params={"only_expunge_deletes": "true"},
            timeout=MERGE_TIMEOUT_S,
        )
        # A server that is too busy, or not done yet, is not asked again: the next vacuum does what is left.
        with (
            suppress(TransientError),
            mapped_opensearch_errors("vacuum", self._there.mark, self._name, opens=False),
        ):
            merge()

    def size_bytes(self) -> int:
        """Bytes on the server's disks, without replicas."""
        stats = self._there.call("measure", lambda: self._client.indices.stats(index=self._name, metric="store"))
        return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])

    def close(self) -> None:
        """Flush and let go of connections."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with suppress(IndexForeign):  # it has been dropped: there is nothing to show
                self.flush()
        finally:
            self._client.close()

    def drop(self) -> None:
        """Delete the index from the server and let go of connections; for a generation that is no longer needed."""
        self._is_closed = True
        self._there.delete()
        self._client.close()

    def search(self, query: str, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` best chunks, best first, equal scores by chunk id; what matches: `projections/index/words.py`.

        Of a query of more than 500 different words, those beyond find chunks but do not raise their scores.
        """
        asked, admits = parse_query(query), admission(unchecked(filters))
        if asked.is_empty or (filters is not None and not is_unicode(filters)):
            return []
        self._there.look_again()
        body = {"query": search_query(asked, filters), "_source": HIT_FIELDS, "track_total_hits": False}
        return best(
            lambda wanted: self._found(body, wanted),
            lambda hit: scored_chunk(hit) if admits(attributes_of(hit)) else None,
            limit=limit,
        )

    def _found(self, body: Json, wanted: int) -> Sequence[Json]:
        """The `wanted` best hits; many of them in pages."""
        if wanted <= PAGE_HITS:
            options = {"preference": self._name}  # the same copy of the index each time: others score a little apart
            return _hits(self._searched({**body, "size": wanted}, "search", {"index": self._name, "params": options}))
        found: list[Json] = []
        ours = {"bool": {"must": [body["query"]], "filter": [OURS]}}  # what has no id has no place in the order
        by_score = {**body, "query": ours, "sort": [{"_score": "desc"}, {CHUNK_ID: "asc"}], "track_scores": True}
        for hits in self._pages(by_score, op="search"):
            found += hits
            if len(found) >= wanted:
                break
        return found[:wanted]

    def _pages(self, body: Json, *, op: str) -> Iterator[Sequence[Json]]:
        """All hits of a sorted query as the index stands now, PAGE_HITS at a time."""
        keep_alive = {"keep_alive": PIT_KEEP_ALIVE}
        whole_only = {**keep_alive, "allow_partial_pit_creation": "false"}
        pit_id = self._there.call(op, lambda: self._client.create_pit(index=self._name, params=dict(whole_only)))[
            "pit_id"
        ]
        try:
            asked = {**body, "size": PAGE_HITS, "pit": {"id": pit_id, **keep_alive}, "track_total_hits": False}
            while hits := _hits(self._searched(asked, op, {"params": {}})):
                yield hits
                if len(hits) < PAGE_HITS:
                    return
                asked = {**asked, "search_after": hits[-1]["sort"]}
        finally:
            if not self._is_closed:
                self._there.call(op, lambda: self._client.delete_pit(body={"pit_id": [pit_id]}))

    def _searched(self, body: Json, op: str, where: Json) -> Json:
        """The server's whole answer; a part of it would pass for all there is."""
        timeout_s = self._there.search_timeout_s if op == "search" else TIMEOUT_S
        params = {**where["params"], "allow_partial_search_results": "false", "request_timeout": timeout_s}

        def search() -> Json:
            return whole(self._client.search(body=body, **{**where, "params": dict(params)}), op, self._name)

        return self._there.call(op, search, within_s=timeout_s)

    def _got(self, body: Json, options: Json) -> Sequence[Json]:
        """What the server says of each id; of an index that is not there, or not yet, it says it of each as well."""
        documents = cast("Sequence[Json]", self._client.mget(index=self._name, body=body, params=dict(options))["docs"])
        for one in documents:
            if (said := item_refusal(one)) is not None:
                self._raise_if_lost(one)
                raise TransientError(f"OpenSearch: {said}", op="read", subject=self._name, hint="refold doctor")
        return documents

    def _raise_if_lost(self, item: Json) -> None:
        if item.get("error", {}).get("type") == "index_not_found_exception":
            raise self._there.lost()

    def _upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        lines: list[Json] = []
        for chunk in chunks:
            lines += [{"index": {"_id": chunk.chunk_id}}, document_of(chunk)]
        for chunk, item in zip(chunks, self._bulk("upsert", lines), strict=True):
            if (said := item_refusal(item)) is not None:
                raise refused_chunk(chunk, f"is refused: {said}")

    def _bulk(self, op: str, lines: Sequence[Json]) -> Sequence[Json]:
        """What the server says of each item; all are sent again if it was too busy for one."""
        self._is_dirty = True
        options = {"require_alias": "true"}

        def send() -> Sequence[Json]:
            answer = self._client.bulk(body=lines, index=self._there.alias, params=options)
            items = [next(iter(item.values())) for item in answer["items"]]
            self._raise_for_all(op, items)
            return items

        return self._there.call(op, send)

    def _raise_for_all(self, op: str, items: Sequence[Json]) -> None:
        """Raise what an item was answered with that is not the item's own fault."""
        for item in items:
            self._raise_if_lost(item)
            if (said := item_refusal(item)) is not None and is_disk_full(said):
                raise disk_full(op, self._name, said)
            if item["status"] in BUSY:
                raise TransientError(f"OpenSearch is busy: {said}", op=op, subject=self._name, hint="refold doctor")


def _hits(answer: Json) -> Sequence[Json]:
    return cast("Sequence[Json]", answer["hits"]["hits"])
