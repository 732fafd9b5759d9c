"""Tests what the program relies on, on the sandbox and, where ``KUBEBUILDER_ASSETS`` names it, on a real server."""
