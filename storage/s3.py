"""An S3 bucket (AWS, MinIO, Ceph, SeaweedFS, …) through s3fs: one request an operation, asked again while a server restarts, faults in words.

Credentials, region and endpoint come from where every AWS tool takes them: ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``,
``~/.aws/config``, an instance's role. s3fs tries a request once; how long to go on asking is decided here, where it is known whether the
server has ever answered.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError, SSLError
from botocore.exceptions import ConnectionError as NoConnection
from s3fs import S3FileSystem
from s3fs.core import S3_RETRYABLE_ERRORS
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from valuedrift.errors import UserError
from valuedrift.storage.filesystems import Files

_CONNECT_S = 5
_READ_S = 60
_FIRST_PATIENCE_S = 6.0
"""A server that has never answered is more likely the wrong address than a restart."""
_PATIENCE_S = 120.0
"""A server that has answered before is given time to restart."""
_known_to_answer = False
_CONNECTIONS = 32
_PAGE = 1000
_TRANSIENT = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "429", "OperationAborted"})
_DENIED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "403"}
)
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_UNANSWERED = (NoConnection, *S3_RETRYABLE_ERRORS)
_CREDENTIALS_FIX = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for other servers than AWS also AWS_ENDPOINT_URL"
_Answer = TypeVar("_Answer")


class BucketFiles(Files):
    """The objects of an S3 bucket; it must exist.

    Args:
        root: ``s3://bucket``.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._bucket = root.removeprefix("s3://")
        self._answered = False

    def put(self, path: str, data: bytes) -> None:
        """One PUT: the object is there whole, or not at all."""
        self._ask(lambda fs: fs.pipe_file(self._full(path), data), path)

    def put_file(self, path: str, file: Path) -> None:
        """One PUT, or a multipart upload where it is large: the object is there whole, or not at all."""
        file.stat()  # said before a request: one that is not there is no fault of the bucket's
        self._ask(lambda fs: fs.put_file(str(file), self._full(path)), path)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """One PUT that the server refuses if the key is taken."""
        try:
            self._ask(lambda fs: fs.pipe_file(self._full(path), data, mode="create"), path)
        except FileExistsError:
            return False
        return True

    def delete(self, path: str) -> None:
        """Remove an object."""
        self._ask(lambda fs: fs.rm_file(self._full(path)), path)

    def check_writable(self, path: str) -> None:
        """Buckets are written to."""

    def reach(self, path: str) -> None:
        """List what lies below a path."""
        self._entries_below(path)

    def _entries_below(self, path: str) -> list[Mapping[str, Any]]:
        folder, _, name = path.rpartition("/")  # asked by prefix, s3fs looks for nothing else where nothing is found
        found = self._ask(lambda fs: fs.find(self._full(folder), prefix=f"{name}/" if name else "", detail=True), path)
        return list(found.values())

    def _full(self, path: str) -> str:
        return f"{self._bucket}/{path}"

    def _path(self, name: str) -> str:
        return name.partition("/")[2]

    def _open(self) -> Any:
        session = botocore.session.get_session()
        filesystem = S3FileSystem(
            skip_instance_cache=True,
            use_listings_cache=False,
            max_concurrency=1,  # one request an object, not one for its size before
            s3_additional_kwargs={"MaxKeys": _PAGE},
            config_kwargs={
                "connect_timeout": _CONNECT_S,
                "read_timeout": _READ_S,
                "max_pool_connections": _CONNECTIONS,
                "retries": {"total_max_attempts": 1},  # ours know which faults pass
                "request_checksum_calculation": "when_required",  # servers other than AWS refuse the newer trailers
                "response_checksum_validation": "when_required",
                "s3": _addressing(session),
            },
        )
        filesystem.retries = 1
        try:
            filesystem.connect()
        except (BotoCoreError, ValueError) as error:
            raise UserError(f"the AWS settings cannot be used: {error}", fix=_CREDENTIALS_FIX) from error
        return filesystem

    def _ask(self, request: Callable[[Any], _Answer], path: str) -> _Answer:
        """Send a request, again while the fault is one that passes.

        Raises:
            FileNotFoundError: There is no such object.
            FileExistsError: A conditional PUT was refused.
            UserError: Anything else, in words.
        """
        attempts = Retrying(
            retry=retry_if_exception(_passes), stop=self._patience_ends, wait=wait_random_exponential(0.1, max=3), reraise=True
        )
        try:
            answer = attempts(lambda: request(self._filesystem()))
        except (OSError, ClientError, BotoCoreError, *_UNANSWERED) as error:
            raise _explained(error, self._uri(path)) from error
        self._answered = True
        return answer

    def _patience_ends(self, state: RetryCallState) -> bool:
        return (state.seconds_since_start or 0.0) > (_PATIENCE_S if self._answered or _known_to_answer else _FIRST_PATIENCE_S)


def known_to_answer() -> None:
    """Say that the server has answered another process of the same work: one that does not answer this one restarts."""
    global _known_to_answer
    _known_to_answer = True


def storage_options() -> dict[str, str]:
    """The same settings in the words of polars' own S3 reader."""
    session = botocore.session.get_session()
    credentials = session.get_credentials()
    endpoint = _endpoint(session)
    options = {"aws_region": session.get_config_variable("region") or "us-east-1"}
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        options |= {"aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key}
        options |= {"aws_session_token": frozen.token} if frozen.token else {}
    if endpoint:
        style = (_addressing(session) or {}).get("addressing_style", "virtual")
        options |= {"aws_endpoint_url": endpoint, "aws_virtual_hosted_style_request": str(style == "virtual").lower()}
        options |= {"aws_allow_http": "true"} if endpoint.startswith("http://") else {}
    return options


def _endpoint(session: Any) -> str | None:
    """The endpoint if it is not AWS's own."""
    scoped = session.get_scoped_config()
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or scoped.get("endpoint_url")


def _addressing(session: Any) -> dict[str, str] | None:
    """Path style for servers that have no host name for each bucket, unless the profile says otherwise."""
    try:
        said = session.get_scoped_config().get("s3", {})
    except BotoCoreError:
        return None  # a missing profile: creating the client says so in full
    if "addressing_style" in said:
        return {"addressing_style": said["addressing_style"]}
    return {"addressing_style": "path"} if _endpoint(session) else None


def _answered(error: BaseException) -> dict[str, Any] | None:
    """What the server said, if it said something; s3fs hides it behind errors of Python."""
    said = error if isinstance(error, ClientError) else error.__cause__
    return said.response if isinstance(said, ClientError) else None


def _passes(error: BaseException) -> bool:
    """Whether to try again: the server is restarting, busy, or the connection broke."""
    if answer := _answered(error):
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500 or answer["Error"].get("Code") in _TRANSIENT
    return isinstance(error, _UNANSWERED) and not isinstance(error, SSLError)


def _explained(error: Exception, uri: str) -> Exception:
    if isinstance(error, UserError):
        return error
    if answer := _answered(error):
        return _refused(str(answer["Error"].get("Code", "")), str(answer["Error"].get("Message", "")), uri)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", uri)
    if isinstance(error, ReadTimeoutError):
        return UserError(f"the S3 server did not answer in {_READ_S} s, several times", where=uri)
    if isinstance(error, _UNANSWERED):
        return UserError(f"the S3 server cannot be reached: {error}", where=uri, fix="check AWS_ENDPOINT_URL and that the server runs")
    if isinstance(error, BotoCoreError):
        return UserError(f"no usable AWS credentials: {error}", where=uri, fix=_CREDENTIALS_FIX)
    return error


def _refused(code: str, message: str, uri: str) -> Exception:
    bucket = uri.removeprefix("s3://").partition("/")[0]
    if code == "NoSuchBucket":
        return UserError(f"there is no bucket {bucket!r}", where=uri, fix="make it, or check its name and AWS_ENDPOINT_URL")
    if code in _ABSENT:
        return FileNotFoundError(errno.ENOENT, "no such object", uri)
    if code in _TAKEN:
        return FileExistsError(errno.EEXIST, "the key is taken", uri)
    if code in _DENIED:
        return UserError(f"the S3 server refuses these credentials ({code})", where=uri, fix=_CREDENTIALS_FIX)
    if code == "RequestTimeTooSkewed":
        what = "the clock of this machine and the one of the S3 server differ by more than the server allows (fifteen minutes, usually)"
        return UserError(what, where=uri, fix="set the clock of whichever is wrong")
    return UserError(f"the S3 server answers {code}: {message}", where=uri)
