"""Reads the syntax trees that regorus prints as JSON (AST version 1 of 0.13.0).

A node it does not know raises `UnknownNodeError`: an upgrade of the engine must not make the
linter blind. Positions are computed from byte offsets, because the engine's own columns count a
tab as four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    Import,
    Module,
    Position,
    Rule,
    Statement,
    StatementKind,
    Term,
    TermKind,
    static_path,
    walk_terms,
)

if TYPE_CHECKING:
    from permissions.model import JsonObject


class UnknownNodeError(ValueError):
    """The engine printed a node this reader does not know."""


def read_module(document: JsonObject) -> Module:
    """A module from the engine's JSON.

    Raises:
        UnknownNodeError: the tree holds a node this reader does not know.
    """
    text = document["source"]["contents"]
    return _Reader(text.encode()).module(document["source"]["file"], document["ast"])


_Span = tuple[int, int]
_FRACTION_BYTES = frozenset(b".eE")

_INFIX = {
    "Eq": "==",
    "Ne": "!=",
    "Lt": "<",
    "Le": "<=",
    "Gt": ">",
    "Ge": ">=",
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "Mod": "%",
    "Union": "|",
    "Intersection": "&",
    "ColEq": ":=",
}
_LITERALS: dict[str, TermKind] = {
    "String": "string",
    "RawString": "string",
    "Number": "number",
    "Bool": "boolean",
    "Null": "null",
    "Var": "var",
}
_OPERATIONS = frozenset({"Membership", "BoolExpr", "ArithExpr", "BinExpr", "AssignExpr"})


class _Reader:
    """Reads the nodes of one file; knows its bytes, for positions and names."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    def module(self, path: str, tree: JsonObject) -> Module:
        package = tree["package"]
        return Module(
            path=path,
            package=static_path(self.term(package["refr"])),
            position=self._position(package["span"]),
            imports=tuple(self._import(node) for node in tree["imports"]),
            rules=tuple(self._rule(node) for node in tree["rules"]),
        )

    def _position(self, span: JsonObject) -> Position:
        start = span["start"]
        line_start = self._source.rfind(b"\n", 0, start) + 1
        before = self._source[line_start:start].decode(errors="replace")
        return Position(span["line"], len(before) + 1)

    def _name(self, span: JsonObject) -> Term:
        text = self._source[span["start"] : span["end"]].decode()
        return Term("var", self._position(span), text, span=(span["start"], span["end"]))

    def _import(self, node: JsonObject) -> Import:
        path = static_path(self.term(node["refr"]))
        alias = node.get("as")
        name = self._name(alias).value if alias else path[-1]
        return Import(self._position(node["span"]), path, name)

    def _rule(self, node: JsonObject) -> Rule:
        ((kind, rule),) = node.items()
        position = self._position(rule["span"])
        if kind == "Default":
            return Rule(
                position,
                "default",
                self.term(rule["refr"]),
                arguments=self._all(rule["args"]),
                values=(self.term(rule["value"]),),
            )
        if kind != "Spec":
            raise UnknownNodeError(kind)
        ((form, head),) = rule["head"].items()
        values: list[Term] = []
        bodies = []
        if form == "Set":
            values += [self.term(head["key"])] if head["key"] else []
        elif head["assign"]:
            values.append(self.term(head["assign"]["value"]))
        for body in rule["bodies"]:
            if body["assign"]:
                values.append(self.term(body["assign"]["value"]))
            bodies.append(self._body(body["query"]))
        return Rule(
            position,
            {"Compr": "value", "Set": "set", "Func": "function"}[form],  # type: ignore[arg-type]
            self.term(head["refr"]),
            arguments=self._all(head.get("args") or []),
            values=tuple(values),
            bodies=tuple(bodies),
        )

    def _body(self, query: JsonObject) -> tuple[Statement, ...]:
        return tuple(self._statement(node) for node in query["stmts"])

    def _statement(self, node: JsonObject) -> Statement:
        ((kind, literal),) = node["literal"].items()
        position = self._position(node["span"])
        mocks = tuple(
            (self.term(mod["refr"]), self.term(mod["as"])) for mod in node.get("with_mods", ())
        )
        if kind in ("Expr", "NotExpr"):
            form: StatementKind = "not" if kind == "NotExpr" else "expression"
            return Statement(form, position, (self.term(literal["expr"]),), mocks=mocks)
        if kind == "SomeVars":
            names = tuple(self._name(span) for span in literal["vars"])
            return Statement("some", position, names=names, mocks=mocks)
        if kind == "SomeIn":
            given = (literal["key"], literal["value"], literal["collection"])
            terms = tuple(self.term(part) for part in given if part)
            declared = tuple(t for t in walk_terms(terms[:-1]) if t.kind == "var")
            return Statement("some_in", position, terms, names=declared, mocks=mocks)
        if kind == "Every":
            names = tuple(
                self._name(span) for span in (literal["key"], literal["value"]) if span
            )
            domain = (self.term(literal["domain"]),)
            body = self._body(literal["query"])
            return Statement("every", position, domain, names=names, body=body, mocks=mocks)
        raise UnknownNodeError(kind)

    def _all(self, nodes: list[JsonObject]) -> tuple[Term, ...]:
        return tuple(self.term(node) for node in nodes)

    def term(self, node: JsonObject) -> Term:
        ((kind, body),) = node.items()
        position = self._position(body["span"])
        span = (body["span"]["start"], body["span"]["end"])
        if kind in _LITERALS:
            value = body["value"]
            if kind == "Number" and set(self._source[slice(*span)]) & _FRACTION_BYTES:
                value = float(
                    value
                )  # how it is written counts: `1.0` is no `1` to OPA's sprintf
            return Term(_LITERALS[kind], position, value, span=span)
        if kind in ("RefDot", "RefBrack"):
            return self._ref(kind, body, span)
        if kind == "Call":
            callee = self.term(body["fcn"])
            name = ".".join(static_path(callee))
            return Term("call", callee.position, name, self._all(body["params"]), span=span)
        if kind == "UnaryExpr":
            return Term("unary", position, "-", (self.term(body["expr"]),), span=span)
        if kind in _OPERATIONS:
            return self._infix(kind, body, span)
        return self._collection(kind, position, body, span)

    def _collection(self, kind: str, position: Position, body: JsonObject, span: _Span) -> Term:
        if kind == "Array":
            return Term("array", position, None, self._all(body["items"]), span=span)
        if kind == "Set":
            return Term("set", position, None, self._all(body["items"]), span=span)
        if kind == "Object":
            pairs = [part for field_ in body["fields"] for part in field_[1:]]
            return Term("object", position, None, self._all(pairs), span=span)
        if kind in ("ArrayCompr", "SetCompr", "ObjectCompr"):
            results = self._all(
                [body[name] for name in ("term", "key", "value") if name in body]
            )
            form = kind.removesuffix("Compr").lower()
            statements = self._body(body["query"])
            return Term("comprehension", position, form, results, statements, span=span)
        raise UnknownNodeError(kind)

    def _infix(self, kind: str, body: JsonObject, span: _Span) -> Term:
        if kind == "Membership":
            given = [body[name] for name in ("key", "value", "collection") if body[name]]
            terms = self._all(given)
            return Term("infix", terms[0].position, "in", terms, span=span)
        operator = "=" if kind == "AssignExpr" and body["op"] == "Eq" else _INFIX[body["op"]]
        sides = self._all([body["lhs"], body["rhs"]])
        return Term("infix", sides[0].position, operator, sides, span=span)

    def _ref(self, kind: str, body: JsonObject, span: _Span) -> Term:
        base = self.term(body["refr"])
        path = base.terms if base.kind == "ref" else (base,)
        if kind == "RefDot":
            inner, name = body["field"]
            where = (inner["start"], inner["end"])
            step = Term("string", self._position(inner), name, span=where)
        else:
            step = self.term(body["index"])
        return Term("ref", path[0].position, None, (*path, step), span=span)
