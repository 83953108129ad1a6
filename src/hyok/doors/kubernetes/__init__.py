"""The door for the API servers of Kubernetes: KMS v2 over a Unix socket."""
