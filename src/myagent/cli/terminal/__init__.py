"""A client's terminal, line by line: what is shown, what is asked, how an answer is read."""
