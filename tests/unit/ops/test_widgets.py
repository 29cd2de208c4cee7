"""Form fields are written as unfold's and Django's templates write them."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import unfold
from django import forms
from django.forms.renderers import get_default_renderer
from django.template.backends.django import DjangoTemplates
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

_ATTRS: Final = {"required": True, "disabled": False, "maxlength": 9, "placeholder": "<'\"&>"}
_CHOICES: Final[list[Any]] = [
    ("", "-----"),
    (1, gettext_lazy("one & <two>")),
    ("a'\"b", "quoted"),
    ("Group <&>", [("x", 12345), ("y", "Y")]),
]


def parts(html: str) -> list[Any]:
    """Tags with their attributes, in any order, and the texts between them."""
    found = re.findall(r"""<(/?\w+)((?:[^>"]|"[^"]*")*)>([^<]*)""", html)
    return [(tag, sorted(re.findall(r'[\w:-]+(?:="[^"]*")?', given)), text.strip()) for tag, given, text in found]


@pytest.mark.parametrize("value", ["", "1", 1, "y", "<y\"'>", None])
@pytest.mark.parametrize(
    "widget",
    [
        UnfoldAdminSelectWidget(attrs=_ATTRS, choices=_CHOICES),
        UnfoldAdminTextInputWidget(attrs={**_ATTRS, "prefix_icon": "search"}),
        UnfoldAdminEmailInputWidget(),
    ],
    ids=lambda widget: type(widget).__name__,
)
def test_a_field_is_written_as_by_the_templates(widget: Any, value: Any) -> None:
    folders = [Path(module.__file__ or "").parent / "templates" for module in (forms, unfold)]
    original = DjangoTemplates({"NAME": "originals", "APP_DIRS": False, "DIRS": folders, "OPTIONS": {}})
    context = widget.get_context('na"me', value, {"id": "i"})

    ours = get_default_renderer().render(widget.template_name, context)

    assert parts(ours) == parts(original.get_template(widget.template_name).render(context))
