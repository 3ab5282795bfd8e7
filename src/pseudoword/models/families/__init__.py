"""One file for each kind of base model: how it reads, encodes, denoises and draws."""
