"""The command line: reads arguments, shows what comes, asks the human; it holds no rules."""
