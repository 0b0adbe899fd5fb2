"""The scene's own metadata, the MTL, in its three formats."""
