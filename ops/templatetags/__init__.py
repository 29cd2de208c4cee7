"""What the operators' pages draw."""
