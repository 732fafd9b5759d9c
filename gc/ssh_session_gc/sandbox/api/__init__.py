"""The API server: keeps the cluster's objects and serves them over HTTP, as kube-apiserver does.

Runs nothing: objects change only when somebody writes them, in the store or through the API.
"""
