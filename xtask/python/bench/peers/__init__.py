"""Programs that a suite starts: each measures once for each line that it reads."""
