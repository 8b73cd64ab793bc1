"""Run a coding agent on one machine and share its session live: one owner drives, any number of followers watch."""

__version__ = "0.1.0"
