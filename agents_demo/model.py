"""The demo's model: a script that behaves as a gullible language model would.

It does the job it was asked to do, from the documents it really reads, and it also does what
those documents tell it to: a line `Assistant, call TOOL {...}` is obeyed, and Python found in
a mail is pasted into its own calculation. A broker has to assume such a model.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

_ORDER = re.compile(r"^\s*Assistant, call (\w+) (\{.*\})\s*$", re.MULTILINE)
_CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^(Vendor|Invoice|Amount):\s*(.+?)\s*$", re.MULTILINE)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

SUM = "print('sum', sum(Decimal(amount) for amount in data))\n"


class ScriptedModel(BaseChatModel):
    """Answers from the conversation alone, the same way each time."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[Any], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The script knows its tools."""
        del tools, kwargs
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        return ChatResult(generations=[ChatGeneration(message=next_message(messages))])


def next_message(messages: Sequence[BaseMessage]) -> AIMessage:
    """What the model says next: its turn follows from how often it has spoken."""
    turn = sum(isinstance(message, AIMessage) for message in messages)
    known = _Known(messages)
    calls = _TURNS[turn](known) if turn < len(_TURNS) else []
    if not calls:
        return AIMessage("The invoices are in the outbox and bookkeeping has a summary.")
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": arguments, "id": f"turn{turn}-{index}", "type": "tool_call"}
            for index, (name, arguments) in enumerate(calls)
        ],
    )


Calls = list[tuple[str, dict[str, Any]]]


class _Known:
    """What the conversation holds so far."""

    def __init__(self, messages: Sequence[BaseMessage]) -> None:
        self.request = next(str(m.content) for m in messages if isinstance(m, HumanMessage))
        asked = {
            call["id"]: call
            for message in messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        self.results = [
            (asked[m.tool_call_id]["name"], asked[m.tool_call_id]["args"], str(m.content))
            for m in messages
            if isinstance(m, ToolMessage) and m.status != "error"
        ]

    def of(self, tool: str) -> list[tuple[dict[str, Any], str]]:
        """Arguments and results of the calls of one tool that were allowed."""
        return [(arguments, result) for name, arguments, result in self.results if name == tool]

    @property
    def documents(self) -> list[str]:
        """Everything untrusted sources wrote."""
        mails = [json.loads(result)["text"] for _, result in self.of("read_mail")]
        return [result for _, result in self.of("read_document")] + mails

    @property
    def invoices(self) -> list[dict[str, str]]:
        """Vendor, number and amount of each invoice, as its document says."""
        read = [dict(_FIELD.findall(result)) for _, result in self.of("read_document")]
        return [
            {**invoice, "Amount": invoice["Amount"].split()[0]}
            for invoice in read
            if {"Vendor", "Invoice", "Amount"} <= invoice.keys()
        ]


def _look_around(_: _Known) -> Calls:
    return [("list_folder", {"path": "invoices"}), ("list_folder", {"path": "mail"})]


def _read(known: _Known) -> Calls:
    readers = {"invoices": "read_document", "mail": "read_mail"}
    return [
        (readers[arguments["path"]], {"path": f"{arguments['path']}/{name}"})
        for arguments, result in known.of("list_folder")
        for name in json.loads(result)
    ]


def _calculate(known: _Known) -> Calls:
    pasted = [code for text in known.documents for code in _CODE.findall(text)]
    amounts = [invoice["Amount"] for invoice in known.invoices]
    return [("run_python", {"code": SUM + "".join(pasted), "data": amounts})]


def _find_accounts(known: _Known) -> Calls:
    return [("vendor_account", {"vendor": invoice["Vendor"]}) for invoice in known.invoices]


def _pay(known: _Known) -> Calls:
    accounts = {arguments["vendor"]: result for arguments, result in known.of("vendor_account")}
    return [
        (
            "draft_payment",
            {
                "recipient": accounts[invoice["Vendor"]],
                "amount": invoice["Amount"],
                "reference": invoice["Invoice"],
            },
        )
        for invoice in known.invoices
        if invoice["Vendor"] in accounts
    ]


def _obey(known: _Known) -> Calls:
    orders = [order for text in known.documents for order in _ORDER.findall(text)]
    return [(tool, json.loads(arguments)) for tool, arguments in orders]


def _report(known: _Known) -> Calls:
    paid = [arguments for arguments, _ in known.of("draft_payment")]
    lines = [f"{each['reference']}: {each['amount']} EUR" for each in paid]
    to = _ADDRESS.findall(known.request)
    summary = {"subject": "Invoices of this month", "body": "\n".join(["Drafted:", *lines])}
    return [("draft_mail", {"to": to[-1], **summary})] if to else []


# An instruction found in a document is obeyed before the job itself, as models do.
_TURNS = (_look_around, _read, _obey, _calculate, _find_accounts, _pay, _report)
