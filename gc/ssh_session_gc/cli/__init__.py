"""The command line: options, exit statuses, and errors in one line. Decides nothing about sessions."""
