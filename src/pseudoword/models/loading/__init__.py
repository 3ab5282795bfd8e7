"""From files to frozen weights: what a file or folder is, and each part of a model."""
