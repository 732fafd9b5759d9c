"""The pure core: what a session is, who may own it, what to do with it and when.

Plain frozen values and pure functions; the time is always an argument. Nothing in here reads a clock, a
socket or a file, and nothing in here knows Kubernetes' wire format (``ssh_session_gc.kube`` does).

Times are seconds since the Unix epoch (float), durations are seconds (float).
"""
