"""What artifacts in a bucket promise beyond what every store does: they are shared, touches are kept beside them."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from schemas.errors import UnreachableError, UsageError
from streams.artifact_stores.objects import ASKED_FROM_BYTES, STREAMED_FROM_BYTES, UNSYNCED_LIMIT_BYTES
from streams.artifact_stores.s3 import S3Artifacts
from streams.artifacts import ArtifactDamaged, ArtifactMissing, ref_of
from tests.servers.s3 import BUCKET, open_s3, s3_endpoint

TOMORROW = datetime.now(UTC) + timedelta(days=1)
"""Beyond the time of every object, and of every touch that still holds."""

LARGE = random.Random(3).randbytes(ASKED_FROM_BYTES)


class Moment:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Moment:
    return Moment(TOMORROW)


@pytest.fixture
def opens(tmp_path: Path, clock: Moment) -> Iterator[Callable[[], S3Artifacts]]:
    """Another process's store over the same bucket and prefix, each time."""
    opened: list[S3Artifacts] = []

    def opens() -> S3Artifacts:
        opened.append(open_s3(prefix=str(tmp_path), clock=clock))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


def objects_under(prefix: Path) -> S3Store:
    return S3Store(
        BUCKET,
        prefix=str(prefix),
        endpoint=s3_endpoint(),
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",  # noqa: S106 - moto takes anybody
        client_options={"allow_http": True},
    )


def test_what_one_process_has_synced_all_read(opens: Callable[[], S3Artifacts]) -> None:
    mine, yours = opens(), opens()
    (ref,) = mine.put([b"shared"])
    with pytest.raises(ArtifactMissing):
        yours.get(ref)

    mine.sync()

    assert yours.get(ref) == b"shared"
    assert yours.put([b"shared"]) == [ref]
    yours.sync()
    assert list(mine.scan()) == [ref]


def test_a_first_put_is_touched_by_its_own_time(opens: Callable[[], S3Artifacts], tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # the storage tells whole seconds
    store = opens()
    (ref,) = store.put([b"new"])
    store.sync()

    assert opens().touched_since(before) == {ref.sha256}
    assert opens().touched_since(TOMORROW) == set()
    assert obstore.list(objects_under(tmp_path), prefix="touches").collect() == []


def said_touched(prefix: Path) -> list[set[str]]:
    """What each object says that tells of touches."""
    store = objects_under(prefix)
    names = [found["path"] for found in obstore.list(store, prefix="touches").collect()]
    return [set(bytes(obstore.get(store, name).bytes()).decode().split()) for name in sorted(names)]


@pytest.mark.parametrize("blob", [b"small", LARGE], ids=["small", "large"])
def test_what_is_put_or_touched_again_is_said_once_by_each_process(
    opens: Callable[[], S3Artifacts], tmp_path: Path, blob: bytes
) -> None:
    first, second = opens(), opens()
    refs = first.put([blob, b"other", b"untouched"])
    for _ in range(3):
        first.sync()
        first.put([blob])
    assert said_touched(tmp_path) == []  # its own time says it

    for _ in range(3):
        second.put([blob])
        second.touch(refs[1:2])
        second.sync()
    assert said_touched(tmp_path) == [{refs[0].sha256, refs[1].sha256}]
    assert second.forget_old_touches() is False
    assert len(said_touched(tmp_path)) == 1


def test_a_touch_that_is_not_synced_does_not_count(opens: Callable[[], S3Artifacts], tmp_path: Path) -> None:
    refs = opens().put([b"synced"])
    first, second = opens(), opens()
    first.put([b"synced"])
    first.sync()

    assert second.touch(refs) == [True]

    assert said_touched(tmp_path) == []


def test_a_blob_that_has_changed_in_the_bucket_is_damaged(opens: Callable[[], S3Artifacts], tmp_path: Path) -> None:
    store = opens()
    (ref,) = store.put([b"as it was stored"])
    store.sync()
    obstore.put(objects_under(tmp_path), f"blobs/{ref.sha256}", b"as it is now")

    with pytest.raises(ArtifactDamaged) as raised:
        store.get(ref)

    assert raised.value.hint


def test_a_large_file_is_sent_in_parts_before_any_sync(opens: Callable[[], S3Artifacts], tmp_path: Path) -> None:
    download = tmp_path / "scan.tiff"
    download.write_bytes(random.Random(5).randbytes(STREAMED_FROM_BYTES + 1))

    ref = opens().put_file(download)
    again = opens()

    assert again.put_file(download) == ref
    again.sync()
    assert again.get(ref) == download.read_bytes()
    assert said_touched(tmp_path) == [{ref.sha256}]


def test_more_than_may_wait_in_memory_is_synced_by_itself(opens: Callable[[], S3Artifacts]) -> None:
    refs = opens().put([bytes([number]) * (UNSYNCED_LIMIT_BYTES // 3 + 1) for number in range(3)])

    assert opens().touch(refs) == [True] * 3


def test_a_bucket_that_is_not_there_is_told_at_once(tmp_path: Path, clock: Moment) -> None:
    with pytest.raises(UsageError, match="no such bucket") as raised:
        open_s3(prefix=str(tmp_path), clock=clock, bucket="nobodys-bucket")

    assert raised.value.hint


def test_a_bucket_that_is_lost_is_no_fault_of_a_document_and_what_was_put_waits(tmp_path: Path, clock: Moment) -> None:
    lose = HTTPConnection(s3_endpoint().removeprefix("http://"))
    for method in ("PUT", "DELETE"):
        lose.request(method, "/lost-bucket")
        lose.getresponse().read()
        if method == "PUT":
            store = open_s3(prefix=str(tmp_path), clock=clock, bucket="lost-bucket")
    refs = store.put([b"waits"])

    with pytest.raises(UsageError, match="no such bucket"):
        store.get(ref_of(b"elsewhere"))
    with pytest.raises(UsageError, match="no such bucket"):
        store.sync()

    assert store.get(refs[0]) == b"waits"
    lose.request("PUT", "/lost-bucket")
    lose.getresponse().read()
    store.sync()
    assert open_s3(prefix=str(tmp_path), clock=clock, bucket="lost-bucket").get(refs[0]) == b"waits"
    store.close()
    lose.close()


def test_a_storage_that_is_not_there_is_unreachable(clock: Moment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.artifact_stores.s3.RETRY_FOR", timedelta(seconds=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        anybody = {"access_key_id": "test", "secret_access_key": "test"}

        with pytest.raises(UnreachableError) as raised:
            S3Artifacts(BUCKET, prefix="p", clock=clock, endpoint=endpoint, **anybody)

    assert raised.value.hint
