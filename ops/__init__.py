"""The operators' pages; imports jobs/, never the reverse."""
