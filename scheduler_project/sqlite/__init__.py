"""Django's SQLite backend, with turns: the ENGINE of settings.DATABASES."""
