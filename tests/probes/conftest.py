"""The server of all tests as a model for rewriting and filtering."""

from __future__ import annotations

import pytest
from misbehaving import Misbehaving, completion


@pytest.fixture
def server(server: Misbehaving) -> Misbehaving:
    """Answers NONE until it is told otherwise."""
    server.otherwise = completion("NONE")
    return server
