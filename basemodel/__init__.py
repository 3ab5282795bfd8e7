"""The recipe of the bundled base model, from artwork to bundle: `python -m basemodel`."""
