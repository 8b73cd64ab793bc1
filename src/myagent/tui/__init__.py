"""The full-screen client: sits in a session over the async client; needs the extra `myagent[tui]`."""
