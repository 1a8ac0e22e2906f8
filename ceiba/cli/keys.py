"""`ceiba keys`: who may ask a server."""

import time
from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.cli import resolve
from ceiba.cli.words import finish, table, words

DAY_S = 86_400


def main(arguments: list[str]) -> int:
    """Make, list and revoke keys; a server that runs takes the change over within a second."""
    parser = words("keys", "Make, list and revoke the keys of a server. A key is shown once; its file holds a hash.")
    parser.add_argument("what", choices=("create", "list", "revoke"))
    parser.add_argument("id", nargs="?", help="revoke: the id of the key, as `list` shows it")
    parser.add_argument("--keys", type=Path, default=Path("keys.json"), metavar="FILE", help="the file (keys.json)")
    parser.add_argument(
        "--role", choices=("predict", "explain", "admin"), default="predict", help="what it allows (predict)"
    )
    parser.add_argument("--days", type=float, metavar="N", help="days until it expires (never)")
    parser.add_argument("--rows-per-minute", type=int, metavar="N", help="rows that it may ask for (as many as can be)")
    parser.add_argument("--note", default="", help="whose it is, or what for")
    given = parser.parse_args(arguments)
    if given.what == "create":
        if (given.days is not None and given.days <= 0) or (
            given.rows_per_minute is not None and given.rows_per_minute < 1
        ):
            raise InputError("--days and --rows-per-minute must be more than 0", None, "Leave them out for no limit")
        key, text = resolve("ceiba.serve.keys:make_key")(given.role, given.days, given.rows_per_minute, given.note)
        resolve("ceiba.serve.keys:add_key")(given.keys, key)
        print(text)
        return finish(given.json, {"id": key.id, "key": text, "role": key.role, "file": str(given.keys)})
    if given.what == "revoke":
        if given.id is None:
            raise InputError("revoke must name a key", "none", f"See: ceiba keys list --keys {given.keys}")
        key = resolve("ceiba.serve.keys:revoke_key")(given.keys, given.id)
        print(f"{key.id} is revoked")
        return finish(given.json, {"id": key.id, "state": "revoked"})
    return _list(given.keys, given.json)


def _list(path: Path, as_json: bool) -> int:
    now = time.time()
    keys = list(resolve("ceiba.serve.keys:read_keys")(path).values())
    rows = [
        [
            key.id,
            key.role,
            key.state(now),
            _day(key.created),
            _day(key.expires),
            str(key.rows_per_minute or "-"),
            key.note or "-",
        ]
        for key in keys
    ]
    print(table(["id", "role", "state", "made", "expires", "rows a minute", "note"], rows))
    shown = [
        {"id": key.id, "role": key.role, "state": key.state(now), "expires": key.expires, "note": key.note}
        for key in keys
    ]
    return finish(as_json, {"keys": shown})


def _day(when: float | None) -> str:
    return "-" if when is None else time.strftime("%Y-%m-%d", time.gmtime(when))
