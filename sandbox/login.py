"""The admin login of the demo."""

import secrets

from django.contrib.auth import get_user_model


def admin_login(port: int) -> str:
    """Return a line with the admin's URL. The first call creates the user `admin` and includes the password."""
    users = get_user_model().objects
    where = f"Admin: http://127.0.0.1:{port}/admin/"
    if users.filter(is_superuser=True).exists():
        return f"{where} (log in as printed at the first start; manage.py changepassword admin sets a new password)"
    password = secrets.token_urlsafe(9)
    users.create_superuser("admin", "", password)
    return f"{where}  user: admin  password: {password}"
