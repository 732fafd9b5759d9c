"""What would happen, and why, before anything does: snapshots, how they are shown, the preflight. Deletes nothing."""
