"""How the admin writes times, by locale."""
