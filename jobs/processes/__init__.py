"""The building blocks of every long-running command: loop, lease, heartbeat, supervisor."""
