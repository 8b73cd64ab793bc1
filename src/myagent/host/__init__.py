"""The single writer of a workspace: takes up what connections send, lets the agent run, stores what happens."""
