"""OpenAI's protocol: chat, completions and embeddings of language models, whole or as a stream of events.

Source: platform.openai.com/docs/api-reference, as vLLM serves it.
"""

import asyncio
import base64
import re
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ceiba.base.errors import CeibaError, InputError
from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import Reply, Request, parse_json, reply_json
from ceiba.serve.models import Served
from ceiba.serve.refusal import Gone, Refusal
from ceiba.serve.writer import Embedder, Piece, Prompt, Stream, Writer

MOST_TEXTS, MOST_PROMPTS, MOST_STOPS, MOST_ALTERNATIVES = 16, 64, 16, 20
TOKENS_A_ROW = 100
"""A key's rate counts so many tokens that are asked for as one row."""
FINISH = {"stop": "stop", "cancelled": "stop"}
"""Why a text ends, in the protocol's words; all else is its length."""
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
EVENTS = b"text/event-stream"


def told(refusal: Refusal, id: str) -> Mapping[str, Any]:
    """A refusal as the protocol says it."""
    kind = TYPES.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.status}}


@dataclass(frozen=True)
class Shape:
    """How chat and plain completions differ."""

    id: str
    whole: str
    piece: str
    is_chat: bool

    def choice(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        """A finished text."""
        body: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self.is_chat else {"text": text}
        return {"index": index, **body, "logprobs": None, "finish_reason": finish}

    def part(self, index: int, text: str | None, finish: str | None, is_first: bool = False) -> dict[str, Any]:
        """A piece of a text."""
        if not self.is_chat:
            return {"index": index, "text": text or "", "logprobs": None, "finish_reason": finish}
        delta: dict[str, Any] = (
            {"role": "assistant", "content": ""} if is_first else {} if text is None else {"content": text}
        )
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


CHAT = Shape("chatcmpl", "chat.completion", "chat.completion.chunk", True)
TEXT = Shape("cmpl", "text_completion", "text_completion", False)


@dataclass(frozen=True)
class Asked:
    """What a request asks for, checked."""

    prompts: list[Prompt]
    count: int
    options: dict[str, Any]
    is_stream: bool
    has_usage: bool


async def chat(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The assistant's next message."""
    value = await body_of(request, service)
    served, writer = find(request, service, value)
    messages = [message_of(one) for one in list_of(value, "messages")]
    try:
        prompt = writer.chat(messages)
    except InputError as error:
        raise Refusal(400, str(error)) from error
    return await write(request, service, served, writer, asked(value, [prompt]), CHAT)


async def complete(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The continuation of each prompt."""
    value = await body_of(request, service)
    served, writer = find(request, service, value)
    return await write(request, service, served, writer, asked(value, prompts_of(value, "prompt")), TEXT)


async def embed(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """A vector for each text."""
    value = await body_of(request, service)
    served = named(request, service, value)
    prompts = prompts_of(value, "input")
    vectors_of, count = embedder(served)
    kind = value.get("encoding_format", "float")
    if kind not in ("float", "base64"):
        raise Refusal(400, "encoding_format must be float or base64. Got another.")
    service.guard.spend(request, len(prompts))
    request.rows = len(prompts)
    try:
        vectors = await asyncio.get_running_loop().run_in_executor(None, vectors_of, prompts)
    except InputError as error:
        raise Refusal(400, str(error)) from error
    data = [
        {"object": "embedding", "index": place, "embedding": list(vector) if kind == "float" else packed(vector)}
        for place, vector in enumerate(vectors)
    ]
    tokens = sum(map(count, prompts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return reply_json({"object": "list", "data": data, "model": served.name, "usage": usage})


def packed(vector: Sequence[float]) -> str:
    """A vector in base64: 32-bit floats, little-endian."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


async def models(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """What is served."""
    known = service.models
    data = [shown(service, name) for name in known.routes]
    data += [{**shown(service, name), "parent": known.default} for name in known.adapters]
    return reply_json({"object": "list", "data": data})


def shown(service: Service, name: str) -> dict[str, Any]:
    """One model in the list, or one adapter, which names the model it stands beside."""
    created = int(service.models.find(name).loaded)
    return {"id": name, "object": "model", "created": created, "owned_by": "ceiba"}


async def body_of(request: Request, service: Service) -> dict[str, Any]:
    """Raises: Refusal for a body that is no JSON object."""
    value = parse_json(await request.body(service.load, service.limits), service.limits)
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object. Got something else.")
    return value


def embedder(served: Served) -> tuple[Callable[[list[Prompt]], Any], Callable[[Prompt], int]]:
    """What makes vectors of texts, and what counts their tokens (words, where no tokenizer is known).

    Raises: Refusal for a model that makes none.
    """
    if isinstance(served.writer, Embedder):
        return served.writer.embed, served.writer.count
    name = served.intake.alone
    if name is None or getattr(served.predictor.backend, "embed", None) is None:
        raise Refusal(400, "The model has no embeddings. Use a trained model of one text input, not its export.")

    def embed_texts(prompts: list[Prompt]) -> Any:
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise InputError("embeddings are made of texts", "tokens", "Send the text")
        return served.predictor.embed([{name: prompt} for prompt in prompts]).tolist()

    return embed_texts, lambda prompt: len(prompt.split() if isinstance(prompt, str) else prompt)


def named(request: Request, service: Service, value: Mapping[str, Any]) -> Served:
    """The model that the request names.

    Raises: Refusal for one that is not served.
    """
    name = value.get("model")
    if name is not None and not isinstance(name, str):
        raise Refusal(400, "model must be a name. Got something else.")
    served = service.models.find(name)
    request.model, request.version = served.name, served.version
    return served


def find(request: Request, service: Service, value: Mapping[str, Any]) -> tuple[Served, Writer]:
    """The same, which must write text.

    Raises: Refusal for another.
    """
    served = named(request, service, value)
    if served.writer is None:
        raise Refusal(400, "The model does not write text. Use /v1/predict.")
    return served, served.writer


def list_of(value: Mapping[str, Any], name: str) -> list[Any]:
    """Raises: Refusal for what is no list with at least one entry."""
    found = value.get(name)
    if not isinstance(found, list) or not found:
        raise Refusal(400, f"{name} must be a list with at least one entry.")
    return found


def message_of(value: Any) -> dict[str, str]:
    """A message whose content is one text, also if it came in parts.

    Raises: Refusal for anything else.
    """
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise Refusal(400, "A message must be an object with a role and a content.")
    content = value.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise Refusal(400, "The parts of a message must be text. Got another kind.")
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise Refusal(400, "A message's content must be text. Got something else.")
    return {"role": value["role"], "content": content}


def prompts_of(value: Mapping[str, Any], name: str) -> list[Prompt]:
    """A text, texts, tokens or lists of tokens.

    Raises: Refusal for anything else.
    """
    found = value.get(name)
    if isinstance(found, str):
        return [found]
    if isinstance(found, list) and found and len(found) <= 1 << 20:
        if all(type(one) is int for one in found):
            return [found]
        if len(found) > MOST_PROMPTS:
            raise Refusal(400, f"{name} must have at most {MOST_PROMPTS} texts. Got {len(found)}.")
        if all(isinstance(one, str) or (isinstance(one, list) and all(type(id) is int for id in one)) for one in found):
            return list(found)
    raise Refusal(400, f"{name} must be a text, a list of texts, or tokens. Got something else.")


def asked(value: Mapping[str, Any], prompts: list[Prompt]) -> Asked:
    """Options in the engine's words.

    Raises: Refusal for one of the wrong kind.
    """
    limit = value.get("max_completion_tokens", value.get("max_tokens"))
    options: dict[str, Any] = {"temperature": 1.0}
    for name, kind, found in (
        ("max_tokens", int, limit),
        ("temperature", float, value.get("temperature")),
        ("top_p", float, value.get("top_p")),
        ("seed", int, value.get("seed")),
    ):
        if found is not None:
            if type(found) is not int and (kind is int or type(found) is not float):
                raise Refusal(400, f"{name} must be a number. Got something else.")
            options[name] = kind(found)
    stop = value.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(one, str) for one in stops):
        raise Refusal(400, f"stop must be a text or a list of at most {MOST_STOPS}. Got something else.")
    options["stop"] = [one for one in stops if one]
    count = value.get("n") or 1
    if type(count) is not int or not 1 <= count <= MOST_TEXTS:
        raise Refusal(400, f"n must be a whole number from 1 to {MOST_TEXTS}. Got another.")
    usage = value.get("stream_options")
    has_usage = bool(usage.get("include_usage")) if isinstance(usage, dict) else False
    return Asked(prompts, count, options, bool(value.get("stream")), has_usage)


class Texts:
    """The texts of one request, as they are written in the engine's thread and read in the server's."""

    def __init__(self, writer: Writer, given: Asked):
        """Raises: Refusal for a prompt that the model cannot take, or if too many wait."""
        self.loop, self.arrived = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Piece | BaseException]]()
        self.streams: list[Stream] = []
        self.written, self.read_tokens = 0, sum(map(writer.count, given.prompts))
        seed = given.options.get("seed", secrets.randbits(62))
        try:
            for place in range(len(given.prompts) * given.count):
                options = given.options | {"seed": (seed + place % given.count) % (1 << 63)}
                prompt = given.prompts[place // given.count]
                self.streams.append(writer.submit(prompt, options, partial(self._take, place)))
        except InputError as error:
            self.cancel()
            raise Refusal(400, str(error)) from error
        except CeibaError as error:
            self.cancel()
            raise Refusal(503, "Too many texts wait. Try again later.", 1) from error
        self.left = len(self.streams)

    def _take(self, place: int, piece: Piece | BaseException) -> None:
        self.loop.call_soon_threadsafe(self.arrived.put_nowait, (place, piece))

    async def pieces(self, request: Request) -> AsyncIterator[tuple[int, Piece]]:
        """Each piece and the place of its text; a client that leaves stops the writing.

        Raises: Gone then; what the engine raised.
        """
        try:
            while self.left:
                try:
                    place, piece = await asyncio.wait_for(self.arrived.get(), 1.0)
                except TimeoutError:
                    if request.is_gone():
                        raise Gone from None
                    continue
                if isinstance(piece, BaseException):
                    raise piece
                if request.is_gone():
                    raise Gone
                self.written += len(piece.tokens)
                self.left -= piece.finish is not None
                yield place, piece
        finally:
            self.cancel()

    def cancel(self) -> None:
        for stream in self.streams:
            stream.cancel()

    @property
    def usage(self) -> dict[str, int]:
        total = self.read_tokens + self.written
        return {"prompt_tokens": self.read_tokens, "completion_tokens": self.written, "total_tokens": total}


async def write(
    request: Request, service: Service, served: Served, writer: Writer, given: Asked, shape: Shape
) -> Reply:
    """The texts, whole or as a stream."""
    request.rows = len(given.prompts) * given.count
    most = int(given.options.get("max_tokens", TOKENS_A_ROW))
    service.guard.spend(request, request.rows * max(1, most // TOKENS_A_ROW))
    texts = Texts(writer, given)
    head = {"id": f"{shape.id}-{secrets.token_hex(12)}", "created": int(time.time()), "model": served.name}
    if given.is_stream:
        return Reply(b"", content_type=EVENTS, headers=[(b"cache-control", b"no-store")],
                     stream=events(request, service, texts, head | {"object": shape.piece}, given, shape))  # fmt: skip
    found, ends = [""] * len(texts.streams), [""] * len(texts.streams)
    async for place, piece in texts.pieces(request):
        found[place] += piece.text
        ends[place] = FINISH.get(piece.finish, "length") if piece.finish is not None else ends[place]
    service.metrics.wrote(served.name, texts.usage)
    choices = [shape.choice(place, text, end) for place, (text, end) in enumerate(zip(found, ends, strict=True))]
    return reply_json(head | {"object": shape.whole, "choices": choices, "usage": texts.usage})


async def events(
    request: Request, service: Service, texts: Texts, head: dict[str, Any], given: Asked, shape: Shape
) -> AsyncIterator[bytes]:
    """Server-sent events; what goes wrong after the first is an event, since the status has been sent."""
    extra: dict[str, Any] = {"usage": None} if given.has_usage else {}

    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + orjson.dumps(head | {"choices": choices} | extra | more) + b"\n\n"

    try:
        if shape.is_chat:
            for place in range(len(texts.streams)):
                yield event([shape.part(place, None, None, is_first=True)])
        async for place, piece in texts.pieces(request):
            if piece.text:
                yield event([shape.part(place, piece.text, None)])
            if piece.finish is not None:
                yield event([shape.part(place, None, FINISH.get(piece.finish, "length"))])
        if given.has_usage:
            yield event([], usage=texts.usage)
        yield b"data: [DONE]\n\n"
    except Gone:
        return
    except Exception:
        failed = Refusal(500, f"The server failed to answer. Tell its operator the request id {request.id}.")
        yield b"data: " + orjson.dumps(told(failed, request.id)) + b"\n\n"
    finally:
        service.metrics.wrote(head["model"], texts.usage)


def endpoint(method: str, path: str, handler: Any) -> Endpoint:
    return Endpoint(method, path, handler, "predict", "openai", told=told)


ENDPOINTS = [
    endpoint("POST", "/v1/chat/completions", chat),
    endpoint("POST", "/v1/completions", complete),
    endpoint("POST", "/v1/embeddings", embed),
    endpoint("GET", "/v1/models", models),
]
