"""From picture files to cached latents.

Finds picture files, their masks and captions; crops them; warns of poor pictures; encodes them with
the VAE and caches the latent moments. Imports `models` and the floors below it.
"""
