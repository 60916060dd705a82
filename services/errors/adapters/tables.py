"""The exercises and their errors as Markdown tables: the generated part of docs/exercises.md."""

from pathlib import Path
from typing import Final

from services.common.errors import ConfigError
from services.errors.core.catalogue import ABOVE, Catalogue, ErrorSpec
from services.errors.core.measures import REGISTRY
from services.errors.core.registry import SET_MEASURES

BEGIN: Final = "<!-- generated: exercises -->"
END: Final = "<!-- end of generated -->"
_SHORT: Final = {"deg": "°", "s": " s", "torso lengths": " torso", "ratio": ""}


def _rule(error: ErrorSpec) -> str:
    if error.measure is None:
        return f"never observable: {error.hidden_because[0].lower()}{error.hidden_because[1:]}"
    sign = ">" if error.direction == ABOVE else "<"
    low, middle, strict = (f"{limit:g}" for limit in error.limits)
    return f"`{error.measure}` {sign} **{middle}**{_SHORT[error.unit]} ({low} … {strict})"


def _views(error: ErrorSpec) -> str:
    order = ("front", "three_quarter", "side", "back")
    return ", ".join(v.replace("_", "-") for v in order if v in error.views) if error.views else "none"


def exercise_tables(catalogue: Catalogue) -> str:
    """Markdown: the exercises, each exercise's errors, the measures."""
    lines = ["| id | also called | a repetition starts and ends | turn |", "|---|---|---|---|"]
    lines += [f"| `{s.id}` | {', '.join(s.aliases) or '–'} | {s.starts} | {s.turn} |" for s in catalogue]
    for spec in catalogue:
        if not spec.errors:
            continue
        lines += ["", f"### {spec.title}", "", "| error | what it is | named when | views |", "|---|---|---|---|"]
        lines += [f"| `{e.code}` | {e.title} | {_rule(e)} | {_views(e)} |" for e in spec.errors]
    lines += ["", "### Measures", "", "| measure | what it reads |", "|---|---|"]
    told = {name: measure.what for name, measure in REGISTRY.items()} | SET_MEASURES
    lines += [f"| `{name}` | {told[name]} |" for name in sorted(told)]
    return "\n".join(lines)


def update(path: Path, catalogue: Catalogue) -> str:
    """The document's text with its generated part made anew.

    Raises:
        ConfigError: the document lacks the marks between which it is generated.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ConfigError(f"{path}: lacks the lines {BEGIN} and {END}.")
    head, tail = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
    return f"{head}{BEGIN}\n{exercise_tables(catalogue)}\n{END}{tail}"
