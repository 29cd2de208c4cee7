"""The Django project: settings, URLs, WSGI application, and small modules that know no jobs."""

__version__ = "0.1.0"
