"""Artifacts in a bucket of an S3-compatible storage; how they lie there: `objects.py`.

In a bucket that keeps versions, deleted blobs stay as old versions until its lifecycle rules expire them: erasure needs
a rule, or a bucket without versions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from schemas.extras import extra
from streams.artifact_stores.object_errors import mapped_object_errors
from streams.artifact_stores.object_storage import ObjectStorage
from streams.artifact_stores.objects import ObjectArtifacts

with extra("s3"):
    from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config  # it is not there at run time

RETRY_FOR = timedelta(seconds=30)
"""What the driver tries again for by itself while the storage is busy, with growing waits."""


class S3Artifacts(ObjectArtifacts):
    """Blobs under `prefix` in `bucket`.

    Args:
        bucket: Must be there.
        prefix: What the names of all objects begin with.
        clock: Now, in UTC.
        endpoint: Of a storage other than AWS, such as ``http://localhost:9000``.
        region: The bucket's.
        access_key_id: With `secret_access_key`; else they are found as AWS's tools do (environment, instance role).
        secret_access_key: See there.

    Raises:
        UnreachableError: the storage does not answer.
        UsageError: there is no such bucket, or the credentials are not good for it.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str,
        clock: Callable[[], datetime],
        endpoint: str | None = None,
        region: str = "us-east-1",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        given: S3Config = {"region": region}
        if endpoint is not None:
            given["endpoint"] = endpoint
        if access_key_id is not None and secret_access_key is not None:
            given |= {"access_key_id": access_key_id, "secret_access_key": secret_access_key}
        subject = f"s3://{bucket}/{prefix}"
        with mapped_object_errors("open artifacts", subject):
            store = S3Store(
                bucket,
                prefix=prefix,
                client_options={"allow_http": (endpoint or "").startswith("http://")},
                retry_config={"max_retries": 6, "retry_timeout": RETRY_FOR},
                config=given,
            )
        super().__init__(ObjectStorage(store, subject=subject), clock=clock)
