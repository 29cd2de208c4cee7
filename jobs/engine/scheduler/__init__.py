"""The scheduler: stage jobs that are due soon, rescue lost ones, clean up."""
