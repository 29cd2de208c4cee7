"""The URLs under /api/."""

from django.urls import path

from api.tokens import for_clients
from api.views import command, show, submit

urlpatterns = [
    path("jobs", for_clients(submit)),
    path("jobs/<uuid:job_id>", for_clients(show)),
    *(
        path(f"jobs/<uuid:job_id>/{verb}", for_clients(command), {"verb": verb})
        for verb in ("cancel", "discard", "retry", "run-now", "reschedule")
    ),
]
