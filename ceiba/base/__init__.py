"""Base: what every room stands on.
Takes       nothing of Ceiba.        Gives   errors, specs, keyed randomness, safe files, optional packages, progress.
May touch   the standard library, numpy, pydantic, PyYAML.   Never   torch, data, models.
To add one  think twice: a thing used by one room belongs to that room."""
