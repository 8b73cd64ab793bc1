"""What is made from the parsers: the words that a shell completes, and the reference of all commands."""
