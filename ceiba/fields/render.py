"""Renders chat templates in a process of its own, which imports nothing of Ceiba: a template is somebody else's code.

One line of JSON in, {"template", "values": [...]}; one out, {"texts"} or {"error"}. The sandbox keeps a template from
Python's objects, the limits from the machine's memory and time: the process ends when a line takes more seconds of the
processor than its first argument says.
"""

import json
import signal
import sys
from datetime import datetime
from functools import cache
from typing import Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 1 << 29


class Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`, by which some templates mark answers: passed through."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """What stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as chat templates expect it: that of transformers."""
    extensions: list[str | type[Extension]] = ["jinja2.ext.loopcontrols", Generation]
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    made.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    made.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    return made


def refuse(message: str) -> NoReturn:
    """What a template calls for messages that it does not take."""
    raise TemplateError(message)


@cache
def compiled(template: str) -> Template:
    """A template, read once."""
    return environment().from_string(template)


def render(template: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    """A text for each of the values, or what was wrong with the first that has none."""
    try:
        return {"texts": [compiled(template).render(**one) for one in values]}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def limit(seconds: float) -> None:
    """End the process after so many seconds of work from now on; 0: not at all. Seconds by the clock would also count
    those in which a busy machine does other things."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def main() -> None:
    """Answer until the input ends."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        asked = json.loads(line)
        limit(float(sys.argv[1]))
        answer = json.dumps(render(asked["template"], asked["values"]))
        limit(0)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
