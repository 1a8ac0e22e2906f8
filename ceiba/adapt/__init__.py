"""Adapt: begin with what another model learnt, and change all of it, a part, or thin matrices beside it.
Takes       a bundle or a Hugging Face folder, a built model.   Gives   the model with those weights, frozen as told.
May touch   model, surgery, families, generate, export, bundle, fields, predict, prepare.   Never   training, recipes.
To add one  write its options in adapt/spec.py, add one line to ADAPT there, and what they mean in adapt/begin.py."""

from ceiba.adapt.adapters import read_adapters
from ceiba.adapt.begin import begin
from ceiba.adapt.merge import merge
from ceiba.adapt.origin import Origin, open_origin
from ceiba.adapt.spec import ADAPT, AdaptSpec, FrozenSpec, FullSpec, LoraSpec
from ceiba.adapt.teach import TeacherSpec, open_teacher, teach

__all__ = [
    "ADAPT",
    "AdaptSpec",
    "FrozenSpec",
    "FullSpec",
    "LoraSpec",
    "Origin",
    "TeacherSpec",
    "begin",
    "merge",
    "open_origin",
    "open_teacher",
    "read_adapters",
    "teach",
]
