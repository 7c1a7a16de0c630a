"""Users' own words: Liquid templates over what a message tells.

Whoever may edit a channel writes them, so they are no programs: nothing is loaded from files, and the work of reading and of
rendering one is bounded. Liquid's own limits count loops, output and what is assigned, but not what stands in a loop and puts
nothing out, what a filter makes on its way (a chain of `replace`), nor a range of millions that is reversed. So ranges are
refused, as is what has too many parts in its loops; filters are weighed before they run, and a rendering has a budget of that.
Reading it, Liquid takes seconds for `{{{{{{`, or for many blanks, so what makes it go back is refused before. Each takes a
millisecond or two then. With ill will reading takes up to 40, the worst of 350,000 templates made at random of what Liquid knows,
and rendering some tens; so neither needs a thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.exceptions import LiquidError, LiquidSyntaxError, ResourceLimitError
from liquid.expression import Expression

from peekaping.engine.alerts.message import MOST_LISTED, Event, Message, shown_facts
from peekaping.engine.errors import Invalid
from peekaping.engine.records import iso

LONGEST = 5000
MOST_PARTS = 10_000
"""Tags, outputs, and what they are made of, each as often as a loop may repeat it: 2 µs each, of the slowest 5."""
BUDGET = 200_000
"""In characters and elements handled by filters: up to 0.4 µs each."""
MOST_BLANKS = 50
"""In a row, in a tag."""
MOST_PARENTHESES = 50
"""In a tag: they are for ranges, and in texts."""
_LARGEST_NUMBER = 2**63
_ENDS = {"{{": "}}", "{%": "%}"}
_MARK = re.compile(rf"\{{\{{|\}}\}}|\{{%|%\}}|\(|\s{{{MOST_BLANKS + 1}}}")
_STATUS = {
    Event.UP: ("UP", "✅"),
    Event.DOWN: ("DOWN", "🔴"),
    Event.REMINDER: ("DOWN", "🔴"),
    Event.CERTIFICATE: ("", "⚠️"),
    Event.TEST: ("UP", "✅"),
}
_OTHERWISE = ("", "ℹ️")


class BoundedEnvironment(Environment):
    loop_iteration_limit = MOST_LISTED  # of all nested loops together
    output_stream_limit = 20_000
    local_namespace_limit = 100_000
    context_depth_limit = 20

    def __init__(self) -> None:
        super().__init__()
        for name in ("include", "render", "liquid"):  # there is nothing to include, and `liquid` crams tags into one
            del self.tags[name]
        del self.filters["uniq"]  # it compares each with all before: 9,000 pieces take it a second
        for name, function in self.filters.items():
            self.filters[name] = self._weighed(function)
        self._left = 0

    def run(self, template: BoundTemplate, bindings: dict[str, Any]) -> str:
        """Render within the budget. Plain and without a pause, so that there is never more than one at a time."""
        self._left = BUDGET
        return template.render(**bindings)

    def _weighed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)  # liquid keeps what a filter wants to be given in its attributes
        def run(*values: Any, **named: Any) -> Any:
            cost = 1
            for value in (*values, *named.values()):
                cost *= _weight(value)
            self._left -= cost
            if self._left < 0:
                raise ResourceLimitError("the filters have too much to do", token=None)
            return function(*values, **named)

        return run


def _weight(value: object) -> int:
    """What a value adds to the work of a filter, as a factor: `replace` may put one text for each character of another."""
    if isinstance(value, int | float):
        return 1 if abs(value) < _LARGEST_NUMBER else BUDGET + 1
    if isinstance(value, list | tuple):
        return 1 + len(value) + sum(_weight(part) for part in value if isinstance(part, str | list | tuple))
    return 1 + len(value) if isinstance(value, str) else 1


_environment = BoundedEnvironment()


def _parsed(template: str) -> BoundTemplate | str:
    """The template, or what is wrong with it."""
    return f"must have at most {LONGEST} characters" if len(template) > LONGEST else _parsed_once(template)


@lru_cache(maxsize=100)  # the longest take a megabyte
def _parsed_once(template: str) -> BoundTemplate | str:
    try:
        _check_tags(template)
        parsed = _environment.from_string(template)
        if _parts(parsed.nodes, RenderContext(parsed)) > MOST_PARTS:
            raise LiquidSyntaxError(f"there is too much in it, or in its loops ({MOST_PARTS} parts)", token=None)
    except (LiquidError, RecursionError) as error:
        return f"is no Liquid template: {_first_line(error)}"
    return parsed


def _check_tags(template: str) -> None:
    """Refuse in one pass what the library's regular expressions go through again from each of its characters."""
    end, parentheses = None, 0
    for found in _MARK.finditer(template):
        mark = found.group()
        if end is None:
            end, parentheses = _ENDS.get(mark), 0
        elif mark == end:
            end = None
        elif mark in _ENDS:
            raise LiquidSyntaxError(f"expected '{end}', found '{mark}'", token=None)
        elif mark == "(":
            parentheses += 1
            if parentheses > MOST_PARENTHESES:
                raise LiquidSyntaxError(f"more than {MOST_PARENTHESES} parentheses in a tag", token=None)
        elif mark.isspace():
            raise LiquidSyntaxError(f"more than {MOST_BLANKS} blanks in a row in a tag", token=None)
    if end is not None:
        raise LiquidSyntaxError(f"expected '{end}', found end of file", token=None)


def _parts(nodes: Iterable[Node], context: RenderContext, times: int = 1) -> int:
    """How many there are in these nodes, those in loops counted as often as they may be rendered."""
    count = 0
    for node in nodes:
        count += times * (1 + sum(_parts_of(expression, node) for expression in node.expressions()))
        inside = MOST_LISTED if isinstance(node, ForNode | TablerowNode) else times
        count += _parts(node.children(context, include_partials=False), context, inside)
    return count


def _parts_of(expression: Expression, node: Node) -> int:
    if isinstance(expression, RangeLiteral):
        raise LiquidSyntaxError("ranges such as (1..5) are not allowed", token=node.token)
    return 1 + sum(_parts_of(child, node) for child in expression.children())


def template_rule(template: str) -> str | None:
    """A rule for fields that hold a template."""
    parsed = _parsed(template)
    return parsed if isinstance(parsed, str) else None


def preview(template: str, message: Message) -> str:
    """What the template makes of the message.

    Raises:
      Invalid: for a template that cannot be read or rendered.
    """
    parsed = _parsed(template)
    try:
        if not isinstance(parsed, str):
            return _environment.run(parsed, bindings(message))
        problem = parsed
    except Exception as error:  # whatever a filter of the library raises must lose no alert
        problem = f"cannot be rendered: {_first_line(error)}"
    raise Invalid("Invalid template", {"template": [f"Template {problem}"]})


def worded(template: str | None, message: Message, plain: str) -> str:
    """The template's words, else `plain`, also where it fails or says nothing: better an alert in other words than none."""
    if template is None:
        return plain
    try:
        words = preview(template, message)
        return words if words.strip() else plain
    except Invalid as invalid:
        return f"{plain}\n({invalid.errors['template'][0]})"


def bindings(message: Message) -> dict[str, Any]:
    """What templates may use."""
    status = _STATUS.get(message.event, _OTHERWISE)[0]
    monitor, heartbeat = message.monitor, message.heartbeat
    return {
        "event": str(message.event),
        "severity": str(message.severity),
        "title": message.title,
        "msg": message.text,
        "name": monitor.name if monitor is not None else message.title,
        "status": status,
        "status_icon": icon(message),
        "ping": heartbeat.response_ms if heartbeat is not None else None,
        "time": iso(message.at),
        **shown_facts(message),
        "items": [bindings(item) for item in message.items[:MOST_LISTED]],
    }


def icon(message: Message) -> str:
    """What catches the eye."""
    return _STATUS.get(message.event, _OTHERWISE)[1]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
