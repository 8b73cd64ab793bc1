"""The Agent Client Protocol: hosting agents that speak it, and speaking it ourselves."""
