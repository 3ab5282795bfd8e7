"""From picture files to cached latents.

Which files are pictures, how they are cut, masked and captioned, what is odd about them, and the
latent moments that the VAE makes of them. Imports `models` and the floors below it."""
