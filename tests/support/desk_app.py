"""A web application whose agent's tools are decided by a daemon: LangGraph under uvicorn workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from serving import TOOLS, measure_soon
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from permissions.sessions.open import open_session
from wardline import BrokerConfig, open_broker
from wardline.langgraph import guard_node

if TYPE_CHECKING:
    from starlette.requests import Request

builder = StateGraph(MessagesState)
builder.add_node("tools", guard_node([measure_soon]))
builder.add_edge(START, "tools")
graph = builder.compile()


async def ask(request: Request) -> JSONResponse:
    text = request.query_params["text"]
    call = {"name": "measure_soon", "args": {"text": text}, "id": "1", "type": "tool_call"}
    async with (
        open_broker(BrokerConfig.load(), TOOLS) as broker,
        open_session(broker, user="alice", prompt=f"Measure {text}"),
    ):
        state = await graph.ainvoke({"messages": [AIMessage("", tool_calls=[call])]})
    return JSONResponse({"process": os.getpid(), "said": state["messages"][-1].content})


app = Starlette(routes=[Route("/ask", ask)])
