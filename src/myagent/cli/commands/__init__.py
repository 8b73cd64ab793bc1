"""A file for each command, named after it: what runs when the command does."""
