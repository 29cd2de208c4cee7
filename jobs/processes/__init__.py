"""What every long-running command is built from: its loop, lease, heartbeat, supervisor."""
