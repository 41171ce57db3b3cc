"""The part of Go's text/template that `weave report -f` is used with.

Actions: field paths, `$` and `$name`, `range`, `if`, `with`, each with `else`, assignments, pipelines, parentheses,
comments, `{{-` and `-}}`. Functions: json, len, index, print, printf, println, eq, ne, lt, le, gt, ge, and, or, not.
A field that does not exist is an error, as with Go's structs. Output and nesting are limited.

Source: https://pkg.go.dev/text/template
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

TEMPLATE_SIZE_MAX = 64 * 1024
OUTPUT_SIZE_MAX = 16 * 1024 * 1024
DEPTH_MAX = 64
STEPS_MAX = 200_000
"""Nodes evaluated: nested ranges over a large report could go on for hours."""

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<assign>:=|=)"""
    r"""|(?P<var>\$\w*)|(?P<path>\.[\w.]*)|(?P<word>\w+)|(?P<mark>[()|,]))"""
)


class TemplateError(Exception):
    """The template is wrong, or does not fit the data; the text says where."""


@dataclass(slots=True)
class _Node:
    """Text, an output, or a block with its body and its alternative."""

    kind: str
    pipe: list[str] = field(default_factory=list)
    body: list[_Node] = field(default_factory=list)
    other: list[_Node] = field(default_factory=list)
    text: str = ""


def render(template: str, data: Any) -> str:
    """Return the data in the form of a template. Raises: TemplateError."""
    if len(template) > TEMPLATE_SIZE_MAX:
        raise TemplateError(f"template of {len(template)} characters; {TEMPLATE_SIZE_MAX} are the limit")
    nodes = _Parser(template).parse()
    return _Run(data).render(nodes)


class _Parser:
    def __init__(self, template: str) -> None:
        self._items = list(_split(template))
        self._at = 0
        self._depth = 0

    def parse(self) -> list[_Node]:
        nodes, end = self._block()
        if end:
            raise TemplateError(f"unexpected {{{{{end}}}}}")
        return nodes

    def _block(self) -> tuple[list[_Node], str]:
        """Return nodes up to the `end` or `else` that closes the block, and that."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TemplateError(f"blocks nested more than {DEPTH_MAX} deep")
        nodes: list[_Node] = []
        end = ""
        while self._at < len(self._items):
            is_action, text = self._items[self._at]
            self._at += 1
            if not is_action:
                nodes.append(_Node("text", text=text))
                continue
            tokens = _tokens(text)
            if not tokens:
                continue
            if tokens[0] in ("end", "else"):
                end = " ".join(tokens)
                break
            nodes.append(self._node(tokens))
        self._depth -= 1
        return nodes, end

    def _node(self, tokens: list[str]) -> _Node:
        if tokens[0] not in ("range", "if", "with"):
            return _Node("pipe", tokens)
        node = _Node(tokens[0], tokens[1:])
        node.body, end = self._block()
        if end.startswith("else "):
            node.other = [self._node(_tokens(end.removeprefix("else ")))]
            return node
        if end == "else":
            node.other, end = self._block()
        if end != "end":
            raise TemplateError(f"{{{{{tokens[0]}}}}} has no {{{{end}}}}")
        return node


class _Run:
    def __init__(self, data: Any) -> None:
        self._scopes: list[dict[str, Any]] = [{"$": data}]
        self._data = data
        self._size = 0
        self._steps = 0
        self._out: list[str] = []

    def render(self, nodes: list[_Node]) -> str:
        self._walk(nodes, self._data)
        return "".join(self._out)

    def _walk(self, nodes: list[_Node], dot: Any) -> None:
        self._scopes.append({})
        for node in nodes:
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise TemplateError(f"more than {STEPS_MAX} steps")
            if node.kind == "text":
                self._write(node.text)
            elif node.kind == "pipe":
                is_silent, value = self._statement(node.pipe, dot)
                if not is_silent:
                    self._write(_text(value))
            elif node.kind == "range":
                self._range(node, dot)
            else:
                _, value = self._statement(node.pipe, dot)
                is_true = _truth(value)
                inner = value if node.kind == "with" and is_true else dot
                self._walk(node.body if is_true else node.other, inner)
        self._scopes.pop()

    def _range(self, node: _Node, dot: Any) -> None:
        names: list[str] = []
        pipe = node.pipe
        if ":=" in pipe:
            cut = pipe.index(":=")
            names = [token for token in pipe[:cut] if token != ","]
            pipe = pipe[cut + 1 :]
        _, value = self._statement(pipe, dot)
        if value is not None and not isinstance(value, list | dict):
            raise TemplateError(f"range can't iterate over {_text(value)}")
        pairs = sorted(value.items()) if isinstance(value, dict) else list(enumerate(value or []))
        if not pairs:
            self._walk(node.other, dot)
        for key, item in pairs:
            values = [item] if len(names) == 1 else [key, item]
            self._scopes.append(dict(zip(names, values, strict=False)))
            self._walk(node.body, item)
            self._scopes.pop()

    def _statement(self, tokens: list[str], dot: Any) -> tuple[bool, Any]:
        """Return whether a pipeline only assigns, and its value."""
        if len(tokens) > 2 and tokens[0].startswith("$") and tokens[1] in (":=", "="):
            value = self._pipeline(tokens[2:], dot)
            scope = self._scopes[-1]
            if tokens[1] == "=":
                scope = next((scope for scope in reversed(self._scopes) if tokens[0] in scope), scope)
            scope[tokens[0]] = value
            return True, value
        return False, self._pipeline(tokens, dot)

    def _pipeline(self, tokens: Sequence[str], dot: Any) -> Any:
        value: Any = None
        for index, command in enumerate(_commands(tokens)):
            if not command:
                raise TemplateError("missing value for command")
            value = self._command(command, dot, (value,) if index else ())
        return value

    def _command(self, tokens: list[str], dot: Any, piped: tuple[Any, ...]) -> Any:
        head, *rest = tokens
        if head in _FUNCTIONS:
            arguments = [*self._operands(rest, dot), *piped]
            try:
                return _FUNCTIONS[head](*arguments)
            except (TypeError, ValueError, LookupError) as error:
                raise TemplateError(f"error calling {head}: {error}") from error
        values = self._operands(tokens, dot)
        if len(values) != 1 or piped:
            raise TemplateError(f"can't give argument to non-function {head}")
        return values[0]

    def _operands(self, tokens: Sequence[str], dot: Any) -> list[Any]:
        found = []
        at = 0
        while at < len(tokens):
            if tokens[at] == "(":
                depth, end = 1, at + 1
                while end < len(tokens) and depth:
                    depth += {"(": 1, ")": -1}.get(tokens[end], 0)
                    end += 1
                if depth:
                    raise TemplateError("unclosed left paren")
                value = self._pipeline(tokens[at + 1 : end - 1], dot)
                at = end
            else:
                value = self._operand(tokens[at], dot)
                at += 1
            if at < len(tokens) and tokens[at].startswith(".") and tokens[at - 1][0] in ")$":
                # A path that continues a variable or a parenthesis.
                value = _field(value, tokens[at])
                at += 1
            found.append(value)
        return found

    def _operand(self, token: str, dot: Any) -> Any:
        if token.startswith("."):
            return _field(dot, token)
        if token.startswith("$"):
            for scope in reversed(self._scopes):
                if token in scope:
                    return scope[token]
            raise TemplateError(f"undefined variable {token}")
        if token.startswith('"'):
            return _unquoted(token)
        if token.startswith("`"):
            return token[1:-1]
        if token in ("true", "false"):
            return token == "true"
        if token == "nil":
            return None
        if token.lstrip("-").replace(".", "", 1).isdigit():
            return float(token) if "." in token else int(token)
        raise TemplateError(f'function "{token}" not defined')

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > OUTPUT_SIZE_MAX:
            raise TemplateError(f"more than {OUTPUT_SIZE_MAX} characters of output")
        self._out.append(text)


def _split(template: str) -> Sequence[tuple[bool, str]]:
    """Cut a template into texts and actions, white space trimmed where asked for."""
    items: list[tuple[bool, str]] = []
    at = 0
    trim = False
    for found in _ACTION.finditer(template):
        text = template[at : found.start()]
        text = text.lstrip() if trim else text
        items.append((False, text.rstrip() if found[1] else text))
        inner = found[2].strip()
        if not (inner.startswith("/*") and inner.endswith("*/")):
            items.append((True, inner))
        trim = bool(found[3])
        at = found.end()
    rest = template[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    items.append((False, rest.lstrip() if trim else rest))
    return items


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise TemplateError(f"unexpected {text[at:].strip()[:20]!r} in {{{{{text}}}}}")
        tokens.append(found[0].strip())
        at = found.end()
    return tokens


def _commands(tokens: Sequence[str]) -> list[list[str]]:
    """Cut a pipeline at its bars, but not inside parentheses."""
    commands: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "|" and depth == 0:
            commands.append([])
        else:
            commands[-1].append(token)
    return commands


def _field(value: Any, path: str) -> Any:
    for name in path.split("."):
        if not name:
            continue
        if not isinstance(value, dict) or name not in value:
            raise TemplateError(f"can't evaluate field {name}")
        value = value[name]
    return value


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError as error:
        raise TemplateError(f"malformed string {token}") from error


def _truth(value: Any) -> bool:
    return bool(value)


def _text(value: Any) -> str:
    """Write a value as Go's fmt does."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(_text(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_text(item)}' for key, item in sorted(value.items()))}]"
    return str(value)


def _printf(pattern: str, *values: Any) -> str:
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        if found[2] == "%":
            return "%"
        if not rest:
            return f"%!{found[2]}(MISSING)"
        value = rest.pop(0)
        flags = found[1]
        if found[2] == "q":
            return json.dumps(_text(value))
        if found[2] in "dxf":
            return str(f"%{flags}{found[2]}" % value)
        return str(f"%{flags}s" % _text(value))

    return re.sub(r"%([-+0-9.]*)([vsdqtxf%])", one, pattern)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value[key]
    return value


def _or(*values: Any) -> Any:
    return next((value for value in values if _truth(value)), values[-1])


def _and(*values: Any) -> Any:
    return next((value for value in values if not _truth(value)), values[-1])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value),
    "len": len,
    "index": _index,
    "print": lambda *values: "".join(_text(value) for value in values),
    "println": lambda *values: " ".join(_text(value) for value in values) + "\n",
    "printf": _printf,
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "and": _and,
    "or": _or,
    "not": lambda value: not _truth(value),
}
