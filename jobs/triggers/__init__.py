"""Events that are triggered: policies, the jobs of due events, what they sent, and questions."""
