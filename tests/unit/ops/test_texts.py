"""The texts of the scripts."""

import re

from ops.templatetags.texts import TEXTS
from tests.support.servers import ROOT

SCRIPTS = sorted((ROOT / "ops" / "static" / "ops").glob("*.js"))
#: What a script passes to opsText, with the names of the values where they are written out.
CALL = re.compile(r"""\b(?:text|opsText)\(((?:[^(){}"]|"[^"]*")*?)(?:, (\{[^}]*\}))?\)""")


def test_scripts_and_texts_name_the_same() -> None:
    """Each text is used by a script, and each that a script uses is there with its values."""
    used = set()
    for path in SCRIPTS:
        for which, values in CALL.findall(path.read_text()):
            names = set(re.findall(r'"(\w+)"', which))
            used |= names
            for name in names & set(TEXTS):
                assert set(re.findall(r"%\((\w+)\)s", str(TEXTS[name]))) == set(
                    re.findall(r"[{,] (\w+)(?=[:,]| \})", values)
                ), name

    assert used | {"d", "h", "min", "s"} == set(TEXTS)  # units are found by what a duration has


def test_scripts_have_no_sentences_of_their_own() -> None:
    """What people read has a space between two words, and no other literal of the scripts has."""
    literal = re.compile(r"""(?<!\\)(["'`])((?:(?!\1).)*?[A-Za-z]{2,} [A-Za-z]{2,}.*?)\1""")
    found = [
        text
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        for _, text in literal.findall(line.partition("//")[0])
        if not re.search(r"ops-|querySelector|[\[\]#>=]", text)
    ]

    assert found == []
