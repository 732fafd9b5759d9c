"""What the program says of itself: log lines, metrics, health. Judges nothing and decides nothing."""
