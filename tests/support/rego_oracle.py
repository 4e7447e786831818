"""The real OPA as one long-lived server, asked for many values at once.

Builtin errors are undefined, as OPA has it by default: what the embedded engine then refuses
is a denial, and what it answers is a difference.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from http.client import RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opa_server import opa_process

from permissions.pdp.opa_bundle import opa_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.model import JsonValue
    from permissions.pdp.bundle import PolicyBundle

SECONDS = 170


class OpaRefusal(Exception):  # noqa: N818 - what OPA says, not a fault of the test
    """OPA does not load a module. `rows` are its lines."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.rows = {
            error["location"]["row"]: error["message"]
            for error in errors
            if "location" in error
        }
        super().__init__("; ".join(error["message"] for error in errors)[:500])


class Oracle:
    """One OPA server, and what is loaded into it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self, name: str, text: str) -> None:
        """Puts a module there.

        Raises:
            OpaRefusal: it does not compile.
        """
        self._send("PUT", f"/v1/policies/{name}", text.encode(), "text/plain")

    def unload(self, name: str) -> None:
        """Removes a module."""
        self._send("DELETE", f"/v1/policies/{name}")

    def data(self, document: JsonValue) -> None:
        """Replaces all data."""
        self._send("PUT", "/v1/data", json.dumps(document).encode())

    def value(self, path: str) -> Any:
        """The document at a path, as JSON; a number as it is written."""
        return self._send("POST", f"/v1/data/{path}", b"{}").get("result")

    def answers(self, rule: str, inputs: Sequence[JsonValue]) -> list[list[Any] | None]:
        """A rule's value per input, in a list of one; empty when undefined, None when failed."""
        try:
            return self._answers(rule, inputs)
        except OpaRefusal:
            return [self._answer(rule, each) for each in inputs]

    def _answer(self, rule: str, question: JsonValue) -> list[Any] | None:
        try:
            return self._answers(rule, [question])[0]
        except OpaRefusal:
            return None

    def _answers(self, rule: str, inputs: Sequence[JsonValue]) -> list[list[Any]]:
        query = f"answers = [[v | v := {rule} with input as q] | some q in input.questions]"
        asked = {"query": query, "input": {"questions": list(inputs)}}
        result = self._send("POST", "/v1/query", json.dumps(asked).encode()).get("result")
        answers: list[list[Any]] = result[0]["answers"]
        return answers

    def _send(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - ours, on loopback
            self._url + path, data=body, method=method, headers={"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
                text = response.read()
        except urllib.error.HTTPError as err:
            answer = json.loads(err.read())
            raise OpaRefusal(answer.get("errors") or [answer]) from None
        found: dict[str, Any] = json.loads(text) if text else {}
        return found


@contextmanager
def oracle() -> Iterator[Oracle]:
    """A server of its own, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="wardline-opa-") as folder,
        opa_process(["--set", "default_decision=none"], Path(folder)) as url,
    ):
        yield Oracle(url)


def answers_of_bundle(
    bundle: PolicyBundle, rules: Sequence[str], inputs: Sequence[JsonValue]
) -> list[list[list[Any]]]:
    """Per rule its value per input, as `Oracle.answers`; of a bundle that is asked once.

    Raises:
        OpaRefusal: it does not compile.
    """
    per_rule = ", ".join(
        f"[[v | v := {rule} with input as q] | some q in input.questions]" for rule in rules
    )
    with tempfile.TemporaryDirectory(prefix="wardline-opa-") as folder:
        archive = Path(folder, "bundle.tar.gz")
        archive.write_bytes(opa_bundle(bundle))
        run = subprocess.run(
            ["opa", "eval", "--bundle", str(archive), "--stdin-input", f"[{per_rule}]"],
            input=json.dumps({"questions": list(inputs)}),
            capture_output=True,
            check=False,
            text=True,
            timeout=SECONDS,
        )
    found = json.loads(run.stdout)
    if "errors" in found:
        raise OpaRefusal(found["errors"])
    answers: list[list[list[Any]]] = found["result"][0]["expressions"][0]["value"]
    return answers


def opa_version() -> str:
    """The version of the `opa` on PATH."""
    text = subprocess.run(["opa", "version"], capture_output=True, check=True, text=True).stdout
    found = re.search(r"^Version: (\S+)", text, re.MULTILINE)
    assert found is not None
    return found[1]


def calls_of_opa(server: Oracle, calls: Sequence[str]) -> list[Any]:
    """The value of each call in a list of one, empty when it has none, None when refused.

    A call that makes OPA itself panic is one that it refuses.
    """
    left = dict(enumerate(calls))
    values: dict[int, Any] = {}
    while left:
        rules = [f"p{number} := [x | x := {call}]" for number, call in left.items()]
        try:
            server.load("calls", "\n".join(("package calls", *rules)) + "\n")
        except OpaRefusal as refusal:
            numbers = list(left)
            dropped = {numbers[row - 2] for row in refusal.rows}
            if not dropped:
                raise
            left = {n: call for n, call in left.items() if n not in dropped}
            continue
        values = _values(server, list(left))
        break
    return [values.get(n) for n in range(len(calls))]


def _values(server: Oracle, numbers: list[int]) -> dict[int, Any]:
    try:
        found = server.value("calls") or {}
        return {n: found[f"p{n}"] for n in numbers}
    except (RemoteDisconnected, OpaRefusal):  # it panicked, or has a value it cannot write
        values = {}
        for number in numbers:
            with suppress(RemoteDisconnected, OpaRefusal):
                values[number] = server.value(f"calls/p{number}")
        return values
