"""The daemon: it keeps a view of the cluster, judges every session and deletes what is due."""
