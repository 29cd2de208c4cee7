"""The WSGI application that gunicorn serves."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from scheduler_project.admission import Admission
from scheduler_project.chunked_bodies import read_chunked_bodies
from scheduler_project.url_prefix import strip_prefix

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
application = strip_prefix(Admission(read_chunked_bodies(get_wsgi_application())), settings.URL_PREFIX)
get_resolver().url_patterns  # noqa: B018 - loads the pages now rather than at the first request
