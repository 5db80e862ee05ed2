"""An S3-compatible storage on this machine, moto's, in a process of its own that ends with the tests."""

from __future__ import annotations

import atexit
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from http.client import HTTPConnection

from streams.artifact_stores.s3 import S3Artifacts

BUCKET = "refold-test"

START_TIMEOUT_S = 60.0


@cache
def s3_endpoint() -> str:
    """Its address, once it answers; it is started when first asked for, with an empty BUCKET."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(process.kill)
    _wait_for_bucket(port)
    return f"http://127.0.0.1:{port}"


def open_s3(*, prefix: str, clock: Callable[[], datetime], bucket: str = BUCKET) -> S3Artifacts:
    """The store under `prefix` there."""
    anybody = {"access_key_id": "test", "secret_access_key": "test"}
    return S3Artifacts(bucket, prefix=prefix, clock=clock, endpoint=s3_endpoint(), **anybody)


def _wait_for_bucket(port: int) -> None:
    """Ask for BUCKET to be made until somebody answers."""
    ends_at = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == 200
        except ConnectionError:
            assert time.monotonic() < ends_at, "the storage does not start"
            time.sleep(0.05)  # between two questions; what is waited for is the answer
        else:
            connection.close()
            return
