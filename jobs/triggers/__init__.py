"""Events that are triggered: policies, the jobs of events whose time has come, what those sent, and questions."""
