"""The daemon: what is done. It judges every session of the cluster and deletes what is due."""
