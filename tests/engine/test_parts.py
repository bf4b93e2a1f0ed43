"""Inputs of several parts: joined, refused, or fused into one vector."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polyvec.engine.engine import Engine
from polyvec.engine.postprocess import normalized
from polyvec.errors import InvalidInputError, TemplateError, UnsupportedInputError
from polyvec.models._model import Model
from polyvec.types import (
    Bytes,
    Chat,
    Embedding,
    EmbedRequest,
    Image,
    Input,
    Message,
    Part,
    Text,
    Tokens,
    Url,
    Video,
)
from tests.engine.doubles import D, expected_row, ids, make_engine, make_model, png

PICTURE, OTHER = Image(Bytes(png(10))), Image(Bytes(png(20)))
CLIP_WORDS = (
    "CLIP accepts text-only or image-only inputs, not both! You must pass an image with an empty "
    "token prompt."
)


def clip(**changes: Any) -> Model:
    return make_model(family=SimpleNamespace(name="clip", towers={}), **changes)


def chat(*parts: Any, **changes: Any) -> Chat:
    return Chat((Message("user", parts),), **changes)


async def embedded(
    *inputs: tuple[Part, ...], model: Model | None = None, fuse: str = "none", **asked: Any
) -> list[Embedding]:
    items = tuple(Input(parts, f"input[{place}]") for place, parts in enumerate(inputs))
    engine = make_engine(model=model or clip(), fuse=fuse)
    return await run(engine, EmbedRequest(model=None, inputs=items, **asked))


async def run(engine: Engine, request: EmbedRequest) -> list[Embedding]:
    await engine.start()
    try:
        return await engine.embed(request)
    finally:
        await engine.close()


def row_of(*words: int) -> np.ndarray:
    return expected_row(ids(*words))


async def picture_row(picture: Image) -> np.ndarray:
    return (await embedded((picture,)))[0].vector


@pytest.mark.parametrize(
    "parts",
    [
        (Text("w5"), Text("w6")),
        (Text("w5"), Text(""), Text("w6")),
        (chat(Text("w5"), Text("w6")),),
        (Chat((Message("system", (Text("w5"),)), Message("user", (Text("w6"),)))),),
    ],
)
async def test_texts_are_joined_and_read_with_special_tokens(parts: tuple[Part, ...]) -> None:
    (found,) = await embedded(parts)
    np.testing.assert_array_equal(found.vector, row_of(5, 6))
    assert found.num_tokens == 4


async def test_the_prompt_is_put_before_the_joined_text() -> None:
    (found,) = await embedded((Text("w5"), Text("w6")), prompt_name="query")
    np.testing.assert_array_equal(found.vector, row_of(7, 5, 6))


@pytest.mark.parametrize(
    "parts", [(PICTURE, Text("")), (chat(PICTURE),), (chat(Text(""), PICTURE),)]
)
async def test_a_picture_with_no_words_is_the_picture(parts: tuple[Part, ...]) -> None:
    (found,) = await embedded(parts)
    np.testing.assert_array_equal(found.vector, await picture_row(PICTURE))


async def test_inputs_of_all_kinds_keep_their_order() -> None:
    found = await embedded(
        (Text("w5"),), (PICTURE,), (chat(Text("w6")),), (Tokens((9,)),), (Text("w7"), PICTURE),
        (Text("w8"), Text("w9")),
        fuse="mean",
    )  # fmt: skip
    picture = await picture_row(PICTURE)
    expected = [row_of(5), picture, row_of(6), expected_row(np.array([9])), None, row_of(8, 9)]
    for place, row in enumerate(expected):
        if row is not None:
            np.testing.assert_array_equal(found[place].vector, row)
    fused = normalized(np.stack([row_of(7), picture])).mean(0)
    np.testing.assert_allclose(found[4].vector, normalized(fused[None])[0], rtol=1e-6)
    assert [each.num_tokens for each in found] == [3, 0, 3, 1, 3, 4]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Text("w5"), PICTURE), CLIP_WORDS),
        ((chat(PICTURE, Text("w5")),), CLIP_WORDS),
        ((PICTURE, OTHER), "At most 1 image(s) may be provided in one prompt."),
        ((Text("w5"), PICTURE, OTHER), "At most 1 image(s) may be provided in one prompt."),
        ((Video(Bytes(b"a")), Video(Bytes(b"b"))),
         "At most 1 video(s) may be provided in one prompt."),
        ((Text("w5"), Tokens((1,))),
         "input[0] has several parts; they must be texts, pictures and videos"),
    ],
)  # fmt: skip
async def test_parts_that_no_tower_reads_together_are_refused(
    parts: tuple[Part, ...], message: str
) -> None:
    with pytest.raises(UnsupportedInputError) as caught:
        await embedded(parts)
    assert caught.value.message == message
    assert caught.value.param == "input[0]"


async def test_the_refusal_names_the_models_family() -> None:
    model = make_model(family=SimpleNamespace(name="siglip", towers={}))
    with pytest.raises(UnsupportedInputError, match=r"^SigLIP accepts text-only"):
        await embedded((Text("w5"), PICTURE), model=model)


async def test_several_pictures_are_fused_where_the_operator_says_so() -> None:
    (found,) = await embedded((PICTURE, OTHER), fuse="mean")
    rows = normalized(np.stack([await picture_row(PICTURE), await picture_row(OTHER)]))
    np.testing.assert_allclose(found.vector, normalized(rows.mean(0)[None])[0], rtol=1e-6)


async def test_a_video_weighs_as_much_as_a_picture() -> None:
    video = Video(Bytes(b"\x01\x02\xc8"))
    (found,) = await embedded((video, PICTURE), fuse="mean")
    (alone,) = await embedded((video,), normalize=True)
    rows = normalized(np.stack([alone.vector, await picture_row(PICTURE)]))
    np.testing.assert_allclose(found.vector, normalized(rows.mean(0)[None])[0], rtol=1e-6)
    assert found.frames is None


async def test_a_fused_vector_is_cut_after_it_is_made() -> None:
    (whole,) = await embedded((Text("w5"), PICTURE), fuse="mean")
    (cut,) = await embedded((Text("w5"), PICTURE), fuse="mean", dimensions=2)
    (raw,) = await embedded((Text("w5"), PICTURE), fuse="mean", dimensions=2, normalize=False)
    assert whole.vector.shape == (D,)
    np.testing.assert_allclose(cut.vector, normalized(whole.vector[None, :2])[0], rtol=1e-6)
    np.testing.assert_allclose(raw.vector, whole.vector[:2], rtol=1e-6)


async def test_a_fused_input_has_a_dense_vector_only() -> None:
    with pytest.raises(UnsupportedInputError, match="dense vector only"):
        await embedded((Text("w5"), PICTURE), fuse="mean", outputs=("tokens",))


@pytest.mark.parametrize(
    "parts",
    [
        (Image(Url("http://example.com/a.png")),),
        (Text("a"), Image(Url("http://example.com/a.png"))),
        (chat(Text("a"), Video(Url("http://example.com/a.mp4"))),),
    ],
)
async def test_media_on_a_text_model_is_refused_before_it_is_fetched(
    parts: tuple[Part, ...],
) -> None:
    with pytest.raises(UnsupportedInputError, match=r"^checkpoint is not a multimodal model$"):
        await embedded(parts, model=make_model(image=None), fuse="mean")


@pytest.mark.parametrize("parts", [(), (chat(),)])
async def test_an_input_without_content_is_refused(parts: tuple[Part, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"^The decoder prompt cannot be empty$"):
        await embedded(parts)


async def test_parts_count_as_inputs() -> None:
    engine = make_engine(model=clip(), fuse="mean", max_inputs_per_request=2)
    item = Input((PICTURE, OTHER, Text("w5")))
    with pytest.raises(InvalidInputError, match="3 inputs; 1 to 2 are allowed"):
        await run(engine, EmbedRequest(model=None, inputs=(item,)))


UNTRUSTED = (
    "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
    "request with untrusted chat template."
)
TWO_ENDS = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
NO_MESSAGE = "Cannot apply chat template to an empty conversation. Provide at least one message."


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (chat(Text("a"), template="{{ 1 }}"), TemplateError, UNTRUSTED),
        (chat(Text("a"), template_variables={"chat_template": "x"}), TemplateError, UNTRUSTED),
        (chat(Text("a"), add_generation_prompt=True, continue_final_message=True),
         InvalidInputError, TWO_ENDS),
        (Chat(()), InvalidInputError, NO_MESSAGE),
    ],
)  # fmt: skip
async def test_what_no_model_renders_is_refused(
    given: Chat, error: type[InvalidInputError], message: str
) -> None:
    with pytest.raises(error) as caught:
        await embedded((given,))
    assert caught.value.message == message
