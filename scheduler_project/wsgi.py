"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from scheduler_project.admission import Admission

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
application = Admission(get_wsgi_application())
get_resolver().url_patterns  # noqa: B018 - loads the pages now rather than at the first request
