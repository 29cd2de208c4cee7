"""Template tags and filters of the operators' pages."""
