"""What pages read; nothing here writes."""
