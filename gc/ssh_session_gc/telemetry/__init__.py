"""Log lines, metrics, and the port that serves them with the health checks. Decides nothing."""
