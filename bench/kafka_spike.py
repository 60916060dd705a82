"""What Kafka and kafka-python really do: the numbers of docs/decisions/0004-kafka-transactions.md.

    python -m bench.kafka_spike            # one broker
    python -m bench.kafka_spike --brokers 3

Starts its own brokers and stops them.
"""

import argparse
import contextlib
import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from services.common.kafka.clients import KafkaConfig, make_consumer, make_producer, subscribe
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.transactions import TransactionAbortedError, Transactions
from services.common.topics import Topic
from services.local.stack.kafka import KafkaCluster

IN, OUT = "in", "out"


def tell(what: str, value: object) -> None:
    print(f"{what:<78} {value}", flush=True)


@contextlib.contextmanager
def closing(thing: Any) -> Iterator[Any]:
    try:
        yield thing
    finally:
        thing.close()


def seconds_until(done: Callable[[], bool], timeout_s: float = 90.0) -> str:
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        if done():
            return f"{time.monotonic() - began:.2f} s"
    return f"not within {timeout_s:.0f} s"


def child(*arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", "bench.kafka_spike", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def open_transaction(config: KafkaConfig, name: str, group: str | None) -> None:
    """The child: begin, write one record (and an offset), say so, wait to be killed."""
    producer = make_producer(config, transactional_id=name)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(OUT, b"never seen", partition=0).get(10)
    if group:
        offsets = {TopicPartition(IN, 0): OffsetAndMetadata(1, "", -1)}
        producer.send_offsets_to_transaction(offsets, ConsumerGroupMetadata(group))
    print("open", flush=True)
    time.sleep(600)


def member(config: KafkaConfig, group: str) -> None:
    """The child: join a group, say so, poll until killed."""
    consumer = make_consumer(config, group=group)
    subscribe(consumer, [IN])
    while not consumer.assignment():
        consumer.poll(timeout_ms=100)
    print("open", flush=True)
    while True:
        consumer.poll(timeout_ms=100)


def at_the_end(config: KafkaConfig) -> KafkaConsumer:
    reader = make_consumer(config)
    reader.assign([TopicPartition(OUT, 0)])
    reader.seek_to_end(TopicPartition(OUT, 0))
    reader.position(TopicPartition(OUT, 0))
    return reader


def transaction_times(config: KafkaConfig) -> None:
    with closing(make_producer(config, transactional_id="speed")) as producer:
        began = time.monotonic()
        producer.init_transactions()
        tell("init_transactions", f"{time.monotonic() - began:.3f} s")
        group = ConsumerGroupMetadata("speed")
        for records, size in ((1, 500), (50, 500), (50, 20_000)):
            took = []
            for i in range(60):
                began = time.monotonic()
                producer.begin_transaction()
                for n in range(records):
                    producer.send(OUT, os.urandom(size), partition=n % 4)
                offsets = {TopicPartition(IN, n): OffsetAndMetadata(i, "replay_from=0", -1) for n in range(4)}
                producer.send_offsets_to_transaction(offsets, group)
                producer.commit_transaction()
                took.append(time.monotonic() - began)
            cuts = statistics.quantiles(took[5:], n=20)
            tell(
                f"transaction of {records} records of {size} B + 4 offsets, p50 / p95 / max",
                f"{1e3 * cuts[9]:.0f} / {1e3 * cuts[18]:.0f} / {1e3 * max(took[5:]):.0f} ms",
            )


def fencing(config: KafkaConfig) -> None:
    zombie = make_producer(config, transactional_id="fenced")
    zombie.init_transactions()
    zombie.begin_transaction()
    zombie.send(OUT, b"of a zombie", partition=0).get(10)
    with closing(make_producer(config, transactional_id="fenced")) as heir:
        began = time.monotonic()
        heir.init_transactions()
        tell("init_transactions while a predecessor's transaction is open", f"{time.monotonic() - began:.2f} s")
        try:
            zombie.commit_transaction()
            tell("commit of the zombie (same transactional id)", "WENT THROUGH")
        except KafkaError as error:
            tell("commit of the zombie (same transactional id)", f"refused: {error!r}"[:120])
    zombie.close(timeout=1)
    with closing(make_producer(config, transactional_id="stale")) as producer, closing(
        make_consumer(config, group="fence")
    ) as one:  # fmt: skip
        subscribe(one, [IN])
        while not one.assignment():
            one.poll(timeout_ms=100)
        good = one.group_metadata()
        producer.init_transactions()
        for name, group in (
            ("current generation", good),
            ("generation before", good._replace(generation_id=good.generation_id - 1)),
            ("unknown member", good._replace(member_id="nobody")),
        ):
            producer.begin_transaction()
            try:
                producer.send_offsets_to_transaction({TopicPartition(IN, 0): OffsetAndMetadata(1, "", -1)}, group)
                producer.commit_transaction()
                tell(f"offsets in a transaction, {name}", "accepted")
            except KafkaError as error:
                producer.abort_transaction()
                tell(f"offsets in a transaction, {name}", f"refused: {error!r}"[:120])


def killed_producer(config: KafkaConfig) -> None:
    for heir in (False, True):
        with closing(at_the_end(config)) as reader:
            process = child("--child", "open", config.bootstrap, "killed")
            process.kill()
            with closing(make_producer(config)) as other:
                other.send(OUT, b"behind it", partition=0).get(10)
            if heir:
                with closing(make_producer(config, transactional_id="killed")) as producer:
                    producer.init_transactions()
            tell(
                f"read_committed reader waits behind a killed producer{', whose heir starts at once' if heir else ''}",
                seconds_until(lambda: bool(reader.poll(timeout_ms=50))),
            )
            process.wait()


def stable_offsets(config: KafkaConfig) -> None:
    process = child("--child", "open", config.bootstrap, "unstable", "--group", "stable")
    process.kill()
    with closing(make_consumer(config, group="stable")) as consumer:

        def answered() -> bool:
            try:
                consumer.committed(TopicPartition(IN, 0), timeout_ms=200)
            except KafkaError:
                return False
            return True

        tell("committed() while a killed producer's offsets are pending answers after", seconds_until(answered))
    process.wait()


def pausing(config: KafkaConfig) -> None:
    tp = TopicPartition(OUT, 1)
    with closing(make_producer(config)) as producer, closing(make_consumer(config)) as reader:
        reader.assign([tp])
        reader.seek_to_end(tp)
        reader.position(tp)
        reader.pause(tp)
        for i in range(20):
            producer.send(OUT, str(i).encode(), partition=1)
        producer.flush()
        time.sleep(0.3)
        got = sum(len(r) for r in reader.poll(timeout_ms=1000).values())
        tell("records got from a paused partition in 1 s", got)
        began = time.monotonic()
        reader.resume(tp)
        values: list[bytes] = []
        while len(values) < 20 and time.monotonic() - began < 10:
            values += [r.value for rs in reader.poll(timeout_ms=100).values() for r in rs]
        ordered = values == [str(i).encode() for i in range(20)]
        tell("resumed: all 20 there, in order, after", f"{time.monotonic() - began:.3f} s ({ordered})")


def killed_consumer(config: KafkaConfig) -> None:
    for name, sign in (("kill -9 of", signal.SIGKILL), ("SIGSTOP of", signal.SIGSTOP)):
        group = f"members-{sign.name}"
        process = child("--child", "member", config.bootstrap, "member", "--group", group)
        with closing(make_consumer(config, group=group)) as consumer:
            subscribe(consumer, [IN])

            def owns(count: int, consumer: KafkaConsumer = consumer) -> bool:
                consumer.poll(timeout_ms=50)
                return len(consumer.assignment()) >= count

            tell("a consumer that joins gets its half (cooperative) after", seconds_until(lambda: owns(2)))
            process.send_signal(sign)
            tell(f"{name} a member: its partitions are the other's after", seconds_until(lambda: owns(4)))
        process.kill()
        process.wait()


def rebalance_in_transaction(config: KafkaConfig) -> None:
    with closing(make_consumer(config, group="open")) as one, closing(
        make_producer(config, transactional_id="rebalanced")
    ) as producer:  # fmt: skip
        subscribe(one, [IN])
        while len(one.assignment()) < 4:
            one.poll(timeout_ms=100)
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(OUT, b"x", partition=0)
        stop = threading.Event()

        def join() -> None:
            with closing(make_consumer(config, group="open")) as two:
                subscribe(two, [IN])
                while not stop.is_set():
                    two.poll(timeout_ms=100)

        other = threading.Thread(target=join)
        other.start()
        before = one.group_metadata()
        time.sleep(1.0)  # the other waits for us; we have not polled
        for when, poll in (("has begun", False), ("is over", True)):
            if poll:
                while len(one.assignment()) > 2:
                    one.poll(timeout_ms=100)
            for group, name in ((before, "metadata of before"), (one.group_metadata(), "metadata of now")):
                try:
                    producer.send_offsets_to_transaction({TopicPartition(IN, 0): OffsetAndMetadata(1, "", -1)}, group)
                    producer.commit_transaction()
                    what = "accepted"
                except KafkaError as error:
                    producer.abort_transaction()
                    what = f"refused: {error!r}"[:100]
                producer.begin_transaction()
                tell(f"a rebalance {when} since begin_transaction, {name}", what)
        producer.abort_transaction()
        stop.set()
        other.join()


class Writer:
    """Numbers, each in a transaction of its own with its offset, as the runner would: after a failure it asks Kafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config, self.next, self.longest_s, self.failures = config, 0, 0.0, 0
        self._asker = make_consumer(config, group="broker")
        self._transactions = Transactions(config, "broker")

    def run(self, until_s: float) -> None:
        tp = TopicPartition(IN, 0)
        went_s = time.monotonic()
        while time.monotonic() < until_s:
            records = [Outgoing(OUT, None, str(self.next).encode(), (), n) for n in range(4)]
            try:
                offsets = {tp: OffsetAndMetadata(self.next + 1, "", -1)}
                self._transactions.commit(records, offsets, ConsumerGroupMetadata("broker"))
                self.next += 1
            except TransactionAbortedError:
                self.failures += 1
                self.next = self._committed(tp)
                continue
            self.longest_s = max(self.longest_s, time.monotonic() - went_s)
            went_s = time.monotonic()

    def _committed(self, tp: TopicPartition) -> int:
        while True:
            try:
                return self._asker.committed(tp, timeout_ms=1000) or 0
            except KafkaError:
                continue

    def close(self) -> None:
        self._transactions.close()
        self._asker.close()


def killed_broker(config: KafkaConfig, cluster: KafkaCluster) -> None:
    with closing(Writer(config)) as writer, closing(at_the_end(config)) as reader:
        for index in range(3):
            thread = threading.Thread(target=writer.run, args=(time.monotonic() + 30,))
            writer.longest_s = 0.0
            thread.start()
            time.sleep(3)
            cluster.kill(index)
            thread.join()
            tell(f"kill -9 of broker {index}: longest time between two transactions", f"{writer.longest_s:.2f} s")
            began_s = time.monotonic()
            cluster.restart(index)
            tell("  its restart", f"{time.monotonic() - began_s:.1f} s")
        expected = [str(n).encode() for n in range(writer.next)]
        got: list[bytes] = []
        while fresh := [r.value for rs in reader.poll(timeout_ms=3000).values() for r in rs]:
            got += fresh
        tell(
            "transactions / read back, each once and in order / refused",
            f"{len(expected)} / {got == expected} / {writer.failures}",
        )


LOOKS = (
    transaction_times, fencing, killed_producer, stable_offsets, pausing, killed_consumer, rebalance_in_transaction,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--only", help="the name of one function; 'none': only the kills of brokers")
    parser.add_argument("--child", nargs=3)
    parser.add_argument("--group")
    arguments = parser.parse_args()
    if arguments.child:
        what, bootstrap, name = arguments.child
        config = KafkaConfig(bootstrap)
        if what == "open":
            open_transaction(config, name, arguments.group)
        member(config, arguments.group)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with KafkaCluster(Path(folder), brokers=arguments.brokers, quick=True) as cluster:
            tell(f"{arguments.brokers} broker(s) formatted, started, ready", f"{time.monotonic() - began:.1f} s")
            cluster.create_topics([Topic(IN, partitions=4), Topic(OUT, partitions=4)])
            config = KafkaConfig(cluster.bootstrap)
            for look in LOOKS:
                if arguments.only in (None, look.__name__):
                    look(config)
            if arguments.brokers == 3:
                killed_broker(config, cluster)


if __name__ == "__main__":
    main()
