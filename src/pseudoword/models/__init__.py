"""A frozen base model: finding and loading it (`base_model`, `loading`), what each kind does
(`families`), putting rows into its text encoders (`injection`), its noise schedule, drawing with it
(`generation`), and whether a concept fits it (`compatibility`).

Imports `formats`, `config` and the ground floor; never a method.
"""
