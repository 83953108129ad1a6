"""The S3 wire protocol: requests, bodies, checksums, documents.  Pure: no store and no key."""
