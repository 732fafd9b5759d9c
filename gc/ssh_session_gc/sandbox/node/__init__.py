"""Nodes and what runs on them: kubelets, the scheduler and the controllers, which read and write the store.

Does not know what the programs are for: ``containerssh`` does.
"""
