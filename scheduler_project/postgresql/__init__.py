"""Django's PostgreSQL backend, with a pool that recovers at once: the ENGINE of settings.DATABASES."""
