"""A session of ours as an agent of the Agent Client Protocol, version 1, for editors: mapping alone, no I/O."""
