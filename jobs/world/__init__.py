"""The rules of the domain as pure functions: no Django, no I/O, no clock but the one passed in."""
