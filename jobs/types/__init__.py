"""The job types, one file each; jobs/registry.py finds them."""
