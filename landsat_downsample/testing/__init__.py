"""What helps people test: synthetic scenes, an S3 server, a local process service."""
