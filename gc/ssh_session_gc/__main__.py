"""``python -m ssh_session_gc``."""

from ssh_session_gc.cli.main import main

main()
