"""Templates say what users want, and do no harm whoever writes them."""

from __future__ import annotations

import pytest
from liquid import BoundTemplate, Environment

from peekaping.engine.alerts.message import Event, compose, grouped
from peekaping.engine.alerts.templates import BoundedEnvironment, preview, template_rule, worded
from peekaping.engine.certificate import Certificate
from peekaping.engine.errors import Invalid

from .service import AT, AT_ISO, down, entry, up


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ name }} {{ status }} {{ status_icon }}", "Website Monitor DOWN 🔴"),
        ("{{ msg }} {{ time }} {{ ping }}", f"Connection timeout {AT_ISO} "),
        ("{{ monitor.id }} {{ monitor.url }} {{ monitor.type }}", "monitor-123 https://example.com http"),
        ("{{ heartbeat.status }} {{ heartbeat.message }} {{ heartbeat.timestamp }}", f"down Connection timeout {AT_ISO}"),
        ("{{ event }} {{ severity }} {{ title }}", "monitor.down critical Website Monitor is down"),
        ("{% if status == 'DOWN' %}{{ name | upcase | replace: ' ', '_' }}{% endif %}", "WEBSITE_MONITOR"),
        ("{{ no.such.thing }}", ""),
        ("{{ name.__class__ }}{{ monitor.__dict__ }}{{ monitor.keys }}", ""),
    ],
)  # fmt: skip
def test_what_a_template_may_use(template: str, text: str) -> None:
    assert preview(template, down()) == text


def test_a_recovery_has_its_response_time() -> None:
    assert (
        preview("{{ status }} {{ ping }} {{ heartbeat.responseTime }} {{ msg }}", up()) == "UP 234 234 OK, after 5 min"
    )


def test_each_of_many_messages_can_be_told() -> None:
    many = grouped([down(number=1, name="a"), up(number=2, name="b")], key="k", at=AT)
    assert preview("{{ name }}:{% for item in items %} {{ item.name }}={{ item.status }}{% endfor %}", many) == (
        "1 monitor is down, 1 monitor is up again: a=DOWN b=UP"
    )


def test_a_rich_list_of_the_most_messages_is_within_the_limits() -> None:
    many = grouped([down(key=f"k{n}", number=n + 1, name=f"site {n}") for n in range(80)], key="k", at=AT)
    row = (
        "{% if item.status == 'DOWN' %}{{ item.status_icon }}{% else %}-{% endif %} {{ item.name | escape | truncate: 40 }} "
        "({{ item.monitor.url | default: 'none' }}): {{ item.msg | strip | capitalize }} at {{ item.time | date: '%H:%M' }}\n"
    )
    shown = preview("{% for item in items %}" + row + "{% endfor %}", many)
    assert shown.splitlines()[-1] == "🔴 site 49 (https://example.com): Connection timeout at 10:30"


def test_a_certificate_can_be_told() -> None:
    certificate = Certificate("CN=x", "CN=CA", ("x",), 0, AT + 7 * 86_400_000, "f", "1")
    message = compose(Event.CERTIFICATE, key="k", at=AT, entry=entry(), certificate=certificate)
    shown = preview("{{ certificate.subject }} {{ certificate.daysLeft }} {{ certificate.notAfter }}", message)
    assert shown == "CN=x 7 2024-01-27T10:30:00.000Z"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% if %}", "is no Liquid template: missing expression"),
        ("{% include 'x' %}", "is no Liquid template: unexpected tag 'include'"),
        ("{% render '/etc/passwd' %}", "is no Liquid template: unexpected tag 'render'"),
        ("{% for i in (1..1000000000) reversed %}x{% endfor %}", "ranges such as (1..5) are not allowed"),
        ("{% if true %}{% assign x = (1..1000000000) | join %}{% endif %}", "ranges such as (1..5) are not allowed"),
        ("x" * 5001, "must have at most 5000 characters"),
        ("{% if a %}" * 500, "is no Liquid template"),
        ("{% for x in items %}" + "{{ no }}" * 500 + "{% endfor %}", "there is too much in it, or in its loops"),
        (
            "{% for x in items %}{% if x %}" + "{% assign a = 1 %}" * 200 + "{% endif %}{% endfor %}",
            "there is too much in it, or in its loops",
        ),
        ("{% tablerow x in items %}" + "{% if a == b %}{% endif %}" * 100 + "{% endtablerow %}", "in its loops"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, why: str) -> None:
    assert why in (template_rule(template) or "")
    with pytest.raises(Invalid) as refused:
        preview(template, down())
    assert why in refused.value.errors["template"][0]


EXPENSIVE = [
    ("{" * 5000, "expected '}}', found '{{'"),
    ("{{ msg", "expected '}}', found end of file"),
    ("{{ msg {{ msg }}", "expected '}}', found '{{'"),
    ("{% if a {{ msg }} %}{% endif %}", "expected '%}', found '{{'"),
    ("{% comment %}" + "{{" * 2000 + "{% endcomment %}", "expected '}}', found '{{'"),
    ("{{" + " " * 2500 + "x" * 2000 + "}}", "more than 50 blanks in a row in a tag"),
    ("{%- if" + "\n" * 51 + "a %}{% endif %}", "more than 50 blanks in a row in a tag"),
    ("{{ " + "(" * 4900 + " }}", "more than 50 parentheses in a tag"),
]


@pytest.mark.parametrize(("template", "why"), EXPENSIVE)
def test_what_is_expensive_to_read_is_refused_unread(monkeypatch: pytest.MonkeyPatch, template: str, why: str) -> None:
    monkeypatch.setattr(BoundedEnvironment, "from_string", None)
    assert template_rule(template) == f"is no Liquid template: {why}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ name }}" + " " * 100 + "}} ( %} {", "Website Monitor" + " " * 100 + "}} ( %} {"),
        ("{% raw %}{{ name }}{% endraw %}", "{{ name }}"),
        ("{% if name\n" + " " * 40 + "and status %}{{ '((' }}{% endif %}", "(("),
        ("{{- name -}}{%- if a -%}{%- endif -%}", "Website Monitor"),
        ('{"a": {"b": "{{ name }}"}}', '{"a": {"b": "Website Monitor"}}'),
    ],
)
def test_braces_and_blanks_may_stand_where_they_cost_nothing(template: str, text: str) -> None:
    assert preview(template, down()) == text


def test_a_template_is_read_once_whatever_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    from_string = BoundedEnvironment.from_string

    def note(self: Environment, source: str) -> BoundTemplate:
        read.append(source)
        return from_string(self, source)

    monkeypatch.setattr(BoundedEnvironment, "from_string", note)
    broken, good = "{% if once %}", "{% if once %}{% endif %}"
    for _ in range(3):
        for template in (broken, good):
            template_rule(template)
            worded(template, down(), "plain")
    assert read == [broken, good]


GROWING = "{% assign s = 'aaaaaaaaaa' %}" + "{% assign s = s | append: s %}" * 60
HARMFUL = [
    GROWING + "{{ s }}",
    "{{ 'aaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaa'" * 12 + " }}",
    "{% capture s %}aaaaaaaaaa{% endcapture %}" + "{% capture s %}{{ s }}{{ s }}{% endcapture %}" * 60,
    "{% assign n = 99 %}" + "{% assign n = n | times: n %}" * 60,
    "{% assign a = 'a,a,a,a,a,a,a,a,a,a' | split: ',' %}" + "{% assign a = a | concat: a %}" * 60,
    "{% assign a = 'a,a,a,a,a,a,a,a,a,a' | split: ',' %}" + "{% for x in a %}" * 6 + "x" + "{% endfor %}" * 6,
    "{% assign a = 'a,a,a,a,a,a,a,a,a,a' | split: ',' %}{% for x in a %}{{ msg | truncate: 5000 }}" + "x" * 4500 + "{% endfor %}",
]  # fmt: skip


MANY = "{% assign many = '" + "a," * 1000 + "' | split: ',' %}{% assign ten = 'a,a,a,a,a,a,a,a,a,a' | split: ',' %}"
ARGUMENTS = ["", ": many", ": 'a'", ": 'a', many", ": 'a', 'b'", ": x => x"]


@pytest.mark.parametrize("name", sorted(set(Environment().filters) - {"uniq"}))
def test_no_filter_is_free(name: str) -> None:
    """Each takes of the budget what it is given, however it is to be called."""
    whys = []
    for arguments in ARGUMENTS:
        use = f"{{% assign x = many | {name}{arguments} %}}" * 10
        template = f"{MANY}{{% for one in ten %}}{use}{{% endfor %}}"
        if template_rule(template) is None:  # it may be called so
            with pytest.raises(Invalid) as refused:
                preview(template, down())
            whys += refused.value.errors["template"]
    assert "Template cannot be rendered: the filters have too much to do" in whys


@pytest.mark.parametrize("use", ["{{ many | uniq }}", "{{ msg | split: '' | uniq | join }}"])
def test_what_compares_each_piece_with_all_is_not_there(use: str) -> None:
    with pytest.raises(Invalid, match="unknown filter 'uniq'"):
        preview(MANY + use, down())
    assert "unknown filter 'uniq'" in worded(MANY + use, down(), "Website Monitor is down")


def test_pieces_are_weighed_not_the_lists_alone() -> None:
    assign = "{% assign parts = '" + "x" * 4000 + "," * 400 + "' | split: ',' %}"
    assert preview(assign + "{{ parts | join | size }}", down()) == "4400"
    with pytest.raises(Invalid, match="too much to do"):
        preview(assign + "{% assign x = parts | join: parts %}", down())


@pytest.mark.parametrize("template", HARMFUL)
def test_no_template_takes_the_server_down(template: str) -> None:
    assert template_rule(template) is None  # only rendering shows it
    with pytest.raises(Invalid, match="cannot be rendered"):
        preview(template, down())


def test_a_budget_is_for_one_rendering() -> None:
    for _ in range(300):  # each takes more than a hundredth of it
        assert len(preview("{% assign s = '" + "x" * 4000 + "' %}{{ s | append: 'y' }}", down())) == 4001


def test_an_alert_is_told_even_where_its_template_fails() -> None:
    assert worded("{{ 1 | divided_by: 0 }}", down(), "Website Monitor is down").startswith(
        "Website Monitor is down\n(Template cannot be rendered: divided_by: can't divide by 0"
    )
    assert worded("{% if status == 'UP' %}fine{% endif %}", down(), "plain") == "plain"  # services refuse what is empty
    assert worded(None, down(), "plain") == "plain"
