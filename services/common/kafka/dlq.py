"""What could not be processed: listing it, and sending it once more.

A replay writes the record and a *receipt* (in the DLQ, an empty record that names the letter) in one transaction: so
whatever dies when, a letter is either still open or was sent exactly once. Two replays at once cannot double it either:
they bear one transactional id, the later one fences the earlier and lists the letters only then.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from services.common.kafka.clients import KafkaConfig
from services.common.kafka.messages import Record
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.reading import read_all
from services.common.kafka.transactions import Transactions
from services.common.topics import DLQ_SUFFIX, TOPICS, dlq

_PREFIX: Final = "dlq."
_RECEIPT_HEADER: Final = "dlq.replayed"
_AT_ONCE: Final = 50  # letters of one transaction
LETTER_TOPICS: Final = tuple(t.name.removesuffix(DLQ_SUFFIX) for t in TOPICS if t.name.endswith(DLQ_SUFFIX))
"""Topics that have a DLQ."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """``record`` as it lies in the DLQ; ``topic``, ``partition``, ``offset``: where it lay before.

    ``replayed``: it was sent once more already.
    """

    record: Record
    reason: str
    kind: str
    stage: str
    topic: str
    partition: int
    offset: int
    replayed: bool = False

    @property
    def id(self) -> str:
        """``topic/partition/offset``, the latter two in the DLQ."""
        return f"{self.record.topic.removesuffix(DLQ_SUFFIX)}/{_place(self.record)}"

    @property
    def key(self) -> str:
        return (self.record.key or b"").decode(errors="replace")

    @property
    def unix_s(self) -> float:
        """When it was refused."""
        return self.record.timestamp_ms / 1000.0


def dead_letters(config: KafkaConfig, *topics: str) -> list[DeadLetter]:
    """Everything in the DLQs of ``topics`` (none named: of all), oldest first.

    Raises:
        ConfigError: there is no such topic. kafka.errors.KafkaError: Kafka is not there.
    """
    letters: list[DeadLetter] = []
    receipts: set[tuple[str, str]] = set()
    for record in read_all(config, *map(dlq, topics or LETTER_TOPICS)):
        receipt = record.header(_RECEIPT_HEADER)
        if receipt is None:
            letters.append(_letter(record))
        else:
            receipts.add((record.topic, receipt.decode(errors="replace")))
    letters.sort(key=lambda x: (x.record.timestamp_ms, x.record.topic, x.record.partition, x.record.offset))
    return [replace(x, replayed=(x.record.topic, _place(x.record)) in receipts) for x in letters]


def replay(config: KafkaConfig, wanted: Callable[[DeadLetter], bool], *topics: str) -> list[DeadLetter]:
    """Send each letter that is ``wanted``, and was not sent before, to the topic that it came from, as it was.

    Returns what was sent, in that order. Letters stay in the DLQ, marked. A stream that has gone on refuses what lies
    before its time again: replay what a defect refused, soon.

    Raises:
        TransactionAbortedError: another replay took over, or Kafka failed; ``dead_letters`` tells what was sent.
        ConfigError: there is no such topic. kafka.errors.KafkaError: Kafka is not there.
    """
    transactions = Transactions(config, "dlq-replay")
    transactions.open()  # only now the list is final: what an earlier replay left open is aborted
    with closing(transactions):
        open_ = [letter for letter in dead_letters(config, *topics) if not letter.replayed and wanted(letter)]
        for letters in _batches(open_, _AT_ONCE):
            transactions.commit([record for letter in letters for record in (_again(letter), _receipt(letter))])
    return open_


def _again(letter: DeadLetter) -> Outgoing:
    headers = tuple((k, v) for k, v in letter.record.headers if not k.startswith(_PREFIX))
    return Outgoing(letter.topic, letter.record.key, letter.record.value, headers)


def _receipt(letter: DeadLetter) -> Outgoing:
    record = letter.record
    return Outgoing(record.topic, record.key, None, ((_RECEIPT_HEADER, _place(record).encode()),), record.partition)


def _place(record: Record) -> str:
    return f"{record.partition}/{record.offset}"


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _letter(record: Record) -> DeadLetter:
    def told(name: str, default: str = "") -> str:
        value = record.header(_PREFIX + name)
        return default if value is None else value.decode(errors="replace")

    return DeadLetter(
        record,
        reason=told("reason"),
        kind=told("class"),
        stage=told("stage"),
        topic=told("topic", record.topic.removesuffix(DLQ_SUFFIX)),
        partition=int(told("partition", "-1")),
        offset=int(told("offset", "-1")),
    )
