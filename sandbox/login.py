"""The admin login of the demo."""

import secrets

from django.contrib.auth import get_user_model


def admin_login(port: int) -> str:
    """Return a line with the admin's URL. The first call creates the user `admin` and includes the password."""
    users = get_user_model().objects
    where = f"Admin: http://127.0.0.1:{port}/admin/"
    if users.filter(is_superuser=True).exists():
        new = "./manage.py changepassword admin"
        return f"{where} (log in as printed at the first start; for a new password: {new})"
    password = secrets.token_urlsafe(9)
    users.create_superuser("admin", "", password)
    return f"{where}  user: admin  password: {password}"
