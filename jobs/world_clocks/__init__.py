"""World clocks: campaigns whose world time moves by itself, in steps; off until somebody starts one."""
