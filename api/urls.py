"""The URLs under /api/."""

from django.urls import path

from api.event_questions import answer
from api.event_questions import show as show_event_questions
from api.forecasts import forecast, show_what_if
from api.tokens import for_clients
from api.views import command, show, submit
from api.world_clocks import show as show_world_clock

urlpatterns = [
    path("jobs", for_clients(submit)),
    path("campaigns/<path:campaign_id>/forecast", for_clients(forecast)),
    path("campaigns/<path:campaign_id>/what-if", for_clients(show_what_if)),
    path("campaigns/<path:campaign_id>/world-clock", for_clients(show_world_clock)),
    path("event-questions", for_clients(show_event_questions)),
    path("jobs/<uuid:job_id>", for_clients(show)),
    path("jobs/<uuid:job_id>/answer", for_clients(answer)),
    *(
        path(f"jobs/<uuid:job_id>/{verb}", for_clients(command), {"verb": verb})
        for verb in ("cancel", "discard", "restore", "retry", "run-now", "reschedule")
    ),
]
