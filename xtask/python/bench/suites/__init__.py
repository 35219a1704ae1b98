"""What is measured: each has a `TITLE`, a `TEXT`, and `tables(setting)`."""
