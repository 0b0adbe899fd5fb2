"""Values: what is known of a scene, its bands, its grid and the plan for it; nothing here opens a file."""
