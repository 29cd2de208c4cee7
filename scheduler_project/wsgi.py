"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from scheduler_project.admission import Admission

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
application = Admission(get_wsgi_application())
