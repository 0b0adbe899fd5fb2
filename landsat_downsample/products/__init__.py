"""What is published: names, metadata, STAC, browse picture; verified and staged."""
