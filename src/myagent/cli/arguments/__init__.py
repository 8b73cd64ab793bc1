"""The arguments of the commands and their help; imports nothing heavy, since all of it is made for every `--help`."""
