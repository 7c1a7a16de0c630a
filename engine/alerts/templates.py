"""Users' own words: Liquid templates over what a message tells.

Whoever may edit a channel writes them, so they are no programs: nothing is loaded from files, and the work of one rendering is
bounded. Liquid's own limits count loops, output and what is assigned, but not what a filter makes on its way (a chain of
`replace`) nor a range of millions that is reversed. So ranges are refused, filters are weighed before they run, and a rendering
has a budget of that. It takes a millisecond then, with ill will a quarter of a second, and needs no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidError, LiquidSyntaxError, ResourceLimitError
from liquid.expression import Expression

from peekaping.engine.alerts.message import MOST_LISTED, Event, Message
from peekaping.engine.errors import Invalid
from peekaping.engine.records import iso

LONGEST = 10_000
BUDGET = 1_000_000
"""In characters and elements handled by filters: some milliseconds."""
_LARGEST_NUMBER = 2**63
_STATUS = {
    Event.UP: ("UP", "✅"),
    Event.DOWN: ("DOWN", "🔴"),
    Event.REMINDER: ("DOWN", "🔴"),
    Event.CERTIFICATE: ("", "⚠️"),
    Event.TEST: ("UP", "✅"),
}
_OTHERWISE = ("", "ℹ️")


class _Bounded(Environment):
    loop_iteration_limit = 100  # twice as many as `items` has
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


_environment = _Bounded()


@lru_cache(maxsize=100)  # the longest take a megabyte
def _parsed(template: str) -> BoundTemplate:
    parsed = _environment.from_string(template)
    _refuse_ranges(parsed.nodes, RenderContext(parsed))
    return parsed


def _refuse_ranges(nodes: Iterable[Node], context: RenderContext) -> None:
    for node in nodes:
        if any(_is_range(expression) for expression in node.expressions()):
            raise LiquidSyntaxError("ranges such as (1..5) are not allowed", token=node.token)
        _refuse_ranges(node.children(context, include_partials=False), context)


def _is_range(expression: Expression) -> bool:
    return isinstance(expression, RangeLiteral) or any(map(_is_range, expression.children()))


def template_rule(template: str) -> str | None:
    """A rule for fields that hold a template."""
    if len(template) > LONGEST:
        return f"must have at most {LONGEST} characters"
    try:
        _parsed(template)
    except (LiquidError, RecursionError) as error:
        return f"is no Liquid template: {_first_line(error)}"
    return None


def preview(template: str, message: Message) -> str:
    """What the template makes of the message.

    Raises:
      Invalid: for a template that cannot be read or rendered.
    """
    problem = template_rule(template)
    if problem is None:
        try:
            return _environment.run(_parsed(template), bindings(message))
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
    monitor, heartbeat, certificate = message.monitor, message.heartbeat, message.certificate
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
        "monitor": None
        if monitor is None
        else {"id": monitor.id, "name": monitor.name, "url": monitor.url, "type": monitor.type},
        "heartbeat": None
        if heartbeat is None
        else {
            "status": heartbeat.status,
            "message": heartbeat.message,
            "responseTime": heartbeat.response_ms,
            "timestamp": iso(heartbeat.at),
        },
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "notAfter": iso(certificate.not_after_ms),
            "daysLeft": certificate.days_left(message.at),
        },
        "items": [bindings(item) for item in message.items[:MOST_LISTED]],
    }


def icon(message: Message) -> str:
    """What catches the eye."""
    return _STATUS.get(message.event, _OTHERWISE)[1]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
