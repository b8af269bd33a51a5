"""Makes the requests that docs/wire.md shows, and compares or renews the replies.

    python tools/wire_examples.py check
    python tools/wire_examples.py

A block ``json request SERVICE/METHOD`` is sent, in the contract's JSON, to a server that has the
generator that ships; the block ``json reply`` after it holds what comes back. A request or reply in
brackets is a stream. What is long is cut, and ends in three dots: numbers and messages after the
first ones, bytes and texts after their beginning. An operation is called ``operations/METHOD`` on
the page, and the sha256 of its result arrays ``METHOD.array``; requests that follow use these
names. What differs from run to run (times, rates) is compared by its form alone.
"""

import base64
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import google_crc32c
import grpc
import numpy as np
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from graftscope.bundle import shipped
from graftscope.server import embedded_server
from graftscope.server.inference import SERVICE, described

PAGE: Final = Path(__file__).parents[1] / "docs/wire.md"
TIMEOUT_S: Final = 300.0

_PACKAGES = ("analysis_service_pb2", "artifact_service_pb2", "model_service_pb2")
_EXAMPLE = re.compile(
    r"^```json request (?P<service>\w+)/(?P<method>\w+)\n(?P<request>.*?)^```\n"
    r"(?P<between>.*?)^```json reply\n(?P<reply>.*?)^```$",
    re.M | re.S,
)
_VARIES = frozenset(
    {
        *("create_time", "end_time", "expire_time", "progress", "duration", "hybrids_per_second"),
        *("plan", "digest", "sha256", "model_digest", "identity", "crc32c"),
        *("raw_output_contents", "model_version", "version"),
        *("deviation", "execution", "reason", "next_page_token"),
    }
)
_OF_THE_BUNDLE = frozenset({"metrics", "settings", "torch_hooks", "versions"})
_LONGEST_TEXT, _DOTS = 66, "..."


@dataclass
class Session:
    """One server and what has been asked of it."""

    channel: grpc.Channel
    names: dict[str, str] = field(default_factory=dict)
    """Operations' names by what the page calls them."""

    def reply_to(self, service: str, method: str, request: str) -> str:
        """Send a request in JSON; returns the reply as the page shows it."""
        found = _method(service, method)
        for alias, name in self.names.items():
            request = request.replace(alias, name)
        asked = json.loads(request)
        messages = [
            json_format.ParseDict(each, message_factory.GetMessageClass(found.input_type)())
            for each in (asked if isinstance(asked, list) else [asked])
        ]
        try:
            replies = list(self._call(found, messages))
        except grpc.RpcError as error:
            return self._aliased({"code": error.code().name, "message": error.details()})
        for reply in replies:
            self._remember(reply, method)
        shown = [_cut(_plain(reply)) for reply in replies]
        if not found.server_streaming:
            (one,) = shown
            return self._aliased(one)
        return self._aliased([shown[0], _DOTS, shown[-1]] if len(shown) > 2 else shown)

    def put_grey_image(self) -> None:
        """Store the image that the page encodes: 64 x 64 x 3 bytes of 128."""
        data = bytes([128]) * (64 * 64 * 3)
        digest = hashlib.sha256(data).hexdigest()
        artifact = {"sha256": digest, "datatype": "UINT8", "shape": [1, 64, 64, 3]}
        crc32c = google_crc32c.value(data)
        chunk = {"data": base64.b64encode(data).decode(), "crc32c": crc32c}
        messages = json.dumps([{"artifact": artifact}, {"chunk": chunk}])
        self.reply_to("ArtifactService", "PutArtifact", messages)

    def _call(self, method: MethodDescriptor, requests: Sequence[Message]) -> Iterator[Message]:
        kind = "stream" if method.client_streaming else "unary"
        make = getattr(self.channel, f"{kind}_{'stream' if method.server_streaming else 'unary'}")
        call = make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        sent = iter(requests) if method.client_streaming else requests[0]
        reply = call(sent, timeout=TIMEOUT_S)
        yield from reply if method.server_streaming else [reply]

    def _remember(self, reply: Message, method: str) -> None:
        # A dry run starts nothing, so there is no operation to call by a name.
        if not isinstance(reply, operations_pb2.Operation) or not reply.name:
            return
        if reply.name not in self.names.values():
            self.names[f"operations/{method.upper()}"] = reply.name
        name = next(alias for alias, known in self.names.items() if known == reply.name)
        for array, told in _plain(reply).get("response", {}).items():
            if isinstance(told, Mapping) and "artifact" in told:
                alias = f"{name.removeprefix('operations/')}.{array}"
                self.names[alias] = told["artifact"]["sha256"]

    def _aliased(self, shown: object) -> str:
        text = json.dumps(shown, indent=2, ensure_ascii=False)
        for alias, name in self.names.items():
            text = text.replace(name, alias)
        return _compact(text)


def _plain(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _method(service: str, method: str) -> MethodDescriptor:
    pool = descriptor_pool.Default()
    for module in _PACKAGES:
        import_module(f"graftscope.v1.{module}")
    if service in SERVICE:
        pool, package = described([SERVICE]), SERVICE.partition(".")[0]
    else:
        package = "google.longrunning" if service == "Operations" else "graftscope.v1"
    found: ServiceDescriptor = pool.FindServiceByName(f"{package}.{service}")
    return found.methods_by_name[method]


def _cut(value: Any) -> Any:
    """Leave out what is long."""
    if isinstance(value, Mapping):
        return {
            name: _beginning(each)
            if name in _OF_THE_BUNDLE and isinstance(each, Mapping)
            else _cut(each)
            for name, each in value.items()
        }
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:24] + _DOTS
    if isinstance(value, list):
        most = 1 if value and isinstance(value[0], Mapping) else 6
        return [_cut(each) for each in value[:most]] + ([_DOTS] if len(value) > most else [])
    return value


def _beginning(entries: Mapping[str, object]) -> dict[str, object]:
    """Leave out most of what a bundle tells in maps, which have no order of their own."""
    return {**dict(sorted(entries.items())[:1]), _DOTS: _DOTS}


def _compact(text: str) -> str:
    """Put lists and messages without others inside on one line each, where they fit."""
    simple = re.compile(r"([\[{])\n\s+([^\[\]{}]*?)\n\s*([\]}])")

    def joined(match: re.Match[str]) -> str:
        inner = re.sub(r"\n\s+", " ", match[2])
        return f"{match[1]}{inner}{match[3]}" if len(inner) < 72 else match[0]

    return simple.sub(joined, text) + "\n"


def same(wanted: Any, found: Any, name: str = "") -> bool:
    """Whether two replies say the same, but for what differs from run to run."""
    if name in _VARIES:
        return type(wanted) is type(found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = (wanted.keys() | found.keys()) - _VARIES
        return all(key in wanted and key in found for key in keys) and all(
            same(wanted[key], found[key], key) for key in keys
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(
            same(one, other, name) for one, other in zip(wanted, found, strict=True)
        )
    if isinstance(wanted, float) and isinstance(found, float | int):
        return abs(wanted - found) <= 0.02 * abs(wanted)
    if name == "data":
        # Elements' last bits are the processor's.
        return len(wanted) == len(found)
    return bool(wanted == found)


def renewed(page: str) -> tuple[str, list[str]]:
    """Return the page with the replies that came back, and what was another than it said."""
    wrong = []
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_server([shipped()["vae-celeba"]], state=Path(folder)) as address,
        grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel,
    ):
        session = Session(channel)
        session.put_grey_image()
        sample = np.linspace(-1.0, 1.0, 128, dtype="<f4").tobytes()
        session.names["SAMPLE.z"] = base64.b64encode(sample).decode()

        def answered(example: re.Match[str]) -> str:
            service, method = example["service"], example["method"]
            reply = session.reply_to(service, method, example["request"])
            if not example["reply"].strip() or not same(
                json.loads(example["reply"]), json.loads(reply)
            ):
                wrong.append(f"{service}/{method}:\n{reply}")
            return (
                f"```json request {service}/{method}\n{example['request']}```\n"
                f"{example['between']}```json reply\n{reply}```"
            )

        return _EXAMPLE.sub(answered, page), wrong


def main(arguments: Sequence[str]) -> int:
    """Check or renew the page; returns the exit code."""
    page, wrong = renewed(PAGE.read_text(encoding="utf-8"))
    for each in wrong:
        print(each)
    if "check" in arguments:
        return 1 if wrong else 0
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
