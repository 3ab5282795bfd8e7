"""A benchmark that knows the right answer.

The bundled base model has never seen forty concepts and one whole style, but their drawings exist:
so what a learned word *should* look like in another style, place or company is known.
"""
