"""What runs against a real control plane, where ``KUBEBUILDER_ASSETS`` names a folder with its programs."""
