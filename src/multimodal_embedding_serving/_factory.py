"""Names → handlers."""

from multimodal_embedding_serving._model_handler import ModelHandler
from multimodal_embedding_serving._wanted import asked, reference_of
from polyvec.dialects.mmes import by_family
from polyvec.models._registry import alias_groups


def get_model_handler(
    model_id: str | None = None,
    device: str | None = None,
    ov_models_dir: str | None = None,
    use_openvino: bool | None = None,  # noqa: FBT001 - the original's signature
) -> ModelHandler:
    """A handler whose model is not loaded yet.

    Args:
        model_id: One of `list_available_models` with or without its family, a hub id, a folder, or
            ``polyvec-demo``; ``EMBEDDING_MODEL_NAME`` or CLIP/clip-vit-b-16 where there is none.
        device: As OpenVINO calls it; ``EMBEDDING_DEVICE`` or the CPU where there is none.
        ov_models_dir: Where quantised weights are kept; ``EMBEDDING_OV_MODELS_DIR`` otherwise.
        use_openvino: False for exact float32; ``EMBEDDING_USE_OV`` otherwise. OpenVINO computes
            either way.

    Raises:
        ValueError: No model has this name, or a setting cannot be used.
    """
    return ModelHandler(asked(model_id, device, ov_models_dir, use_openvino))


def list_available_models() -> dict[str, list[str]]:
    """Family → names of its models, each model once. ``Family/name`` is an id."""
    return by_family((names[0] for names in alias_groups()), ())


class ModelFactory:
    """The same as functions of a class."""

    create_model = staticmethod(get_model_handler)
    list_models = staticmethod(list_available_models)

    @staticmethod
    def get_default() -> str:
        """The model of who names none."""
        return asked().model_id

    @staticmethod
    def is_model_supported(model_id: str) -> bool:
        """Whether a handler can be had for this name."""
        try:
            reference_of(model_id)
        except ValueError:
            return False
        return True
