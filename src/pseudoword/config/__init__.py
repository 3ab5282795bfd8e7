"""Settings: typed, checked, written once. The docstring under a field is its help everywhere.

One file per group of settings; `TrainConfig` puts the groups together.
"""

from pseudoword.config.base_choice import BaseChoice, DType, Quantize
from pseudoword.config.bench import BenchConfig, EvaluateConfig
from pseudoword.config.fields import flag
from pseudoword.config.generate import Emphasis, GenerateConfig
from pseudoword.config.load import LoadConfig
from pseudoword.config.optimisation import Hyperparameters
from pseudoword.config.plan import PlanConfig
from pseudoword.config.prepare import PrepareConfig
from pseudoword.config.settings import Settings, group_of
from pseudoword.config.train import TrainConfig
from pseudoword.config.word import InitMode
from pseudoword.config.work import WorkConfig

__all__ = [
    "BaseChoice",
    "BenchConfig",
    "DType",
    "Emphasis",
    "EvaluateConfig",
    "GenerateConfig",
    "Hyperparameters",
    "InitMode",
    "LoadConfig",
    "PlanConfig",
    "PrepareConfig",
    "Quantize",
    "Settings",
    "TrainConfig",
    "WorkConfig",
    "flag",
    "group_of",
]
