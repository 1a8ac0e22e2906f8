"""Recipe: the contents page of Ceiba.
Takes       YAML or plain values; later a look at the data.   Gives   Recipe: strict, frozen, and in the end complete.
May touch   the specs of all rooms below.                     Never   tensors, training, files of results.
To add one  a setting belongs to the room that it configures; nothing is added here."""

from ceiba.recipe.check import check_recipe, json_schema, read_recipe, with_values
from ceiba.recipe.complete import answers_of, complete, model_spec, output_layouts, thresholds_of
from ceiba.recipe.origin import known_fields, origin_of
from ceiba.recipe.space import applies, check_space, default_space, in_order
from ceiba.recipe.spec import InputSpec, NetworkSpec, OutputSpec, Recipe
from ceiba.recipe.tune import TuneSpec

__all__ = [
    "InputSpec",
    "NetworkSpec",
    "OutputSpec",
    "Recipe",
    "TuneSpec",
    "answers_of",
    "applies",
    "check_recipe",
    "check_space",
    "complete",
    "default_space",
    "in_order",
    "json_schema",
    "known_fields",
    "model_spec",
    "origin_of",
    "output_layouts",
    "read_recipe",
    "thresholds_of",
    "with_values",
]
