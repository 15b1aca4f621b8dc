"""Objects in an S3 bucket (AWS, MinIO, Ceph, SeaweedFS, …): one request an operation, retried while a server restarts.

Credentials, region and endpoint come from where every AWS tool takes them: ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``,
``~/.aws/config``, an instance's role. Requests go through botocore (the base of boto3 and s3fs) and not through s3fs, because a commit guard
must know for certain whether its request was refused or lost, a client must outlive a fork, and no listing may be cached.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, ReadTimeoutError, SSLError
from botocore.exceptions import ConnectionError as NoConnection
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from valuedrift.errors import UserError
from valuedrift.storage.location import Seen

_CONNECT_S = 5
_READ_S = 60
_FIRST_PATIENCE_S = 6.0
"""A server that has never answered is more likely the wrong address than a restart."""
_PATIENCE_S = 60.0
"""A server that has answered before is given time to restart."""
_CONNECTIONS = 32
_PAGE = 1000
_PIECE = 1 << 20
"""Bytes held of an object that is written into a file."""
_TRANSIENT = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "429", "OperationAborted"})
_DENIED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "403"}
)
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_CREDENTIALS_FIX = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for other servers than AWS also AWS_ENDPOINT_URL"
_Answer = TypeVar("_Answer")


class Bucket:
    """An S3 bucket as a `storage.location.Backend`.

    Args:
        name: The bucket; it must exist.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._clients: dict[int, Any] = {}
        self._answered = False

    def look(self, path: str) -> Seen | None:
        """The object at a key, None where there is none."""
        try:
            head = self._ask(lambda s3: s3.head_object(Bucket=self._name, Key=path), path)
        except FileNotFoundError:
            return None
        return path, int(head["ContentLength"]), head["LastModified"], head["ETag"]

    def read(self, path: str) -> bytes:
        """All bytes of an object."""
        return bytes(self._ask(lambda s3: s3.get_object(Bucket=self._name, Key=path)["Body"].read(), path))

    def save(self, path: str, file: Path) -> str:
        """One GET, written as it comes."""

        def request(s3: Any) -> str:
            answer = s3.get_object(Bucket=self._name, Key=path)
            with file.open("wb") as stream:
                stream.writelines(answer["Body"].iter_chunks(_PIECE))
            return str(answer["ETag"])

        return self._ask(request, path)

    def put(self, path: str, data: bytes) -> None:
        """One PUT: the object is there whole, or not at all."""
        self._ask(lambda s3: s3.put_object(Bucket=self._name, Key=path, Body=data), path)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """One PUT that the server refuses if the key is taken."""
        try:
            self._ask(lambda s3: s3.put_object(Bucket=self._name, Key=path, Body=data, IfNoneMatch="*"), path)
        except FileExistsError:
            return False
        return True

    def listing(self, path: str) -> Iterator[Seen]:
        """All objects under a prefix; a thousand a request."""
        prefix = f"{path}/" if path else ""
        asked: dict[str, str | int] = {"Bucket": self._name, "Prefix": prefix, "MaxKeys": _PAGE}
        while True:
            page = self._page(asked)
            yield from ((found["Key"], found["Size"], found["LastModified"], found["ETag"]) for found in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def leftovers(self, path: str) -> Iterator[Seen]:
        """Nothing: a PUT that breaks off leaves no object."""
        return iter(())

    def delete(self, path: str) -> None:
        """Remove an object."""
        self._ask(lambda s3: s3.delete_object(Bucket=self._name, Key=path), path)

    def _page(self, asked: dict[str, str | int]) -> Any:
        return self._ask(lambda s3: s3.list_objects_v2(**asked), str(asked["Prefix"]))

    def _client(self) -> Any:
        """This process's client: connections must not be shared with a parent process."""
        process = os.getpid()
        if process not in self._clients:
            self._clients[process] = new_client()
        return self._clients[process]

    def _ask(self, request: Callable[[Any], _Answer], path: str) -> _Answer:
        """Send a request, again while the fault is one that passes.

        Raises:
            FileNotFoundError: There is no such object.
            FileExistsError: A conditional PUT was refused.
            UserError: Anything else, in words.
        """
        uri = f"s3://{self._name}/{path}"
        try:
            attempts = Retrying(
                retry=retry_if_exception(_passes), stop=self._patience_ends, wait=wait_random_exponential(0.1, max=3), reraise=True
            )
            answer = attempts(lambda: request(self._client()))
        except ClientError as error:
            raise _explained(error, self._name, uri) from error
        except BotoCoreError as error:
            raise _unanswered(error, uri) from error
        except ValueError as error:  # botocore's word for an endpoint that is no URL
            raise UserError(str(error), where=uri, fix="AWS_ENDPOINT_URL must be like http://host:port") from error
        self._answered = True
        return answer

    def _patience_ends(self, state: RetryCallState) -> bool:
        return (state.seconds_since_start or 0.0) > (_PATIENCE_S if self._answered else _FIRST_PATIENCE_S)


def new_client() -> Any:
    """A botocore S3 client as the environment says.

    Raises:
        UserError: The named profile is missing, or the configuration cannot be read.
    """
    session = botocore.session.get_session()
    try:
        return session.create_client(
            "s3",
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                max_pool_connections=_CONNECTIONS,
                retries={"total_max_attempts": 1},  # ours know which faults pass
                request_checksum_calculation="when_required",  # servers other than AWS refuse the newer trailers
                response_checksum_validation="when_required",
                s3=_addressing(session),
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise UserError(f"the AWS settings cannot be used: {error}", fix=_CREDENTIALS_FIX) from error


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


def _passes(error: BaseException) -> bool:
    """Whether to try again: the server is restarting, busy, or the connection broke."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or error.response["Error"].get("Code") in _TRANSIENT
    return isinstance(error, (HTTPClientError, NoConnection, IncompleteReadError)) and not isinstance(error, SSLError)


def _explained(error: ClientError, bucket: str, uri: str) -> Exception:
    code = str(error.response["Error"].get("Code", ""))
    if code == "NoSuchBucket":
        return UserError(f"there is no bucket {bucket!r}", where=uri, fix="make it, or check its name and AWS_ENDPOINT_URL")
    if code in _ABSENT:
        return FileNotFoundError(2, "no such object", uri)
    if code in _TAKEN:
        return FileExistsError(17, "the key is taken", uri)
    if code in _DENIED:
        return UserError(f"the S3 server refuses these credentials ({code})", where=uri, fix=_CREDENTIALS_FIX)
    return UserError(f"the S3 server answers {code}: {error.response['Error'].get('Message', '')}", where=uri)


def _unanswered(error: BotoCoreError, uri: str) -> UserError:
    if isinstance(error, ReadTimeoutError):
        return UserError(f"the S3 server did not answer in {_READ_S} s, several times", where=uri)
    if isinstance(error, (HTTPClientError, NoConnection, IncompleteReadError)):
        return UserError(f"the S3 server cannot be reached: {error}", where=uri, fix="check AWS_ENDPOINT_URL and that the server runs")
    return UserError(f"no usable AWS credentials: {error}", where=uri, fix=_CREDENTIALS_FIX)
