"""Texts that people read go through gettext; what the source says to programs, logs and records does not."""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.support.servers import ROOT

FOLDERS: Final = ("ops", "monitoring/admin", "monitoring/alerting", "jobs/models")
FILES: Final = (
    "monitoring/dashboard_source.py",
    "monitoring/menu.py",
    "monitoring/models.py",
    "scheduler_project/cron_sentence.py",
    "scheduler_project/durations.py",
    "jobs/actor.py",
    "jobs/pauses.py",
    "jobs/submission.py",
    "jobs/world_clocks/control.py",
    "jobs/world_clocks/settings.py",
    "jobs/world_clocks/status.py",
    "jobs/world_clocks/sentences.py",
)
MARKS: Final = re.compile(r"n?p?gettext(_lazy|_noop)?")
#: Two words, a capitalised word, or the end of a sentence.
PROSE: Final = re.compile(r"[A-Za-z]{2,}[,;:.…]* [A-Za-z(“]|^[A-Z][a-z]+[.…?]?$|[a-z]{2,}[.…?]$")
TAGS: Final = re.compile(r"<[^>]*>")
SQL: Final = re.compile(r"\b(SELECT|UNION ALL|WITH RECURSIVE|LIMIT \{|WHERE state|FROM jobs)")
FOR_PEOPLE: Final = {
    *("description", "empty_label", "help_text", "label", "placeholder", "short_description"),
    *("verbose_name", "verbose_name_plural"),
}
#: Calls that log, keep a record in one language (the audit trail), or tell a programmer.
NOT_FOR_PAGES: Final = {
    *("debug", "info", "warning", "error", "exception"),
    *("record", "begin", "compile", "Thread", "get", "filter"),
    *("AddressRefused", "AppriseAsset", "ChannelResponse", "ConnectionError", "InvalidJobOperation", "TypeError"),
    *("TimeoutError", "Undeliverable", "ValueError"),
}
#: Literals that no page shows, or that stay in one language, by file.
KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    # Names of permissions are rows of the database.
    "jobs/models/job.py": (
        *("Can retry jobs", "Can cancel jobs", "Can discard dead letters", "Can reschedule jobs", "Can run jobs now"),
        *("Can pause and resume queues, types and campaigns", "Can open and close the circuit breaker"),
        *("Can acknowledge and resolve alerts", "Can manage alert handlers", "Can export jobs"),
    ),
    "jobs/models/world_clock.py": ("Can pause and resume world clocks", "world clock of {}"),
    # __str__ of rows that pages show otherwise, or that the audit trail keeps
    "jobs/models/event.py": ("{} events of {}",),
    "jobs/models/main_api_limits.py": ("{}: {} in flight, {} per second",),
    "jobs/models/type_settings.py": ("settings of {}",),
    "monitoring/models.py": ("{} of alert {}",),
    # reasons that are kept
    "jobs/pauses.py": ("replaced by another", "until resumed"),
    "jobs/world_clocks/control.py": ("world clock {}: {}", "world clock {}"),
    "ops/admin/campaigns.py": ("recalculate now",),
    "ops/admin/selection.py": ("due from", "due until", "ended from", "ended until", "all jobs"),
    # names of services and commands, addresses, formats
    "monitoring/alerting/channels/apprise_url.py": ("Apprise",),
    "monitoring/alerting/channels/slack.py": ("Slack",),
    "scheduler_project/cron_sentence.py": ("day of week",),
    "ops/admin/cron_form.py": ("input changed delay:250ms",),
    "ops/admin/export.py": ("text/csv; charset=utf-8", 'attachment; filename="jobs-{}.{}"'),
    "ops/admin/main_api.py": ("manage.py check_main_api",),
    # keys, and words of other layers that are translated where they are shown
    "monitoring/alerting/main_api.py": ("{}:cannot work",),
    "monitoring/alerting/store.py": ("marked as unseen",),
    "monitoring/dashboard_source.py": ("main API", "Redis"),
    "jobs/models/schedule.py": ("Settlement", "Structure"),
    "ops/labels.py": (" by now",),
    "ops/meanwhile.py": ("changed meanwhile",),
    "ops/reads/audit_trail.py": ("failed attempts", "failed and retried", "handed back"),
    "ops/reads/backlog.py": ("at most", "at least"),
    "ops/reads/changes.py": ("payload.",),
    "ops/reads/campaign_backlog.py": ("error LIKE '{}:%'",),
    "ops/reads/failures.py": (") AS one",),
    "ops/reads/subjects.py": ("Settlement", "Structure"),
    "ops/reads/status.py": ("main API",),
    "ops/reads/verdict.py": ("main API", "Redis"),
    "ops/rq_dashboard.py": ("Cancelled", "asked to stop"),
}

REFUSALS: Final = {
    *("InvalidForecast", "InvalidJob", "InvalidLimit", "InvalidPause", "InvalidPolicy", "InvalidSetting"),
    *("InvalidWorldClock", "StateConflict"),
}
#: Of races that pages avoid, and of the HTTP API.
KEPT_REFUSALS: Final[Mapping[str, tuple[str, ...]]] = {
    "jobs/ledger/moves.py": (
        "{}: cannot begin as {}",
        "{}: no longer {} at attempt {}",
        "{}: cannot go from {} to {}",
    ),
    "jobs/service.py": ("{}: cannot be {}: {}",),
}

Parents = Mapping[ast.AST, ast.AST]


def sources() -> list[str]:
    folders = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted([*(str(path.relative_to(ROOT)) for path in folders), *FILES])


@pytest.mark.parametrize("name", sources())
def test_texts_for_people_are_marked(name: str) -> None:
    found = {text: line for line, text in find_unmarked((ROOT / name).read_text())}

    assert {f"{name}:{line}": text for text, line in found.items() if text not in KEPT.get(name, ())} == {}


def test_refusals_are_marked() -> None:
    """A page shows them at a field or as a message; the HTTP API, in English."""
    names = re.compile("|".join(REFUSALS))
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "jobs").rglob("*.py")}
    found = {
        name: [text for text in find_refusals(source) if text not in KEPT_REFUSALS.get(name, ())]
        for name, source in sources.items()
        if names.search(source)
    }

    assert len(found) > 20
    assert {name: texts for name, texts in found.items() if texts} == {}


def find_refusals(source: str) -> list[str]:
    """The words of each literal that a refusal is made with."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name_of(node.func) in REFUSALS]
    literals = [arg for call in calls for arg in call.args if isinstance(arg, ast.Constant | ast.JoinedStr)]
    return [text for literal in literals if PROSE.search(text := _read(literal))]


def test_the_exceptions_are_needed() -> None:
    """Each names a literal that is there."""
    found = {name: {text for _, text in find_unmarked((ROOT / name).read_text())} for name in KEPT}

    assert {name: set(texts) - found[name] for name, texts in KEPT.items() if set(texts) - found[name]} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('messages.success(request, "Saved.")', ["Saved."]),
        ('messages.success(request, f"{n} jobs saved")', ["{} jobs saved"]),
        ('forms.CharField(label="due")', ["due"]),
        ('forms.CharField(label=gettext_lazy("due"))', []),
        ('log.info("job.saved", next="the page shows it")', []),
        ('x = {"a": "Saved", "Name": 1}', ["Saved"]),
        ("x = f\"{gettext('Saved.')}\"", ["gettext in an f-string"]),
        ('def f() -> "Future[Report]":\n    """Say so."""', []),
    ],
)
def test_a_text_is_found_where_it_is_written(source: str, found: list[str]) -> None:
    assert [text for _, text in find_unmarked(source)] == found


def find_unmarked(source: str) -> Iterator[tuple[int, str]]:
    """The line and the words of each literal for people outside gettext."""
    tree = ast.parse(source)
    parents: Parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and any(map(_is_marked_literal, ast.walk(node))):
            yield node.lineno, "gettext in an f-string"  # xgettext does not look there
        text = _read(node) if isinstance(node, ast.JoinedStr | ast.Constant) else ""
        is_prose = bool(PROSE.search(TAGS.sub("", text))) and not SQL.search(text)
        if (is_prose or _is_word_for_people(node, parents)) and _is_for_people(node, parents):
            yield getattr(node, "lineno", 0), text


def _read(node: ast.JoinedStr | ast.Constant) -> str:
    """A literal's words, with {} for what an f-string puts in; empty for any other constant."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _is_marked_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _is_mark(node) and any(isinstance(one, ast.Constant) for one in node.args)


def _is_mark(call: ast.Call) -> bool:
    return MARKS.fullmatch(_name_of(call.func)) is not None


def _name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _is_word_for_people(node: ast.AST, parents: Parents) -> bool:
    """Whether it is an argument that only pages show, such as a label, however short."""
    above = parents.get(node)
    is_text = isinstance(node, ast.Constant) and re.search("[A-Za-z]{2}", str(node.value))
    return isinstance(above, ast.keyword) and above.arg in FOR_PEOPLE and bool(is_text)


def _is_for_people(node: ast.AST, parents: Parents) -> bool:
    """Whether pages may show it: no part of another literal, docstring, annotation, key, comparison or pattern."""
    below = node
    while (above := parents.get(below)) is not None:
        match above:
            case ast.JoinedStr() | ast.Compare() | ast.Subscript() | ast.match_case():
                return False
            case ast.Expr() if isinstance(below, ast.Constant):
                return False
            case ast.Call() if below in above.args or isinstance(below, ast.keyword):
                if _is_mark(above) or _name_of(above.func) in NOT_FOR_PAGES:
                    return False
            case ast.Dict() if below in above.keys:
                return False
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                return False
            case ast.FunctionDef() | ast.AnnAssign() | ast.arg() if below in _annotations(above):
                return False
            case ast.FunctionDef() | ast.ClassDef() | ast.Lambda():
                return True
        below = above
    return True


def _annotations(node: ast.AST) -> list[ast.AST]:
    return [found for name in ("annotation", "returns") if (found := getattr(node, name, None))]
