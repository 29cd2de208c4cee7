"""What an operator sees and presses; imports jobs/, never the reverse."""
