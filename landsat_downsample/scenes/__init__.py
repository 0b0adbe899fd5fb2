"""From an href to a scene, headers only."""
