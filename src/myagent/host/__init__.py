"""The single writer of a workspace: receives what connections send, lets the agent run, stores what happens."""
