"""Kubeconfigs for a simulated API server."""

import json
from pathlib import Path


def write_kubeconfig(path: Path, url: str, *, token: str = "", certificate_authority: str = "") -> Path:
    """Writes a kubeconfig that only its owner can read; returns the path. Every client reads JSON as YAML."""
    authority = {"certificate-authority": certificate_authority} if certificate_authority else {}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{"name": "sandbox", "cluster": {"server": url, **authority}}],
        "users": [{"name": "sandbox", "user": {"token": token} if token else {}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
