"""Fixtures of the integration tests."""

from collections.abc import Iterator

import pytest

from services.ingest.adapters.readers import ReaderFactory
from services.ingest.adapters.supervisor import Supervisor
from tests.ingest_sink import Recorder
from tests.support.kafka import kafka_broker, kafka_config

__all__ = ["kafka_broker", "kafka_config"]


@pytest.fixture
def sink() -> Recorder:
    """What a supervisor of streams hands its frames to."""
    return Recorder(keep_jpeg=True)


@pytest.fixture(scope="module")
def factory() -> Iterator[ReaderFactory]:
    running = ReaderFactory()
    running.open()
    yield running
    running.close()


@pytest.fixture
def supervisor(request: pytest.FixtureRequest, sink: Recorder, factory: ReaderFactory) -> Iterator[Supervisor]:
    """With the ``QUICK`` tuning of the test's module."""
    with Supervisor(sink, tuning=request.module.QUICK, factory=factory) as running:
        yield running
