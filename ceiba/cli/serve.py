"""`ceiba serve`: bundles behind HTTP."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError
from ceiba.cli import resolve
from ceiba.cli.words import Words, beside, finish, named_folders, words

LOG_MODE = 0o600


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; then drain, and leave with 0."""
    given = _words().parse_args(arguments)
    owner = resolve("ceiba.serve.owner:make_owner")(
        _settings(given), partial(_work, given.trust, given.unlock, given.device), _say
    )
    return finish(given.json, {"exit": owner.run(), "restarts": owner.restarts})


def _words() -> Words:
    parser = words("serve", "Answer requests over HTTP: rows as JSON or CSV, and the protocols of other servers.")
    parser.add_argument(
        "models", nargs="+", metavar="[NAME=]BUNDLE", help="a bundle, a run, or a folder of versions 1, 2, ..."
    )
    beside(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000); 0 takes a free one")
    parser.add_argument(
        "--probe-port", type=int, metavar="PORT", help="a port of its own for health and metrics, without keys"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that answer (1)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one batch (1); 0 = one a core")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where batches are computed (cpu)")
    parser.add_argument("--batch-rows", type=int, metavar="N", help="rows of one batch, at most (64)")
    parser.add_argument(
        "--wait-ms", type=float, metavar="MS", help="how long a first row waits for others when all is idle (0)"
    )
    parser.add_argument(
        "--missing", choices=("error", "null"), default="error", help="what a missing column is (an error)"
    )
    parser.add_argument(
        "--extra", choices=("error", "ignore"), default="ignore", help="what an unknown column is (ignored)"
    )
    parser.add_argument("--trust", type=Path, metavar="FILE", help="serve only bundles signed with a key of this file")
    parser.add_argument("--unlock", metavar="KEY", help="key of encrypted bundles: FILE, env:NAME or command:WORDS")
    access = parser.add_mutually_exclusive_group()
    access.add_argument(
        "--keys", type=Path, metavar="FILE", help="keys, as `ceiba keys` makes them; else one is made for this run"
    )
    access.add_argument("--open", action="store_true", help="let anybody ask, without a key")
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CERT", "KEY"), help="certificate chain and key, in PEM")
    parser.add_argument("--clients", type=Path, metavar="CA", help="only clients with a certificate of this authority")
    parser.add_argument(
        "--canary", type=float, default=0.0, metavar="SHARE", help="share of requests that a new version gets (all)"
    )
    parser.add_argument(
        "--drain-s", type=float, default=0.0, metavar="S", help="seconds not ready before the server stops accepting"
    )
    parser.add_argument(
        "--grace-s", type=float, default=30.0, metavar="S", help="seconds that requests in work may take at the end"
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="a line of JSON for each request; - is standard output"
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=VALUE", help="a limit, e.g. rows=100; see the docs"
    )
    return parser


def _settings(given: Any) -> dict[str, Any]:
    settings = {name: getattr(given, name) for name in SAME}
    batching = {"rows": given.batch_rows, "wait_ms": given.wait_ms}
    if given.clients is not None and given.tls is None:
        raise InputError("--clients must go with --tls", "no --tls", "Name a certificate and its key")
    models = _models(given.models)
    return settings | {
        "models": models,
        "adapters": named_folders(given.adapters, models),
        "is_open": given.open,
        "canary_share": given.canary,
        "batching": {name: value for name, value in batching.items() if value is not None},
        "limits": _limits(given.limit),
        "ssl": _ssl(given),
        "log_descriptor": _log(given.log),
    }


SAME = (
    "host", "port", "probe_port", "workers", "threads", "missing", "extra", "keys", "drain_s", "grace_s",
)  # fmt: skip
"""Options that have the name of the setting."""


def _models(words: list[str]) -> dict[str, Path]:
    models: dict[str, Path] = {}
    for word in words:
        name, mark, folder = word.partition("=")
        path = Path(folder if mark else word)
        name = name if mark else path.resolve().name
        if not name or any(sign in name for sign in "/:?#") or len(name) > 200:
            raise InputError("a model's name must have no / : ? #", f"'{name}'", "Write NAME=BUNDLE")
        if name in models:
            raise InputError("each model must have a name of its own", f"'{name}' twice", "Write NAME=BUNDLE")
        models[name] = path
    return models


def _limits(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise InputError("--limit must be NAME=VALUE", f"'{word}'", "Write for example --limit rows=100")
    return dict(word.split("=", 1) for word in words)


def _ssl(given: Any) -> dict[str, Any]:
    if given.tls is None:
        return {}
    for path in (*given.tls, *([given.clients] if given.clients else [])):
        if not path.is_file():
            raise InputError(f"{path} must be a file in PEM", "no such file", "Check the name")
    certificate, key = given.tls
    settings: dict[str, Any] = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    if given.clients is not None:
        settings |= {"ssl_ca_certs": str(given.clients), "ssl_cert_reqs": 2}  # ssl.CERT_REQUIRED
    return settings


def _log(path: Path | None) -> int | None:
    if path is None:
        return None
    if str(path) == "-":
        return 1
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
    except OSError as error:
        raise InputError(f"{path} must be a file that can be written", error.strerror, "Name another") from error


def _say(line: str) -> None:
    print(f"ceiba: {line}", file=sys.stderr, flush=True)


def _work(trust: Path | None, unlock: str | None, device: str, plan: Any, *given: Any) -> None:
    """In a process of its own: what the owner does without is imported here."""
    open_model = partial(resolve("ceiba.cli.opening:open_served"), trust=trust, unlock=unlock, device=device)
    resolve("ceiba.serve.worker:work")(plan, open_model, *given)
