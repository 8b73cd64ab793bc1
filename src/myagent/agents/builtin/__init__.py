"""The agents of our own: one that takes commands, and one that asks a model."""
