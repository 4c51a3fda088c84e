"""Servers that several tests share."""

from collections.abc import Iterator

import pytest
from serving.servers import Server, served

from topicgen import TopicGenerator

STRICT = """
--max-documents 3 --max-theme-documents 8 --max-characters 500 --max-body-bytes 4000 --max-stream-bytes 12000000
--header-seconds 1 --body-seconds 1 --stall-seconds 1 --queue-documents 8 --max-connections 60
""".split()  # noqa: SIM905 - as on the command line
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="session")
def server(generator: TopicGenerator) -> Iterator[Server]:
    """The server as it is without options; the model's cache is warm."""
    with served() as running:
        yield running


@pytest.fixture(scope="session")
def strict(generator: TopicGenerator) -> Iterator[Server]:
    """A server that takes little, and waits a second."""
    with served(*STRICT) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(generator: TopicGenerator) -> Iterator[Server]:
    """A server that listens on all addresses and wants its token."""
    with served("--host", "0.0.0.0", "--allowed-host", "topics.example", token=TOKEN) as running:
        yield running
