"""Parsers and writers of text and headers (TIFF directories, MTL, product IDs, STAC items); none opens a file."""
