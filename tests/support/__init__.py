"""What several tests use; nothing is imported from a test module."""
