"""Child processes: started, read line by line, and ended with everything that they started."""
