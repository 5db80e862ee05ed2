"""What every artifact store keeps; a new one is one more line in `STORES`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import PoisonError
from schemas.events import ArtifactRef
from streams.artifact_stores.local import PACKED_LIMIT_BYTES, LocalArtifacts
from streams.artifact_stores.memory import MemoryArtifacts
from streams.artifact_stores.objects import STREAMED_FROM_BYTES, ObjectArtifacts, path_of_blob
from streams.artifact_stores.shared_folder import SharedFolderArtifacts
from streams.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactStats, ArtifactStore
from tests.samples.flipped_bits import flipped, tamper
from tests.servers.s3 import open_s3

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)

STORES: dict[str, Callable[[Path], ArtifactStore]] = {
    "memory": lambda _folder: MemoryArtifacts(lambda: NOON),
    "local": lambda folder: LocalArtifacts(folder / "artifacts", clock=lambda: NOON),
    "shared folder": lambda folder: SharedFolderArtifacts(folder, clock=lambda: NOON),
    "s3": lambda folder: open_s3(prefix=str(folder), clock=lambda: NOON),
}

SMALL = b"the text of a page"
HUGE = random.Random(2).randbytes(STREAMED_FROM_BYTES + 1)
LARGE = random.Random(1).randbytes(PACKED_LIMIT_BYTES + 1)
ABSENT = ArtifactRef(sha256="ab" * 32, size_bytes=7)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def ref_to(data: bytes) -> ArtifactRef:
    return ArtifactRef(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


@pytest.mark.parametrize("is_synced", [False, True], ids=["unsynced", "synced"])
@pytest.mark.parametrize("blob", [SMALL, LARGE, b"", LARGE[:-1]], ids=["small", "large", "empty", "limit"])
def test_a_blob_comes_back_by_the_hash_of_its_bytes(store: ArtifactStore, blob: bytes, *, is_synced: bool) -> None:
    refs = store.put([blob])
    if is_synced:
        store.sync()
    assert refs == [ref_to(blob)]
    assert store.get(refs[0]) == blob


def test_refs_come_in_the_order_of_the_blobs_however_often_each_is_there(store: ArtifactStore) -> None:
    blobs = [b"b", LARGE, b"a", b"b", LARGE]
    assert store.put(blobs) == [ref_to(blob) for blob in blobs]
    assert store.put([]) == []
    assert store.stats() == ArtifactStats(count=3, size_bytes=2 + len(LARGE))


def test_many_are_read_together_by_hash(store: ArtifactStore) -> None:
    blobs = [b"%d" % number for number in range(1_200)]
    refs = store.put([*blobs[:600], LARGE])
    store.sync()
    refs += store.put(blobs[600:])
    assert store.get_many([*refs, refs[0]]) == {ref_to(blob).sha256: blob for blob in [*blobs, LARGE]}
    assert store.get_many([]) == {}


def test_what_is_not_there_is_missing(store: ArtifactStore) -> None:
    refs = store.put([SMALL])
    with pytest.raises(ArtifactMissing, match=ABSENT.sha256) as caught:
        store.get(ABSENT)
    assert caught.value.hint
    with pytest.raises(ArtifactMissing):
        store.get_many([*refs, ABSENT])


@pytest.mark.parametrize("is_synced", [False, True], ids=["unsynced", "synced"])
def test_putting_again_what_is_there_changes_nothing(store: ArtifactStore, *, is_synced: bool) -> None:
    refs = store.put([SMALL, LARGE])
    if is_synced:
        store.sync()
    for _ in range(2):
        assert store.put([LARGE, SMALL]) == refs[::-1]
        store.sync()
        assert store.get_many(refs) == {refs[0].sha256: SMALL, refs[1].sha256: LARGE}
        assert sorted(ref.sha256 for ref in store.scan()) == sorted(ref.sha256 for ref in refs)


def test_touching_tells_what_is_there(store: ArtifactStore) -> None:
    (synced,) = store.put([SMALL])
    store.sync()
    (unsynced,) = store.put([LARGE])
    assert store.touch([ABSENT, synced, unsynced, ABSENT]) == [False, True, True, False]
    assert store.touch([]) == []


def test_a_scan_meets_every_blob_once(store: ArtifactStore) -> None:
    assert list(store.scan()) == []
    blobs = [b"%d" % number for number in range(2_500)]
    refs = store.put([*blobs[:2_400], LARGE])
    store.sync()
    refs += store.put(blobs[2_300:])  # the first hundred of them a second time
    scanned = list(store.scan())
    assert len(scanned) == len(set(refs)) == 2_501
    assert set(scanned) == set(refs)
    assert store.stats() == ArtifactStats(count=2_501, size_bytes=sum(ref.size_bytes for ref in scanned))


@pytest.mark.parametrize("is_synced", [False, True], ids=["unsynced", "synced"])
def test_what_is_deleted_is_gone_until_it_is_put_again(store: ArtifactStore, *, is_synced: bool) -> None:
    refs = store.put([SMALL, LARGE, b"stays"])
    store.touch(refs)
    if is_synced:
        store.sync()
    store.delete([ABSENT, *refs[:2]])
    store.sync()
    assert list(store.scan()) == refs[2:]
    assert store.touch(refs) == [False, False, True]
    with pytest.raises(ArtifactMissing):
        store.get(refs[1])
    store.put([SMALL, LARGE])
    store.sync()
    assert store.get_many(refs)[refs[1].sha256] == LARGE


@pytest.mark.parametrize("blob", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
def test_a_file_is_stored_as_its_bytes_and_may_go_away(store: ArtifactStore, blob: bytes, tmp_path: Path) -> None:
    download = tmp_path / "download"
    download.write_bytes(blob)
    ref = store.put_file(download)
    download.unlink()
    assert ref == ref_to(blob)
    assert store.get(ref) == blob
    store.sync()
    assert store.get(ref) == blob
    assert store.put([blob]) == [ref]


def test_a_file_that_is_not_there_is_an_error_of_the_caller(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "never-downloaded")
    assert list(store.scan()) == []


def test_syncing_nothing_and_closing_twice_are_harmless(store: ArtifactStore) -> None:
    store.sync()
    store.put([SMALL])
    store.sync()
    store.sync()
    store.close()
    store.close()


def test_threads_put_read_touch_and_sync_at_once(store: ArtifactStore) -> None:
    def work(seed: int) -> list[tuple[ArtifactRef, bytes]]:
        rng, written = random.Random(seed), []
        for number in range(40):
            blobs = [b"%d" % rng.randrange(300), b"%d of %d" % (number, seed), LARGE[: -rng.randrange(1, 3)] + b"!!"]
            refs = store.put(blobs)
            assert store.get_many(refs) == {ref.sha256: blob for ref, blob in zip(refs, blobs, strict=True)}
            if number % 4 == seed % 4:
                store.sync()
            assert store.touch(refs) == [True] * 3
            assert [store.get(ref) for ref in refs] == blobs
            written += zip(refs, blobs, strict=True)
        return written

    with ThreadPoolExecutor(6) as threads:
        written = [pair for pairs in threads.map(work, range(6)) for pair in pairs]
    store.sync()
    assert store.get_many([ref for ref, _ in written]) == {ref.sha256: blob for ref, blob in written}
    assert set(store.scan()) == {ref for ref, _ in written}


# Damage. Each kind of store is harmed where it keeps its bytes: to None they are lost, else they become others.


def harm_memory(store: MemoryArtifacts, _folder: Path, ref: ArtifactRef, data: bytes | None) -> None:
    if data is None:
        del store._blobs[ref.sha256]
    else:
        store._blobs[ref.sha256] = data


def harm_local(_store: LocalArtifacts, folder: Path, ref: ArtifactRef, data: bytes | None) -> None:
    place = folder / "artifacts" / "files" / ref.sha256[:2] / ref.sha256[2:]
    if place.exists():
        harm_file(place, data)
        return
    tamper(folder / "artifacts" / "packed.sqlite", LOSE if data is None else DAMAGE, data, bytes.fromhex(ref.sha256))


LOSE = "DELETE FROM contents WHERE ?1 IS NULL AND id = (SELECT content_id FROM blobs WHERE sha256 = ?2)"
DAMAGE = "UPDATE contents SET data = ?1 WHERE id = (SELECT content_id FROM blobs WHERE sha256 = ?2)"


def harm_file(place: Path, data: bytes | None) -> None:
    if data is None:
        place.unlink()
    else:
        place.write_bytes(data)


def harm_shared(_store: SharedFolderArtifacts, folder: Path, ref: ArtifactRef, data: bytes | None) -> None:
    harm_file(folder / "blobs" / ref.sha256, data)


def harm_s3(store: ObjectArtifacts, _folder: Path, ref: ArtifactRef, data: bytes | None) -> None:
    if data is None:
        obstore.delete(store._storage._store, path_of_blob(ref.sha256))
    else:
        obstore.put(store._storage._store, path_of_blob(ref.sha256), data)


HARMS: dict[str, Callable[..., None]] = {
    "memory": harm_memory,
    "local": harm_local,
    "shared folder": harm_shared,
    "s3": harm_s3,
}

LOST_OR_DAMAGED = {
    "lost": lambda _blob: None,
    "flipped": flipped,
    "cut": lambda blob: blob[:-1],
    "empty": lambda _blob: b"",
    "longer": lambda blob: blob + b"!",
}


@pytest.mark.parametrize("blob", [SMALL, LARGE, HUGE], ids=["small", "large", "huge"])
@pytest.mark.parametrize("is_file", [False, True], ids=["bytes", "file"])
@pytest.mark.parametrize("how", LOST_OR_DAMAGED)
@pytest.mark.parametrize("name", HARMS)
def test_a_put_of_the_right_bytes_heals_what_was_lost_or_damaged(
    name: str, how: str, blob: bytes, tmp_path: Path, *, is_file: bool
) -> None:
    store = STORES[name](tmp_path)
    ref, sound = store.put([blob, b"stays sound"])
    store.sync()
    HARMS[name](store, tmp_path, ref, LOST_OR_DAMAGED[how](blob))
    with pytest.raises((ArtifactDamaged, ArtifactMissing), match=ref.sha256) as told:
        store.get(ref)
    assert isinstance(told.value, PoisonError)
    assert "--force" in str(told.value.hint)
    (tmp_path / "download").write_bytes(blob)
    assert (store.put_file(tmp_path / "download") if is_file else store.put([blob])[0]) == ref
    assert store.get(ref) == blob
    store.sync()
    store.close()
    again = store if name == "memory" else STORES[name](tmp_path)
    assert again.get_many([ref, sound]) == {ref.sha256: blob, sound.sha256: b"stays sound"}
    assert again.stats() == ArtifactStats(count=2, size_bytes=len(blob) + len(b"stays sound"))
    again.delete([ref])
    assert list(again.scan()) == [sound]
    again.close()


@pytest.mark.parametrize("is_synced", [False, True], ids=["unsynced", "synced"])
@pytest.mark.parametrize("blob", [SMALL, LARGE], ids=["small", "large"])
def test_a_size_that_a_reference_says_is_checked(store: ArtifactStore, blob: bytes, *, is_synced: bool) -> None:
    (ref,) = store.put([blob])
    if is_synced:
        store.sync()
    for size_bytes in (0, 1, len(blob) - 1, len(blob) + 1, 2**62):
        lie = ArtifactRef(sha256=ref.sha256, size_bytes=size_bytes)
        with pytest.raises(ArtifactDamaged, match=f"not the {size_bytes} bytes"):
            store.get(lie)
        with pytest.raises(ArtifactDamaged):
            store.get_many([ref, lie])
    assert store.get(ref) == blob


blobs = st.binary(max_size=3) | st.sampled_from([LARGE, LARGE + b"!"])
steps = st.lists(
    st.tuples(st.just("put"), st.lists(blobs, max_size=4))
    | st.tuples(st.just("delete"), st.lists(blobs, max_size=2))
    | st.tuples(st.just("sync"), st.just([]))
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=steps)
def test_after_any_history_a_store_holds_what_a_dict_would(store: ArtifactStore, history: list) -> None:
    expected: dict[ArtifactRef, bytes] = {}
    store.delete(list(store.scan()))
    for step, blobs_now in history:
        named = {ref_to(blob): blob for blob in blobs_now}
        if step == "put":
            store.put(blobs_now)
            expected |= named
        elif step == "delete":
            store.delete(list(named))
            expected = {ref: blob for ref, blob in expected.items() if ref not in named}
        else:
            store.sync()
        assert set(store.scan()) == expected.keys()
    assert store.get_many(list(expected)) == {ref.sha256: blob for ref, blob in expected.items()}
