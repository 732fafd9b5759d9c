"""Deletes ContainerSSH session Pods that have lost their owner, and only those."""

__version__ = "0.1.0"
