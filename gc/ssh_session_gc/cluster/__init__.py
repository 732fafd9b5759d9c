"""What is known of the cluster, kept in step with it: ``Cluster``, and a file for each source of facts.

Knows, and does nothing about it: whoever wants to act subscribes. Judges nothing either (``core.rules``). All times
are the API server's, in epoch seconds.
"""
