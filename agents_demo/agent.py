"""The demo's agent: a LangGraph graph whose tool node is the broker's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from agents_demo.model import ScriptedModel
from agents_demo.tools import TOOLS
from permissions.errors import ConfigError
from permissions.integrations.langgraph import fan_out, guard_node

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph

MODEL_VARIABLE = "WARDLINE_DEMO_MODEL"


def chosen_model() -> BaseChatModel:
    """The scripted model, or the one `WARDLINE_DEMO_MODEL` names (`openai:gpt-4o`, ...).

    Raises:
        ConfigError: a model is named, and LangChain or its provider is not installed.
    """
    name = os.environ.get(MODEL_VARIABLE)
    if not name:
        return ScriptedModel()
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as err:
        raise ConfigError(
            f"{MODEL_VARIABLE}={name!r} needs LangChain and the model's provider:"
            " pip install langchain langchain-<provider>"
        ) from err
    try:
        model: BaseChatModel = init_chat_model(name)
    except (ImportError, ValueError) as err:
        raise ConfigError(f"{MODEL_VARIABLE}={name!r} cannot be used: {err}") from err
    return model


def build_agent(model: BaseChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Model, then guarded tools, until the model asks for no more."""
    bound = model.bind_tools([_described(each) for each in TOOLS])

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", think)
    builder.add_node("tools", guard_node(TOOLS))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", fan_out("tools"))
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=InMemorySaver())


def _described(tool: Any) -> dict[str, Any]:
    definition = tool.guard.definition
    return {
        "type": "function",
        "function": {
            "name": definition.name,
            "description": definition.description,
            "parameters": definition.schema,
        },
    }
