"""The HTTP/1.1 engine: server, client pool, pump threads.  It knows nothing of S3 or keys."""
