"""The command line: `hyok COMMAND`.  `main` puts the commands together."""
