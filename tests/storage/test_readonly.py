"""The file system beneath SQL: only the named objects, only reading, one position a thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from valuedrift.storage.sql.readonly import TableFiles


@pytest.fixture
def files(tmp_path: Path) -> TableFiles:
    (tmp_path / "a").write_bytes(bytes(range(200)))
    (tmp_path / "secret").write_bytes(b"secret")
    return TableFiles(tmp_path, ["a", "gone"])


def test_only_named_objects_can_be_read(files: TableFiles) -> None:
    assert files.open("tables://a").read() == bytes(range(200))
    assert files.info("tables://a")["size"] == 200
    for path in ("secret", "../secret", "/etc/passwd", "tables://./a"):
        assert not files.exists(path)
        with pytest.raises(PermissionError):
            files.open(path)
    with pytest.raises(FileNotFoundError, match="gone"):
        files.open("tables://gone")
    assert files.glob("tables://*") == []


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "xb", "w"])
def test_nothing_opens_for_writing(files: TableFiles, mode: str) -> None:
    with pytest.raises(PermissionError):
        files.open("tables://a", mode)


def test_each_thread_has_a_position_of_its_own(files: TableFiles) -> None:
    handle = files.open("tables://a")
    handle.seek(10)
    other = threading.Thread(target=lambda: (handle.seek(100), handle.read(20)))
    other.start()
    other.join()
    assert handle.tell() == 10
    assert handle.read(3) == bytes([10, 11, 12])
    assert handle.read(1) == bytes([13])
    handle.seek(-2, 2)
    assert handle.read() == bytes([198, 199])
    handle.close()
    handle.close()
