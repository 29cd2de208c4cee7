"""Error responses."""

from django.http import JsonResponse


def problem(
    status: int, message: str, field: str | None = None, *, headers: dict[str, str] | None = None
) -> JsonResponse:
    return JsonResponse({"error": message} | ({"field": field} if field else {}), status=status, headers=headers)
