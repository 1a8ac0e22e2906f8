"""The owner: one small process that holds the sockets, the versions, the keys, the rates and the signals.

It loads no model and answers no request. Its workers are forked from it, so that one which dies is made again at once;
what all must agree on (which version answers, who may ask) is decided here and told to all.

SIGTERM, SIGINT    drain and leave; a second one leaves at once
SIGHUP             look for new versions, new keys now
"""

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ceiba.base.errors import CeibaError, InputError, listed
from ceiba.serve import metric_files
from ceiba.serve.keys import KeysInUse
from ceiba.serve.limits import SharedRates
from ceiba.serve.plan import Plan
from ceiba.serve.sockets import listen
from ceiba.serve.versions import Versions

Message = dict[str, Any]
SILENT_S = 45.0
"""A worker that says nothing for so long hangs and is replaced."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, SHORT_LIFE_S = 0.1, 10.0, 5.0
"""Before a worker that died young is made again: doubled each time."""
LINE_BYTES = 1 << 16


@dataclass(eq=False)
class Link:
    """A worker, seen from the owner."""

    process: int
    channel: socket.socket
    began: float
    heard: float
    buffer: bytes = b""
    waiting: set[int] = field(default_factory=set)
    """Loads without which it does not listen yet."""
    listens: bool = False


@dataclass(eq=False)
class Change:
    """A change that all workers must make before it counts."""

    left: set[int]
    then: Callable[[list[Message]], None]
    faults: list[Message] = field(default_factory=list)


class Owner:
    """The owner's state and its loop."""

    def __init__(self, plan: Plan, start_worker: Callable[..., None], say: Callable[[str], None]):
        """`start_worker` does a worker's whole work in its process; `say` tells the operator a line."""
        self.plan, self.start_worker, self.say = plan, start_worker, say
        self.versions = Versions(plan.models, plan.canary_share)
        self.links: dict[int, Link] = {}
        self.changes: dict[int, Change] = {}
        self.selector = selectors.DefaultSelector()
        self.rates = SharedRates()
        metric_files.begin()
        self.sockets = [listen(plan.host, plan.port)]
        if plan.probe_port is not None:
            self.sockets.append(listen(plan.host, plan.probe_port))
        self.keys = KeysInUse(plan.keys, plan.is_open)
        self.number, self.restarts = 0, 0
        self.pause_s = FIRST_PAUSE_S
        self.due: list[float] = []
        self.is_announced = False
        self.stopping: float | None = None
        self.told_stop = False
        self.failure: CeibaError | None = None

    @property
    def address(self) -> str:
        host, port = self.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.plan.ssl else 'http'}://{shown}:{port}"

    def run(self) -> int:
        """Serve until a signal says stop; the exit code."""
        wake, woken = socket.socketpair()
        for one in (wake, woken):
            one.setblocking(False)
        before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        handled = {one: signal.signal(one, lambda *_: None) for one in SIGNALS}
        self.selector.register(wake, selectors.EVENT_READ, self._woken)
        try:
            for _ in range(self.plan.workers):
                self._fork()
            while self.links or self.due:
                self._turn()
            if self.failure is not None:
                raise self.failure
            return 0
        finally:
            self._kill()
            signal.set_wakeup_fd(before)
            for number, handler in handled.items():
                signal.signal(number, handler)
            for each in (wake, woken, *self.sockets):
                each.close()
            metric_files.end()

    def _turn(self) -> None:
        for key, _ in self.selector.select(timeout=0.1):
            key.data(key.fileobj)
        now = time.monotonic()
        if self.stopping is not None:
            self._drain(now)
            return
        for link in list(self.links.values()):
            if link.listens and now - link.heard > SILENT_S:
                self.say(f"worker {link.process} hangs and is replaced")
                os.kill(link.process, signal.SIGKILL)
        for when in [one for one in self.due if one <= now]:
            self.due.remove(when)
            self._fork()
        if self.is_announced and self.versions.is_due(now, self.plan.poll_s):
            self._look()

    def _woken(self, wake: Any) -> None:
        for number in wake.recv(256):
            if number in (signal.SIGTERM, signal.SIGINT):
                if self.stopping is not None:
                    self._kill()
                else:
                    self.stopping = time.monotonic()
                    self.due.clear()
                    self._tell_all({"do": "drain"})
            elif number == signal.SIGHUP:
                self.versions.look_at_all = True
                self._look()

    def _drain(self, now: float) -> None:
        """Not ready at first; then no new connections; then wait for the workers to finish."""
        assert self.stopping is not None
        if not self.told_stop and now - self.stopping >= self.plan.drain_s:
            self.told_stop = True
            for one in self.sockets:
                one.close()
            self._tell_all({"do": "stop", "grace_s": self.plan.grace_s})
        if now - self.stopping > self.plan.drain_s + self.plan.grace_s + 5:
            self._kill()

    def _kill(self) -> None:
        for link in list(self.links.values()):
            os.kill(link.process, signal.SIGKILL)
            self._ended(link)

    # workers

    def _fork(self) -> None:
        """A new worker, and all that it needs to know."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if not process:
            signal.set_wakeup_fd(-1)
            ours.close()
            for link in self.links.values():
                link.channel.close()
            self.start_worker(self.plan, self.rates, theirs, *self.sockets)
            os._exit(1)
        theirs.close()
        ours.setblocking(False)
        link = Link(process, ours, time.monotonic(), time.monotonic())
        self.links[process] = link
        self.selector.register(ours, selectors.EVENT_READ, lambda _: self._heard(link))
        self._tell(link, {"do": "keys", "keys": self.keys.plain()})
        for name, version, path in self.versions.held():
            number = self._next()
            link.waiting.add(number)
            self._tell(link, {"do": "load", "id": number, "name": name, "version": version, "path": str(path)})

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _tell(self, link: Link, message: Message) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            link.channel.setblocking(True)
            link.channel.settimeout(5.0)
            link.channel.sendall(data)
        except OSError:
            return  # it is ending, which its channel will tell
        finally:
            link.channel.setblocking(False)

    def _tell_all(self, message: Message) -> None:
        for link in list(self.links.values()):
            self._tell(link, message)

    def _heard(self, link: Link) -> None:
        try:
            data = link.channel.recv(LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(link)
            return
        link.heard = time.monotonic()
        *lines, link.buffer = (link.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "done" in message:
                self._done(link, message)
            elif "ask" in message:
                self._asked(link, message)

    def _ended(self, link: Link) -> None:
        """A worker is gone; another takes its place, later each time if they die young."""
        self.selector.unregister(link.channel)
        link.channel.close()
        os.waitpid(link.process, 0)
        del self.links[link.process]
        metric_files.forget(link.process)
        for number, change in list(self.changes.items()):
            change.left.discard(link.process)
            self._settle(number)
        if self.stopping is not None or self.failure is not None:
            return
        if not self.is_announced:
            self.failure = CeibaError("a worker must start", "its end", "See the message above")
            self._kill()
            return
        now = time.monotonic()
        is_young = now - link.began < SHORT_LIFE_S
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S) if is_young else FIRST_PAUSE_S
        self.due.append(now + (self.pause_s if is_young else 0.0))
        self.restarts += 1
        self.say(f"worker {link.process} ended; another takes its place")

    def _done(self, link: Link, message: Message) -> None:
        """A worker did what it was told, or could not."""
        number = message["done"]
        if number in link.waiting:
            link.waiting.discard(number)
            if "error" in message:
                self._could_not_start(link, message)
            elif not link.waiting:
                self._listen(link)
        elif number in self.changes:
            change = self.changes[number]
            change.left.discard(link.process)
            if "error" in message:
                change.faults.append(message)
            self._settle(number)

    def _could_not_start(self, link: Link, message: Message) -> None:
        if self.is_announced:
            self.say(message["error"])
            os.kill(link.process, signal.SIGKILL)
            return
        self.failure = CeibaError(message["error"])
        self.failure.exit_code = message["exit_code"]
        self._kill()

    def _listen(self, link: Link) -> None:
        self._tell(link, self._routes(self._next()))
        self._tell(link, {"do": "listen"})
        link.listens, link.heard = True, time.monotonic()
        if not self.is_announced and all(one.listens for one in self.links.values()):
            self.is_announced = True
            more = f" with {listed(self.plan.adapters)}" if self.plan.adapters else ""
            for name, route in self.versions.routes.items():
                told = more if name == next(iter(self.plan.models)) else ""
                self.say(f"{name} version {route.stable}{told} at {self.address}")
            if self.keys.shown is not None:
                self.say(f"key for this run: {self.keys.shown}")

    def _settle(self, number: int) -> None:
        change = self.changes.get(number)
        if change is not None and not change.left:
            del self.changes[number]
            change.then(change.faults)

    def _change(self, message: Message, then: Callable[[list[Message]], None]) -> None:
        """Tell all workers that listen, and go on when all have done it."""
        number = self._next()
        links = [link for link in self.links.values() if link.listens]
        self.changes[number] = Change({link.process for link in links}, then)
        for link in links:
            self._tell(link, message | {"id": number})
        self._settle(number)

    # versions

    def _routes(self, number: int) -> Message:
        return {"do": "routes", "id": number, **self.versions.to_json()}

    def _look(self) -> None:
        """New versions in the folders, new keys in their file."""
        for name, version in self.versions.found():
            self.bring(name, version)
        try:
            if self.keys.look():
                self._tell_all({"do": "keys", "keys": self.keys.plain()})
        except InputError as error:
            self.say(str(error))

    def bring(self, name: str, version: int) -> None:
        """Load a version beside the one that answers; it takes over when every worker has it."""

        def then(faults: list[Message]) -> None:
            if faults:
                self.versions.failed(name, version, faults[0]["error"])
                self.say(f"{name} version {version} is not served: {faults[0]['error']}")
            else:
                self.versions.came(name, version)
                self.say(f"{name} version {version} is served")
            self._change(self._routes(0), lambda _: None)

        path = self.versions.begin(name, version)
        self._change({"do": "load", "name": name, "version": version, "path": str(path)}, then)

    def _asked(self, link: Link, message: Message) -> None:
        """A request of an administrator, through the worker that it reached."""
        ask = message["ask"]

        def answer(value: Message) -> None:
            if link.process in self.links:
                self._tell(link, {"do": "answer", "id": message["id"], "value": value})

        if ask["kind"] == "reload":
            self.versions.look_at_all = True
            self._look()
            answer({"models": self.versions.shown()})
            return
        if ask["kind"] == "models":
            answer({"models": self.versions.shown(), "workers": len(self.links), "restarts": self.restarts})
            return
        try:
            missing = self.versions.needed(ask["name"], ask["route"])
        except InputError as error:
            answer({"error": str(error)})
            return
        self._route(ask["name"], ask["route"], missing, answer)

    def _route(self, name: str, route: Message, missing: list[int], answer: Callable[[Message], None]) -> None:
        """Load what a route needs, one version after another, then swap."""
        if missing:
            version, *rest = missing
            path = self.versions.begin(name, version)

            def loaded(faults: list[Message]) -> None:
                if faults:
                    self.versions.failed(name, version, faults[0]["error"])
                    answer({"error": faults[0]["error"]})
                else:
                    self.versions.available(name, version)
                    self._route(name, route, rest, answer)

            self._change({"do": "load", "name": name, "version": version, "path": str(path)}, loaded)
            return
        self.versions.set_route(name, route)
        self._change(self._routes(0), lambda _: answer({"models": self.versions.shown()}))


def make_owner(settings: Message, start_worker: Callable[..., None], say: Callable[[str], None]) -> Owner:
    """The owner of a server with these settings.

    Raises: InputError for a setting that breaks a rule, an address that is taken, or a folder without a bundle.
    """
    try:
        plan = Plan.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place, context = ".".join(map(str, first["loc"])), first.get("ctx", {})
        got = f"'{context['key']}'" if "key" in context else repr(first["input"])
        raise InputError(f"{place} {first['msg'].lower()}", got, context.get("do", "Correct it")) from error
    return Owner(plan, start_worker, say)


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
