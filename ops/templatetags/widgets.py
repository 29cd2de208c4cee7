"""Attributes and options of form fields: Django renders each by templates of its own, most of a field's CPU."""

from typing import Any, Final

from django import template
from django.forms.renderers import get_default_renderer
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

register = template.Library()
_USUAL: Final = "django/forms/widgets/select_option.html"


@register.filter
def attributes(attrs: dict[str, Any]) -> SafeString:
    """Write them as Django's attrs.html does."""
    return SafeString("".join(_attribute(name, value) for name, value in attrs.items() if value is not False))


def _attribute(name: str, value: Any) -> str:
    return f" {conditional_escape(name)}" + ("" if value is True else f'="{conditional_escape(value)}"')


@register.simple_tag
def options(groups: list[tuple[str | None, list[dict[str, Any]], int]]) -> SafeString:
    """Write the options of a select as Django's select.html does, with their groups."""
    return SafeString("".join(_group(name, "".join(map(_option, shown))) for name, shown, _ in groups))


def _group(name: str | None, inside: str) -> str:
    return f'<optgroup label="{conditional_escape(name)}">{inside}</optgroup>' if name else inside


def _option(option: dict[str, Any]) -> str:
    if option["template_name"] != _USUAL:
        return get_default_renderer().render(option["template_name"], {"widget": option})
    value, label = conditional_escape(option["value"]), conditional_escape(option["label"])
    return f'<option value="{value}"{attributes(option["attrs"])}>{label}</option>'
