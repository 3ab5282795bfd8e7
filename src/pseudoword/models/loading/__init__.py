"""From files to frozen weights: what a file or folder is, and its parts one by one."""
