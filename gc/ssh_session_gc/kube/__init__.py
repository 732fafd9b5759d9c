"""Kubernetes' API as this program uses it: requests, streams and the wire format, turned into core facts."""
