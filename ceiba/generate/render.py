"""Renders chat templates in a process of its own, which imports nothing of Ceiba: a template is somebody else's code.

One line of JSON in, {"template", "values"}; one out, {"text"} or {"error"}. The sandbox keeps a template from Python's
objects, the limit below from the machine's memory, and who asks ends the process if no answer comes in time.
"""

import json
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 1 << 29


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as chat templates expect it: that of transformers."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    made.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    return made


def refuse(message: str) -> NoReturn:
    """What a template calls for messages that it does not take."""
    raise TemplateError(message)


def render(template: str, values: dict[str, Any]) -> dict[str, str]:
    """The text, or what was wrong."""
    try:
        return {"text": environment().from_string(template).render(**values)}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def main() -> None:
    """Answer until the input ends."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(render(asked["template"], asked["values"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
