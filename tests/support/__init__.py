"""Helpers of the tests; nothing is imported from a test module."""
