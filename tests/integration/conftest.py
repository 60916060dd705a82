"""Fixtures of the integration tests."""

from tests.support.kafka import kafka_broker, kafka_config

__all__ = ["kafka_broker", "kafka_config"]
