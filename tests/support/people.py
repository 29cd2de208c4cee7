"""Logged-in users, and jobs for them to see."""

from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from jobs import service
from jobs.models import Job
from jobs.service import Submission

JOBS = "/admin/jobs/job/"


def member(client: Client, *groups: str, name: str = "bob") -> Client:
    """A browser in which a member of the groups is logged in."""
    person = User.objects.create_user(name, is_staff=True)
    person.groups.set([Group.objects.get(name=name) for name in groups])
    client.force_login(person)
    return client


def some(count: int, *, campaign: str = "c-1") -> list[Job]:
    """Submit jobs that are due later."""
    due = timezone.now() + timedelta(hours=1)
    submissions = [
        Submission(type="EVENT_EXPIRATION", campaign_id=campaign, payload={}, due_at=due + timedelta(seconds=n))
        for n in range(count)
    ]
    return [job for job, _ in service.submit_many(submissions, actor="test")]
