"""Deletes from servers what tests have made there, by what its names begin with; nothing else."""

from __future__ import annotations

from urllib.parse import quote

import httpx


def drop_collections(url: str, prefix: str) -> None:
    """Delete the collections of the Qdrant server at `url` whose names begin with `prefix`."""
    from qdrant_client import QdrantClient  # noqa: PLC0415 - an extra

    client = QdrantClient(url=url, check_compatibility=False)
    for collection in client.get_collections().collections:
        if collection.name.startswith(prefix):
            client.delete_collection(collection.name)
    client.close()


def drop_indexes(url: str, prefix: str) -> None:
    """Delete the indexes of the OpenSearch server at `url` whose names begin with `prefix`."""
    from opensearchpy import OpenSearch  # noqa: PLC0415 - an extra

    with OpenSearch([url]) as client:
        client.indices.delete(index=f"{prefix}*", ignore_unavailable=True)


def drop_subjects(url: str, prefix: str) -> None:
    """Delete the subjects of the schema registry at `url` whose names begin with `prefix`, for good."""
    with httpx.Client(base_url=url, timeout=30) as client:
        subjects = client.get("/subjects").raise_for_status().json()
        for subject in (one for one in subjects if one.startswith(prefix)):
            for permanent in ("false", "true"):
                client.delete(f"/subjects/{quote(subject, safe='')}", params={"permanent": permanent})
