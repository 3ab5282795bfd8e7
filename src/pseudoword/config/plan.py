"""What memory is planned for."""

from typing import Annotated, Any, ClassVar, Self

from pseudoword.config.base_choice import SIZES, BaseChoice
from pseudoword.config.fields import OFTEN, Samples, SideOfSquare
from pseudoword.config.method import MethodName
from pseudoword.config.other_trainers.aliases import Alias


class PlanConfig(BaseChoice):
    """What memory is planned for."""

    heading: ClassVar[str] = "Plan"

    sizes: ClassVar = SIZES

    resolution: Annotated[SideOfSquare, OFTEN] = None
    """Side of the pictures in pixels; by default the model's own."""

    batch: Annotated[Samples, OFTEN, Alias("batch_size", "train_batch_size")] = 1
    """Samples per step."""

    method: MethodName = "classic"
    """How the word is to be learned. layered reads each prompt once for each cross-attention layer,
    which takes more."""

    output_embedding: bool = False
    """Whether the word's vectors are to go in after the text encoder: no gradient passes through
    it."""

    @classmethod
    def of(cls, settings: BaseChoice, **changes: Any) -> Self:
        """What is planned for training or drawing with `settings`, which are checked already."""
        shared = {
            name: getattr(settings, name) for name in cls.model_fields if hasattr(settings, name)
        }
        return cls.model_construct(**shared | changes)
