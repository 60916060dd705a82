"""What ``formcheck dlq`` does: show what the stages could not process, and send it once more.

    formcheck dlq list                          # what is open, oldest first
    formcheck dlq replay poses.v1/0/12          # one; its id is in the list
    formcheck dlq replay --all [--topic poses.v1]

A replay goes to the topic where the record came from, and cannot double it, whatever dies
(``services.common.kafka.dlq``).
"""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from kafka.errors import KafkaError

from services.common.errors import ConfigError, FormcheckError
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.dlq import LETTER_TOPICS, DeadLetter, dead_letters, replay
from services.local.cli_stack import config_of

T = TypeVar("T")
_REASON_CHARS = 110

app = typer.Typer(
    no_args_is_help=True, help="What the stages could not process: list it, send it once more after a repair."
)

Kafka = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT",
        help="Brokers; else those of this machine's stack, or FORMCHECK_KAFKA_BOOTSTRAP.",
    ),
]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only letters of this topic; may be repeated.")
]


def letters(
    config: KafkaConfig, topics: Sequence[str] = LETTER_TOPICS, *, everything: bool = False
) -> list[DeadLetter]:
    """What is open, oldest first; ``everything``: also what was replayed.

    Raises:
        ConfigError: a topic has no DLQ, or is missing. kafka.errors.KafkaError: Kafka is not there.
    """
    found = dead_letters(config, *_known(topics))
    return [letter for letter in found if everything or not letter.replayed]


def replay_all(config: KafkaConfig, topics: Sequence[str] = LETTER_TOPICS) -> list[DeadLetter]:
    """Send everything that is open; returns it. Raises: as ``letters``, and TransactionAbortedError."""
    return replay(config, lambda letter: True, *_known(topics))


def replay_some(config: KafkaConfig, ids: Sequence[str]) -> list[DeadLetter]:
    """Send the letters with these ids; returns them.

    Raises:
        ConfigError: an id is none, or was replayed already: then nothing is sent. Else as ``replay_all``.
    """
    topics = _known(sorted({i.partition("/")[0] for i in ids}))
    known = {letter.id: letter for letter in dead_letters(config, *topics)}
    for wanted in ids:
        if wanted not in known:
            raise ConfigError(f"There is no dead letter '{wanted}'; `formcheck dlq list` tells the ids.")
        if known[wanted].replayed:
            raise ConfigError(f"The dead letter '{wanted}' was replayed already; what is open: `formcheck dlq list`.")
    return replay(config, lambda letter: letter.id in ids, *topics)


def row(letter: DeadLetter) -> dict[str, Any]:
    """What is told of a letter."""
    return {
        "id": letter.id,
        "time": datetime.fromtimestamp(letter.unix_s, UTC).isoformat(timespec="seconds"),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "stage": letter.stage,
        "class": letter.kind,
        "reason": letter.reason,
        "bytes": len(letter.record.value or b""),
        "replayed": letter.replayed,
    }


@app.command("list")
def list_command(
    topic: Topics = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was replayed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    kafka: Kafka = None,
) -> None:
    """What could not be processed: id, time, key, and why."""
    found = _guard(lambda: letters(config_of(None, kafka), topic or LETTER_TOPICS, everything=everything))
    for letter in found:
        told = row(letter)
        if as_json:
            print(json.dumps(told))
            continue
        mark = "  (replayed)" if letter.replayed else ""
        why = _plain(f"{letter.kind}: {letter.reason}")
        print(f"{letter.id}  {told['time']}  {_plain(letter.key)}  {letter.stage or '-'}  {why}{mark}")
    if not found and not as_json:
        print("Nothing is in the dead-letter queues." if everything else "Nothing is open in the dead-letter queues.")


@app.command("replay")
def replay_command(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="As `formcheck dlq list` tells.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is open.")] = False,
    topic: Topics = None,
    kafka: Kafka = None,
) -> None:
    """Send letters once more to the topic that they came from."""
    if bool(ids) == everything or (topic and not everything):
        _fail("Name the ids of letters, or say --all (with --topic for those of one topic).", code=2)
    if ids:
        sent = _guard(lambda: replay_some(config_of(None, kafka), ids))
    else:
        sent = _guard(lambda: replay_all(config_of(None, kafka), topic or LETTER_TOPICS))
    for letter in sent:
        print(f"{letter.id} -> {letter.topic}")
    print(f"{len(sent)} sent once more.")


def _plain(text: str) -> str:
    """One line that does nothing to a terminal: keys and reasons come from outside."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line if len(line) <= _REASON_CHARS else line[: _REASON_CHARS - 1] + "…"


def _known(topics: Sequence[str]) -> Sequence[str]:
    for topic in topics:
        if topic not in LETTER_TOPICS:
            raise ConfigError(f"'{topic}' has no dead-letter queue; those with one: {', '.join(LETTER_TOPICS)}.")
    return topics


def _guard(work: Callable[[], T]) -> T:
    try:
        return work()
    except FormcheckError as error:
        _fail(str(error))
    except KafkaError as error:
        _fail(f"Kafka cannot be reached or refuses ({error!r}); is it running, and is --kafka right?")


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"formcheck: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)
