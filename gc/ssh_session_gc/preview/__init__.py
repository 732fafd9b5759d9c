"""Shows what would happen and why: snapshots, plans as text, the preflight. Deletes nothing."""
