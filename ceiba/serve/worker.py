"""A worker: one process that answers requests, told what to serve by its owner."""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import orjson
import uvloop
from uvicorn import Server

from ceiba.base.errors import CeibaError
from ceiba.base.memory import give_back, settle
from ceiba.bundle import Bundle
from ceiba.predict import Predictor
from ceiba.serve import admin, health, inference, openai, openapi, records, tensorflow
from ceiba.serve.app import Application, Endpoint, Service
from ceiba.serve.batcher import Batcher
from ceiba.serve.drift import Drift
from ceiba.serve.exchange import Load
from ceiba.serve.guard import Guard
from ceiba.serve.http import SWEEP_S, Guarded, config, sweep
from ceiba.serve.intake import Intake
from ceiba.serve.keys import Key
from ceiba.serve.limits import SharedRates
from ceiba.serve.log import Log
from ceiba.serve.metrics import Metrics
from ceiba.serve.models import Models, Served
from ceiba.serve.plan import Plan
from ceiba.serve.routes import Route
from ceiba.serve.writer import Writer

ENDPOINTS: list[Endpoint] = [
    *records.ENDPOINTS, *inference.ENDPOINTS, *openai.ENDPOINTS, *admin.ENDPOINTS, *openapi.ENDPOINTS,
    *tensorflow.ENDPOINTS,
]  # fmt: skip
"""The endpoints of every protocol."""
HANG_S = 30.0
"""A batch that computes for so long after its clients' time has passed hangs; the worker gives itself up."""
Open = Callable[[Path, int, Mapping[str, Path]], tuple[Bundle, Predictor | None, Writer | None]]
"""(folder, threads of one batch, adapters beside it) → a bundle, and what answers rows or writes text with it."""


class Worker:
    """The state of one worker."""

    def __init__(self, plan: Plan, open_model: Open, rates: SharedRates, channel: socket.socket):
        self.plan, self.open_model, self.channel = plan, open_model, channel
        self.metrics = Metrics()
        guard = Guard(None, rates, plan.limits.tries_per_minute)
        self.service = Service(
            Models(), plan.limits, guard, self.metrics, load=Load(plan.limits.queue_bytes), reach_owner=self.ask
        )
        descriptor = plan.log_descriptor
        self.log = Log(descriptor, self.metrics.log_lost.inc)
        self.loader = ThreadPoolExecutor(1, thread_name_prefix="ceiba-load")
        self.asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.servers: list[Server] = []
        self.serving: list[asyncio.Future[None]] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    async def run(self, main: socket.socket, probe: socket.socket | None) -> None:
        """Answer until the owner says stop, or is gone."""
        Guarded.limits = self.plan.limits
        own = health.endpoints(None if probe is None and self.plan.is_open else "admin")
        app = Application(self.service, [*ENDPOINTS, *own], self.log)
        self.servers = [Server(config(app, self.plan.ssl))]
        sockets = [main]
        if probe is not None:
            self.servers.append(Server(config(Application(self.service, health.endpoints(None), self.log), {})))
            sockets.append(probe)
        reader, self.writer = await asyncio.open_unix_connection(sock=self.channel)
        for server in self.servers:
            server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
        listening = self._listen(sockets)
        try:
            async for line in reader:
                await self._told(orjson.loads(line), listening)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        await self._stop(self.plan.grace_s)

    def _listen(self, sockets: list[socket.socket]) -> Callable[[], None]:
        def begin() -> None:
            for server, one in zip(self.servers, sockets, strict=True):
                self.serving.append(asyncio.ensure_future(server.serve(sockets=[one])))
            self._keep(self._look_after())

        return begin

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _told(self, message: dict[str, Any], listen: Callable[[], None]) -> None:
        kind = message["do"]
        if kind == "load":
            self._keep(self._load(message))
        elif kind == "routes":
            self._swap(message)
            self.say({"done": message["id"]})
        elif kind == "keys":
            self.service.guard.keys = None if message["keys"] is None else {
                one["id"]: Key(**one) for one in message["keys"]
            }  # fmt: skip
        elif kind == "listen":
            listen()
            self.metrics.workers.set(1)
        elif kind == "drain":
            self.service.is_draining = True
        elif kind == "stop":
            await self._stop(message["grace_s"])
        elif kind == "answer":
            self.asked.pop(message["id"]).set_result(message["value"])

    def say(self, message: dict[str, Any]) -> None:
        """Tell the owner."""
        self.writer.write(orjson.dumps(message) + b"\n")

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the owner, who decides for all workers."""
        number = max(self.asked, default=0) + 1
        self.asked[number] = asyncio.get_running_loop().create_future()
        self.say({"ask": request, "id": number})
        return await self.asked[number]

    async def _load(self, message: dict[str, Any]) -> None:
        name, version = message["name"], message["version"]
        try:
            served = await asyncio.get_running_loop().run_in_executor(
                self.loader, self._open, name, version, Path(message["path"])
            )
        except CeibaError as error:
            self.say({"done": message["id"], "error": str(error), "exit_code": error.exit_code})
            return
        except Exception as error:
            self.say({"done": message["id"], "error": f"{type(error).__name__}: {error}", "exit_code": 1})
            return
        self.service.models.add(served)
        self.metrics.versions.labels(name, str(version)).set(1)
        self.say({"done": message["id"]})

    def _open(self, name: str, version: int, path: Path) -> Served:
        adapters = self.plan.adapters if name == next(iter(self.plan.models)) else {}
        bundle, predictor, writer = self.open_model(path, self.plan.threads, adapters)
        if predictor is None:
            return Served(name, version, bundle, None, None, writer)
        intake = Intake(predictor, self.plan.missing, self.plan.extra)

        def computed(rows: int, seconds: float) -> None:
            self.metrics.computed(name, version, rows, seconds)

        drift = Drift((bundle.report or {}).get("data"))
        batcher = Batcher(intake, self.plan.batching, self.plan.limits.queue_rows, computed, drift.add)
        served = Served(name, version, bundle, intake, batcher, writer, drift)
        served.warm_up()
        served.add_adapters(adapters)
        return served

    def _swap(self, message: dict[str, Any]) -> None:
        """New routes at once; versions that no route reaches are let go when their last rows are answered."""
        models = self.service.models
        models.routes = {name: Route(**route) for name, route in message["routes"].items()}
        models.states = {
            name: {int(one): (state[0], state[1]) for one, state in states.items()}
            for name, states in message["states"].items()
        }
        models.default, models.adapters = message["default"], tuple(self.plan.adapters)
        for name, versions in list(models.loaded.items()):
            for version in [one for one in versions if one not in message["held"].get(name, [])]:
                served = versions.pop(version)
                self.metrics.versions.labels(name, str(version)).set(0)
                self._keep(self._let_go(served))

    async def _let_go(self, served: Served) -> None:
        while served.queue is not None and (served.queue.waiting_rows or served.queue.running):
            await asyncio.sleep(0.05)
        if served.queue is not None:
            served.queue.close()
        del served
        gc.collect()  # or a version that is part of a cycle would stay for minutes, with all that its graph took
        await asyncio.get_running_loop().run_in_executor(self.loader, give_back)

    async def _look_after(self) -> None:
        """Deadlines, gauges and the log, a few times a second."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            for server in self.servers:
                sweep(server.server_state, loop.time())
            for served in self.service.models.all():
                self._look_after_model(served)
            self.metrics.connections.set(sum(len(server.server_state.connections) for server in self.servers))
            self.metrics.settle()
            self.log.flush()
            self.say({"alive": True})

    def _look_after_model(self, served: Served) -> None:
        if served.queue is None:
            return
        if served.queue.expire(time.monotonic(), HANG_S):
            self.log({"event": "hang", "model": served.name, "version": served.version})
            os._exit(1)
        labels = (served.name, str(served.version))
        self.metrics.queue.labels(*labels).set(served.queue.waiting_rows)
        for column, score in served.drift.scores().items():
            self.metrics.drift.labels(*labels, column).set(score)

    async def _stop(self, grace_s: float) -> NoReturn:
        """Stop accepting, finish what was begun, leave."""
        self.service.is_draining = True
        for server in self.servers:
            server.config.timeout_graceful_shutdown = max(int(grace_s), 1)
            server.should_exit = True
        if self.serving:
            await asyncio.wait(self.serving, timeout=grace_s + 2)
        self.metrics.settle()
        self.log.flush()
        os._exit(0)


def work(
    plan: Plan,
    open_model: Open,
    rates: SharedRates,
    channel: socket.socket,
    main: socket.socket,
    probe: socket.socket | None = None,
) -> NoReturn:
    """The whole life of a worker, in its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = 1
    settle()
    try:
        gc.freeze()
        uvloop.run(Worker(plan, open_model, rates, channel).run(main, probe))
        code = 0
    except BaseException as error:
        os.write(2, f"ceiba: a worker failed: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)
