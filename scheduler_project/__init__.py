"""The Django project: settings, URLs and the WSGI application of the campaign scheduler."""

__version__ = "0.1.0"
