"""A frozen base model: finding and loading it (`base_model`, `loading`), what each kind does
(`families`), running its text encoders with new rows in them (`reading`), computing with less
memory and less work (`compute`), its noise schedule, drawing with it (`generation`), and whether
a concept fits it (`compatibility`).

Imports `formats`, `config` and the ground floor; never a method.
"""
