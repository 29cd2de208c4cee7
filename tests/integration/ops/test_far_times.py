"""Times at the ends of the calendar, which are no times in another zone: forms report them, and record nothing."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from redis import Redis

from jobs.models import CampaignClock, CronTask, Job, JobAction, Pause
from tests.support.people import JOBS, some

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("zone", "day"), [("America/New_York", "9999-12-31"), ("Asia/Tokyo", "0001-01-01")])
def test_a_time_that_no_database_keeps_is_reported(admin_client: Client, redis: Redis, zone: str, day: str) -> None:
    """In every form with a time."""
    admin_client.cookies["zone"] = zone
    at = f"{day}T{'23:59' if day[0] == '9' else '00:00'}"
    (job,) = some(1)
    task, clock = CronTask.objects.all()[0], CampaignClock.objects.create(campaign_id="c-1", name="One")
    user, due = User.objects.get(), job.due_at
    split = {"disabled_until_0": day, "disabled_until_1": at[11:], "date_joined_0": day, "date_joined_1": at[11:]}
    asks = {"action": "reschedule", "_selected_action": [str(job.pk)], "confirmed": "1", "is_past_meant": "on"}
    forms = {
        JOBS: {**asks, "due_at": at},
        f"{JOBS}add/?type=EVENT_EXPIRATION": {"campaign_id": "c-1", "due_at": at, "is_past_meant": "on"},
        "/admin/jobs/pause/": {"pause": "1", "what": "queue:low", "until": at},
        f"/admin/jobs/campaignclock/{clock.pk}/pause/": {"until": at},
        f"/admin/jobs/crontask/{task.pk}/disable/": {"until": at},
        f"/admin/jobs/crontask/{task.pk}/change/": {"name": task.name, **split},
        f"/admin/auth/user/{user.pk}/change/": {"username": user.username, **split},
    }
    for url, form in forms.items():
        page = admin_client.post(url, form, follow=True)
        assert page.status_code in (200, 400), url
        text = page.content.decode()
        assert "Enter a valid date/time." in text or "time is not valid" in text, url

    job.refresh_from_db()
    assert job.due_at == due
    assert not JobAction.objects.exists()
    assert not Pause.objects.exists()


def test_a_due_time_out_of_range_is_not_recorded(admin_client: Client, redis: Redis) -> None:
    """No action of nothing stands in the audit trail."""
    (job,) = some(1)
    form = {"action": "reschedule", "_selected_action": [str(job.pk)], "confirmed": "1", "due_at": "9000-01-01T00:00"}

    assert "days ahead" in admin_client.post(JOBS, form).content.decode()
    assert admin_client.post(JOBS, {**form, "step": "1"}).status_code == 400
    assert not JobAction.objects.exists()
    assert Job.objects.get().due_at == job.due_at
