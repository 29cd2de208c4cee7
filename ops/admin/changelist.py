"""The list of jobs, fast with a million rows: pages by key, and counts up to a limit."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext

from jobs import state_counts
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.states import State
from ops.admin.due_pages import Cursor, DueOrder, is_by_due, read_cursor, write_cursor
from ops.admin.filtered_list import FilteredList
from ops.admin.filters import read_moment
from ops.humanize import format_count, limited_count
from ops.labels import STATES
from ops.reads.job import TONES, name_all
from scheduler_project.text import is_job_id, job_id

SEARCHED: Final = 20_000  #: newest jobs of the filter whose texts are searched
ALL: Final = UUID(int=0)  #: the floor of a search in no more jobs than that
NAMED: Final = 20  #: campaigns, and as many entities, that a search by name finds
SCAN_LIMIT: Final = 50_000  #: jobs that a page scans for a filter without an index; "further back" scans the next
MOST_NEW: Final = 1_000  #: the count of new jobs stops here
_INDEXED: Final = ("campaign_id__exact", "state", "type")  #: parameters whose index is ordered by key within a value
RANGES: Final = ("due_at_from", "due_at_to", "finished_at_from", "finished_at_to")  #: parameters with times
_UNINDEXED: Final = ("priority__exact", "waits", "from", "worker__exact", *RANGES)
_BESIDE_DUE: Final = {*_INDEXED, *_UNINDEXED, "failure", "advance"} - {"state", "due_at_from"}


class LimitedPaginator(Paginator[Any]):
    template_name = "ops/limited_pages.html"

    @property
    def count(self) -> int:
        """Up to MOST_COUNTED + 1."""
        rows: Any = self.object_list
        counted: int = rows.order_by()[: state_counts.MOST_COUNTED + 1].count()
        return counted


class KeyPaginator(LimitedPaginator):
    template_name = "ops/pages.html"


class JobList(FilteredList):
    """Pages start before or after a job, so that new jobs do not shift a page while it is read.

    The newest job comes first; of those that wait for a time, the next that is due.
    """

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Without the parameters that say where the page starts."""
        kept: dict[str, Any] = dict(super().get_filters_params(params))
        self.before = kept.pop("before", [""])[-1]
        self.after = kept.pop("after", [""])[-1]
        return kept

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return ["due_at", "pk"] if self.by_due else ["-pk"]

    @property
    def by_due(self) -> bool:
        return is_by_due({**self.filter_params, "q": self.query})

    def get_results(self, request: HttpRequest) -> None:
        self.floor: UUID | None = None
        self.further: UUID | str | None = None
        self.stop: Cursor | None = None  # of a search in order of due times
        self.ceiling: UUID | None = None
        self.new_count = 0  #: of jobs since the newest that a live page shows (X-Seen); they wait to be let in
        if self.by_due:
            self._read_due_page()
        else:
            self._read_newest_page(job_id(request.headers.get("X-Seen", "")))
        self.full_result_count = self.result_count  # if they differ, unfold offers to show all
        self.show_full_result_count = False
        self.show_admin_actions = self.result_count > 0
        self.can_show_all = self.multi_page = False
        name_all(self.result_list)

    def _read_due_page(self) -> None:
        is_narrowed = any(self._read_filter(name) for name in _BESIDE_DUE)
        state, size = State(self._read_filter("state")), self.list_per_page
        order = DueOrder(state, self.queryset, size, SCAN_LIMIT if is_narrowed else None)
        end = read_cursor(self.after)
        page = order.read_before(end) if end else order.read_after(read_cursor(self.before))
        self.result_list, self.newer, self.older = page.rows, page.has_earlier, page.has_later
        self.paginator = KeyPaginator(page.counted, size)
        whole = not (page.has_earlier or page.has_later)
        self.result_count = len(page.rows) if whole else self.paginator.count
        self.stop = page.stop
        self.further = None if self.older or page.stop is None else write_cursor(*page.stop)

    def _read_newest_page(self, seen: UUID | None) -> None:
        if any(self._read_filter(name) for name in _UNINDEXED):
            self._limit_to_stretch()
        jobs = self.queryset.filter(pk__gte=self.floor) if self.floor else self.queryset
        jobs = jobs.filter(pk__lte=self.ceiling) if self.ceiling else jobs
        size = self.list_per_page
        if is_job_id(self.after):
            rows = list(jobs.filter(pk__gt=self.after).order_by("pk")[: size + 1])
            self.result_list = rows[:size][::-1]
            self.newer, self.older = len(rows) > size, True
        else:
            page = jobs.filter(pk__lt=self.before) if is_job_id(self.before) else jobs
            if seen:
                self.new_count = jobs.filter(pk__gt=seen).order_by()[:MOST_NEW].count()
                page = page.filter(pk__lte=seen)
            rows = list(page.order_by("-pk")[: size + 1])
            self.result_list = rows[:size]
            self.newer, self.older = is_job_id(self.before), len(rows) > size
        self.paginator = KeyPaginator(jobs, size)
        turned = is_job_id(self.after) or (is_job_id(self.before) and not self.floor)
        whole = len(rows) <= size and not turned and not self.new_count
        self.result_count = len(rows) if whole else self.paginator.count  # saves a count if the page has everything
        self.further = None if self.older else self.floor

    def _limit_to_stretch(self) -> None:
        """Limit the page to SCAN_LIMIT jobs of the best index, from the start of the page.

        A filter that matches few jobs would scan all of them otherwise. No job ends before it is created, so the scan
        starts at the upper end of the finished range.
        """
        indexed = next((name for name in _INDEXED if self._read_filter(name)), None)
        jobs = Job.objects.filter(**{indexed: self._read_filter(indexed)}) if indexed else Job.objects.all()
        ids = jobs.order_by().values_list("pk", flat=True)
        if after := job_id(self.after):
            self.floor = after
            self.ceiling = ids.filter(pk__gt=self.floor).order_by("pk")[SCAN_LIMIT : SCAN_LIMIT + 1].first()
            return
        to = read_moment(self._read_filter("finished_at_to"), ends=True)
        self.ceiling = first_id_after(to) if to else None
        if before := job_id(self.before):
            self.ceiling = min(before, self.ceiling or before)
        below = ids.filter(pk__lte=self.ceiling) if self.ceiling else ids
        self.floor = below.order_by("-pk")[SCAN_LIMIT : SCAN_LIMIT + 1].first()

    def _read_filter(self, name: str) -> str:
        return str(self.filter_params.get(name, [""])[-1])

    @property
    def count_text(self) -> str:
        """The number of jobs of this filter, or of the stretch that was scanned."""
        text = limited_count(self.result_count)
        if not (self.floor or self.ceiling or self.stop):
            return text
        scanned = {"count": text, "scanned": format_count(SCAN_LIMIT)}
        return gettext("%(count)s of the %(scanned)s scanned:") % scanned

    def further_link(self) -> str:
        return self._link({"before": self.further}, "after")

    def tabs(self) -> list[dict[str, Any]]:
        counts = state_counts.count_states()
        chosen = self.filter_params.get("state", [""])[-1]
        every = self.get_query_string(remove=["state", "before", "after"])
        return [{"name": gettext("All"), "query": every, "active": not chosen}] + [
            {
                "name": capfirst(STATES[state]),
                "icon": TONES[state][0],
                "tone": TONES[state][1],
                "count": limited_count(counts[state]),
                "query": self.get_query_string({"state": state.value}, remove=["before", "after"]),
                "active": chosen == state.value,
            }
            for state in State
        ]

    def newer_link(self) -> str:
        return self._link({"after": self._place(0)} if self.result_list else {}, "before")

    def older_link(self) -> str:
        return self._link({"before": self._place(-1)} if self.result_list else {}, "after")

    def _place(self, position: int) -> str:
        job = self.result_list[position]
        return write_cursor(job.due_at, job.pk) if self.by_due else str(job.pk)

    def _link(self, wanted: dict[str, Any], unwanted: str) -> str:
        link: str = self.get_query_string(wanted, remove=[unwanted])
        return link

    def newest_link(self) -> str:
        link: str = self.get_query_string(remove=["before", "after"])
        return link


def first_id_after(moment: datetime) -> UUID:
    """The smallest id of a job created after `moment`: ids start with the time in milliseconds."""
    return UUID(int=(int(moment.timestamp() * 1000) + 1) << 80)


def search(jobs: QuerySet[Job], term: str, floor: UUID | None = None) -> tuple[QuerySet[Job], UUID | None]:
    """The job with that id, the jobs of a campaign with that id or name, or a text search in the SEARCHED newest jobs.

    The text search also finds jobs of entities whose names contain the term. Returns the id above which it looked, too:
    given as `floor` to the requests of an action, it keeps the jobs that the first of them found.
    """
    term = term.strip()
    if not term:
        return jobs, None
    if is_job_id(term) and Job.objects.filter(pk=term).exists():
        return jobs.filter(pk=term), None
    campaigns, entities = _find_named(term)
    if campaigns or Job.objects.filter(campaign_id=term).exists():
        return jobs.filter(campaign_id__in=[term, *campaigns]), None
    if floor is None:
        ids = jobs.order_by("-pk").values_list("pk", flat=True)
        floor = ids[SEARCHED : SEARCHED + 1].first() or ALL
    if floor != ALL:
        jobs = jobs.filter(pk__gt=floor)
    texts = Q(subject__icontains=term) | Q(error__icontains=term) | Q(source__icontains=term)
    for entity in entities:
        texts |= Q(subject__startswith=f"{entity}:")
    return jobs.filter(texts | Q(payload__icontains=term)), floor


def _find_named(term: str) -> tuple[list[str], list[str]]:
    """The ids of campaigns with this name, and of entities whose names contain it; one query."""
    campaigns = CampaignClock.objects.filter(name__iexact=term).values_list(Value("campaign"), "pk")
    rows = ScheduleRow.objects.filter(entity_name__icontains=term).order_by()
    found = list(campaigns.order_by().union(rows.values_list(Value("entity"), "entity_id"))[: NAMED * 2])
    return [pk for kind, pk in found if kind == "campaign"], [pk for kind, pk in found if kind == "entity"]
