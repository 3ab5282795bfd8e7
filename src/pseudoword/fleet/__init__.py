"""A queue of words to learn, on a folder or in a bucket, and the workers that learn them."""
