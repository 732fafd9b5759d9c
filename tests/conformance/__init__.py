"""What the program relies on, of the sandbox and, where ``KUBEBUILDER_ASSETS`` names one, of a real API server."""
