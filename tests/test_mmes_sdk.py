"""The SDK of Multimodal Embedding Serving, used as its known applications use it."""

import asyncio
import base64
import functools
import gc
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import multimodal_embedding_serving as sdk
from multimodal_embedding_serving import _tensors, _wanted
from multimodal_embedding_serving._shared import shared_model
from multimodal_embedding_serving._wanted import asked, wanted
from polyvec.offline import Embedder
from tests.e2e.process import environment
from tests.zoo import decoders

D = 128
FORMER = ("EMBEDDING_MODEL_NAME", "EMBEDDING_DEVICE", "EMBEDDING_USE_OV", "EMBEDDING_OV_MODELS_DIR")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FORMER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Any]:
    handler = sdk.get_model_handler("polyvec-demo", use_openvino=False)
    handler.load_model()
    yield handler
    handler.embedder.close()


@pytest.fixture
def application(loaded: Any) -> Any:
    return sdk.EmbeddingModel(loaded)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tensors, "has_torch", lambda: False)


def colour(*rgb: int, size: tuple[int, int] = (40, 30)) -> PIL.Image.Image:
    return PIL.Image.new("RGB", size, rgb)


def encoded(first: PIL.Image.Image, *rest: PIL.Image.Image) -> bytes:
    file = io.BytesIO()
    if rest:
        first.save(file, "GIF", save_all=True, append_images=list(rest), duration=500)
    else:
        first.save(file, "PNG")
    return file.getvalue()


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


FRAMES = [colour(10, 0, 90), colour(120, 0, 90), colour(230, 0, 90), colour(0, 200, 0)]
CLIP = encoded(*FRAMES)


# Imports, names and settings.


def test_importing_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, multimodal_embedding_serving as sdk\n"
        "heavy = {'numpy', 'openvino', 'torch', 'PIL', 'tokenizers', 'transformers', 'av'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert sdk.__version__\n"
        "handler = sdk.get_model_handler('polyvec-demo')\n"
        "assert handler.supports_text() and not {'openvino', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=100)


def test_it_is_found_where_the_original_has_it() -> None:
    from multimodal_embedding_serving.src import EmbeddingModel
    from multimodal_embedding_serving.src.models import get_model_handler, list_available_models

    assert EmbeddingModel is sdk.EmbeddingModel
    assert get_model_handler is sdk.get_model_handler
    assert list_available_models is sdk.list_available_models
    assert all(hasattr(sdk, name) for name in sdk.__all__)
    assert not hasattr(sdk, "no_such_name")


def test_models_are_listed_by_family_in_the_originals_order() -> None:
    found = sdk.list_available_models()
    assert list(found) == ["MobileCLIP", "CLIP", "CN-CLIP", "SigLIP", "Blip2", "QwenText"]
    assert "clip-vit-b-16" in found["CLIP"]
    assert len(found["Blip2"]) == 1  # which has two names
    assert sdk.ModelFactory.list_models() == found


@pytest.mark.parametrize("name", ["", "no-such-model", "SigLIP/siglip-vit-b-16", "a/b/c", "CLIP/"])
def test_an_unknown_name_is_a_value_error(name: str) -> None:
    assert not sdk.ModelFactory.is_model_supported(name)
    if name:
        with pytest.raises(ValueError, match="not found"):
            sdk.get_model_handler(name)


def test_every_listed_name_is_supported_with_and_without_its_family() -> None:
    for family, names in sdk.list_available_models().items():
        for name in names:
            assert sdk.ModelFactory.is_model_supported(f"{family}/{name}")
            assert sdk.ModelFactory.is_model_supported(name.upper())


def test_a_model_that_cannot_be_had_is_a_runtime_error(tmp_path: Path) -> None:
    handler = sdk.get_model_handler(str(tmp_path))
    with pytest.raises(RuntimeError, match="Failed to load model"):
        handler.load_model()


def test_who_names_no_model_gets_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sdk.ModelFactory.get_default() == "CLIP/clip-vit-b-16"
    monkeypatch.setenv("EMBEDDING_MODEL_NAME", "polyvec-demo")
    assert sdk.ModelFactory.get_default() == "polyvec-demo"
    assert sdk.get_model_handler().model_config["model_name"] == "polyvec-demo"


def test_settings_come_from_the_call_and_then_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBEDDING_DEVICE", "GPU")
    monkeypatch.setenv("EMBEDDING_USE_OV", "false")
    monkeypatch.setenv("EMBEDDING_OV_MODELS_DIR", "/of/environment")
    plain = wanted(asked("CLIP/clip-vit-b-16"))
    assert (plain.device.device, plain.device.dtype) == ("GPU", "float32")
    assert plain.device.cache_dir == "/of/environment"
    said = wanted(asked("clip-vit-b-16", "CPU", "/of/call", use_openvino=True))
    assert (said.device.device, said.device.dtype) == ("CPU", "auto")
    assert said.device.cache_dir == "/of/call"
    assert said.reference == plain.reference == "CLIP/clip-vit-b-16"
    monkeypatch.setenv("POLYVEC_DTYPE", "int8")
    assert wanted(asked("polyvec-demo", use_openvino=False)).device.dtype == "int8"


def test_the_caller_may_open_what_the_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    media = wanted(asked("polyvec-demo")).media
    assert (media.urls, media.roots) == ("public", ("/",))
    assert media.limit_video_bytes > 1 << 32
    monkeypatch.setenv("POLYVEC_LIMIT_VIDEO", "1MiB")
    monkeypatch.setenv("POLYVEC_MMES", "1")
    media = wanted(asked("polyvec-demo")).media
    assert (media.limit_video_bytes, media.roots) == (1 << 20, ("/",))


def test_a_setting_that_cannot_be_used_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_NUM_FRAMES", "many")
    with pytest.raises(ValueError, match="DEFAULT_NUM_FRAMES"):
        sdk.get_model_handler("polyvec-demo")


# Handlers.


def test_a_handler_answers_before_its_model_is_loaded() -> None:
    handler = sdk.get_model_handler("polyvec-demo", device="CPU", ov_models_dir="/tmp/m-unused")
    assert handler.supports_text()
    assert handler.supports_image()
    assert handler.supports_video()
    assert handler.supported_modalities == {"text", "image"}
    assert (handler.get_embedding_dim(), handler.get_max_text_tokens()) == (D, 77)
    assert (handler.device, handler.ov_models_dir) == ("CPU", "/tmp/m-unused")
    assert handler.model_config["use_openvino"] is handler.use_openvino is True
    assert handler.model is handler.tokenizer is handler.preprocess is None
    with pytest.raises(RuntimeError, match="Call load_model"):
        handler.encode_text("a")
    assert not sdk.EmbeddingModel(handler).check_health()


def test_handlers_of_one_configuration_share_the_model(loaded: Any) -> None:
    again = sdk.get_model_handler("polyvec-demo", use_openvino=False)
    assert again.model is loaded.model
    again.load_model()
    assert again.model is loaded.model
    assert sdk.get_model_handler("polyvec-demo", use_openvino=True).model is None


def test_a_model_goes_with_its_last_handler() -> None:
    found = shared_model(wanted(asked("polyvec-demo", ov_models_dir="/tmp/m-other")))
    found.load()
    embedder = found.embedder
    del found
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "polyvec-sdk-close":
            thread.join()
    assert isinstance(embedder, Embedder)
    assert not embedder._thread.is_alive()


@pytest.mark.parametrize("has_torch", [True, False])
def test_a_process_that_never_closes_anything_ends_quietly(*, has_torch: bool) -> None:
    program = (
        "import sys\n"
        f"if not {has_torch}: sys.modules['torch'] = None\n"
        "from multimodal_embedding_serving import EmbeddingModel, get_model_handler\n"
        "handler = get_model_handler('polyvec-demo')\n"
        "handler.load_model()\n"
        "EmbeddingModel(handler).embed_query('a red circle')\n"
        "name = type(handler.encode_text('a red circle')).__name__\n"
        f"assert name == ('Tensor' if {has_torch} else 'ArrayTensor'), name\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("kind", [torch.Tensor, _tensors.ArrayTensor], ids=["torch", "numpy"])
def test_vectors_go_through_the_applications_chains(
    kind: type, loaded: Any, request: pytest.FixtureRequest
) -> None:
    if kind is not torch.Tensor:
        request.getfixturevalue("without_torch")
    # Retrievers hand the whole list to their database, indexers its first row.
    queries = loaded.encode_text("a red circle")
    assert type(queries) is kind
    (row,) = queries.cpu().numpy().tolist()
    assert len(row) == D
    assert type(row[0]) is float
    assert loaded.encode_image(FRAMES[0]).cpu().numpy().tolist()[0] != row
    # Data preparation converts whatever it is given, row by row.
    found = loaded.encode_image(FRAMES, metrics_out=True)
    rows = [one.detach().cpu().numpy().tolist() for one in found["embeddings"]]
    assert [len(one) for one in rows] == [D] * 4
    assert found["processed_images"] == 4
    assert found["inference_time_s"] > 0
    # A video is normalised once more.
    vectors = loaded.encode_image(FRAMES)
    assert isinstance(vectors, kind)
    again = vectors / vectors.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(again.tolist(), rows, atol=1e-6)
    assert len(vectors) == 4
    assert tuple(vectors.shape) == tuple(vectors.size()) == (4, D)
    assert len(vectors[0].tolist()) == D


def test_an_array_stands_in_for_a_tensor() -> None:
    values = np.array([[3.0, 4.0], [6.0, 8.0]], np.float32)
    ours, theirs = _tensors.tensor(values, as_torch=False), _tensors.tensor(values, as_torch=True)
    for call in (
        lambda one: one.norm(dim=-1),
        lambda one: one.norm(dim=-1, keepdim=True),
        lambda one: one.norm(dim=0, p=1),
        lambda one: one.norm(),
        lambda one: one.to("cpu").float().detach(),
        lambda one: one.unsqueeze(0),
        lambda one: one / one.norm(dim=-1, keepdim=True),
        lambda one: next(iter(one)),
    ):
        np.testing.assert_allclose(call(ours).tolist(), call(theirs).tolist(), rtol=1e-6)
        assert isinstance(call(ours), _tensors.ArrayTensor)
    assert ours.size() == (2, 2)
    assert (ours.size(0), ours.dim()) == (theirs.size(0), theirs.dim())
    assert type(ours.numpy()) is np.ndarray
    values[0, 0] = 0
    assert ours[0, 0] == theirs[0, 0] == 3


def test_pictures_may_be_anything_that_is_one(loaded: Any) -> None:
    first = loaded.encode_image(FRAMES[1])
    same = [FRAMES[1], np.asarray(FRAMES[1]), encoded(FRAMES[1]), FRAMES[1].convert("RGBA")]
    for found in (loaded.encode_image(same), *(loaded.encode_image(one) for one in same)):
        np.testing.assert_allclose(found, first.expand_as(found), atol=1e-6)
    stack = np.stack([np.asarray(frame) for frame in FRAMES])
    np.testing.assert_allclose(loaded.encode_image(stack), loaded.encode_image(FRAMES), atol=1e-6)
    assert tuple(loaded.encode_image([]).shape) == tuple(loaded.encode_text([]).shape) == (0, D)


def test_what_is_no_input_is_a_type_error(loaded: Any) -> None:
    with pytest.raises(TypeError, match=r"images\[1\] must be"):
        loaded.encode_image([FRAMES[0], "cat.png"])
    with pytest.raises(TypeError, match="must be a str"):
        loaded.encode_text(["a", 1])


def test_a_picture_is_preprocessed_as_the_model_reads_it(loaded: Any) -> None:
    pixels = loaded.preprocess_image(FRAMES[0])
    assert isinstance(pixels, torch.Tensor)
    assert pixels.ndim == 3
    assert pixels.shape[0] == 3
    np.testing.assert_array_equal(pixels, loaded.preprocess(np.asarray(FRAMES[0])))
    (ids,) = loaded.tokenizer.encode(["a red circle"])
    assert len(ids) > 3


def test_many_threads_get_each_its_own_vectors(loaded: Any) -> None:
    texts = [f"{number} red circles" for number in range(24)]
    pictures = [colour(10 * number, 0, 90) for number in range(24)]
    alone = loaded.encode_text(texts), loaded.encode_image(pictures)

    def ask(number: int) -> tuple[Any, Any]:
        size = number % 3 + 1
        chosen = slice(number, number + size)
        return loaded.encode_text(texts[chosen]), loaded.encode_image(pictures[chosen])

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(24)))
    for number, pair in enumerate(found):
        for mine, whole in zip(pair, alone, strict=True):
            expected = whole[number : number + number % 3 + 1]
            np.testing.assert_allclose(mine, expected, atol=1e-5)


# Prompts.


def test_qwens_queries_have_their_instruction_and_a_real_line_break(tmp_path: Path) -> None:
    handler = sdk.get_model_handler(
        str(decoders.make(tmp_path / "qwen", "Qwen3-Embedding")), use_openvino=False
    )
    application = sdk.EmbeddingModel(handler)
    wrapped = handler.prepare_query("hello")
    assert wrapped == (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
        "Query:hello"
    )
    assert handler.prepare_documents(["hello"]) == ["hello"]
    assert not handler.supports_image()
    assert not handler.supports_video()
    handler.load_model()
    plain, asking = application.embed_documents(["hello", wrapped])
    np.testing.assert_allclose(application.embed_query("hello"), asking, atol=1e-6)
    np.testing.assert_allclose(handler.encode_text("hello")[0], plain, atol=1e-6)
    assert not np.allclose(plain, asking, atol=1e-3)
    for call in (handler.encode_image, handler.preprocess_image):
        with pytest.raises(RuntimeError, match="not supported by the active model"):
            call(FRAMES[0])
    with pytest.raises(RuntimeError, match="Image embeddings are not supported"):
        application.get_image_embedding_from_base64(text_of(encoded(FRAMES[0])))
    with pytest.raises(RuntimeError, match="Video embeddings are not supported"):
        application.get_video_embeddings([FRAMES])
    assert application.check_health()
    handler.embedder.close()


def test_texts_get_no_prompt_even_where_the_checkpoint_has_a_default(tmp_path: Path) -> None:
    folder = str(decoders.make(tmp_path / "grit", "GritLM"))
    handler = sdk.get_model_handler(folder, use_openvino=False)
    handler.load_model()
    text = "a red cat"
    with Embedder(folder) as embedder:
        prompted = embedder.texts([text], normalize=True)
        as_query = embedder.texts([text], prompt_name="query", normalize=True)
    found = handler.encode_text(text).numpy()
    assert not np.allclose(found, prompted, atol=1e-3)
    assert not np.allclose(found, as_query, atol=1e-3)
    handler.embedder.close()


# What applications do with a model.


def test_a_search_finds_what_it_asks_for(application: Any) -> None:
    query = application.embed_query("a red circle")
    documents = application.embed_documents(["a blue square", "a red circle"])
    assert len(query) == application.get_embedding_length() == D
    assert np.argmax(np.asarray(documents) @ query) == 1
    assert application.get_supported_modalities() == ["image", "text"]
    assert application.supported_modalities == {"image", "text"}
    assert application.supports_text()
    assert application.supports_image()
    assert application.supports_video()
    assert application.check_health()
    assert application.use_openvino is False
    assert application.device == "CPU"


def test_encoded_pictures_have_the_vectors_of_loaded_ones(application: Any) -> None:
    expected = application.handler.encode_image(FRAMES[2])[0]
    text = text_of(encoded(FRAMES[2]))
    for given in (text, f"data:image/png;base64,{text}"):
        found = application.get_image_embedding_from_base64(given)
        assert type(found[0]) is float
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_picture_that_is_none_is_a_runtime_error(application: Any) -> None:
    with pytest.raises(RuntimeError, match="Failed to get image embedding from base64: image: "):
        application.get_image_embedding_from_base64(text_of(b"no picture"))


def test_frames_of_several_videos_come_in_one_list(application: Any) -> None:
    found = application.get_video_embeddings([FRAMES[:1], [np.asarray(one) for one in FRAMES[1:]]])
    np.testing.assert_allclose(found, application.handler.encode_image(FRAMES), atol=1e-6)
    assert type(found[3][0]) is float
    with pytest.raises(RuntimeError, match="Failed to get video embeddings: "):
        application.get_video_embeddings([["a path"]])


async def test_a_video_has_a_vector_for_each_frame(application: Any, tmp_path: Path) -> None:
    (tmp_path / "clip.bin").write_bytes(CLIP)
    (tmp_path / "link").symlink_to(tmp_path / "clip.bin")
    whole = application.get_video_embedding_from_base64(text_of(CLIP))
    np.testing.assert_allclose(whole, application.get_video_embeddings([FRAMES]), atol=1e-2)
    linked = str(tmp_path / "link")
    found = await application.get_video_embedding_from_file(linked)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    for config, indexes in (
        ({"frame_indexes": [3, 1]}, [1, 3]),
        ({"num_frames": 2}, [0, 2]),
        ({"startOffsetSec": 1, "clip_duration": -1, "num_frames": 0}, [2, 3]),
        ({"extraction_fps": 1, "clip_duration": 1.5}, [0, 2]),
    ):
        found = await application.get_video_embedding_from_file(linked, segment_config=config)
        expected = np.asarray(whole)[indexes]
        np.testing.assert_allclose(found, expected, atol=1e-6)


async def test_the_defaults_of_videos_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEFAULT_NUM_FRAMES", "2")
    handler = sdk.get_model_handler("polyvec-demo")
    handler.load_model()
    found = sdk.EmbeddingModel(handler).get_video_embedding_from_base64(text_of(CLIP))
    assert len(found) == 2
    handler.embedder.close()


async def test_what_is_wrong_with_a_video_is_said_as_the_original_says_it(
    application: Any, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"^Video file not found: nowhere/no\.mp4$"):
        await application.get_video_embedding_from_file("nowhere/no.mp4")
    with pytest.raises(RuntimeError, match=r"from base64: .*segment_config\.num_frames must be"):
        application.get_video_embedding_from_base64(text_of(CLIP), {"num_frames": -1})
    (tmp_path / "no.mp4").write_bytes(b"no video at all")
    with pytest.raises(RuntimeError, match=r"^Failed to get video embedding from file: video: "):
        await application.get_video_embedding_from_file(str(tmp_path / "no.mp4"))


async def test_manifests_name_pictures_or_frames_of_a_video(
    application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, frame in enumerate(FRAMES):
        frame.save(f"{number}.png")
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "clip.gif").write_bytes(CLIP)

    async def embed(**content: Any) -> list[list[float]]:
        (tmp_path / "manifest.json").write_text(json.dumps(content))
        return await application.get_video_embedding_from_frames_manifest("manifest.json")

    def entries(*paths: str) -> list[dict[str, Any]]:
        entry = {"timestamp": 0.0, "type": "full_frame"}
        return [{**entry, "frame_number": n, "image_path": path} for n, path in enumerate(paths)]

    alone = np.asarray(application.get_video_embeddings([FRAMES]))
    found = await embed(frames=entries("0.png", "gone.png", f"{tmp_path}/folder/3.png"))
    np.testing.assert_allclose(found, alone[[0, 3]], atol=1e-6)
    found = await embed(
        frames=entries("0.png"),
        video_path="clip.gif",
        total_metadata_entries=2,
        frame_metadata_map={},
        all_frame_metadata=entries("1.png", "2.png"),
    )
    np.testing.assert_allclose(found, alone[[1, 2]], atol=1e-6)
    found = await embed(frames=entries("", "", "")[1:], video_path="folder/clip.gif")
    video = application.get_video_embedding_from_base64(text_of(CLIP))
    np.testing.assert_allclose(found, np.asarray(video)[[1, 2]], atol=1e-6)


async def test_what_is_no_manifest_is_a_value_error(application: Any, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    embed = functools.partial(application.get_video_embedding_from_frames_manifest, str(file))
    with pytest.raises(FileNotFoundError, match=r"^Frames manifest file not found: "):
        await embed()
    for text, message in (
        ("{", "Invalid JSON in manifest file"),
        ("[1]", "Invalid manifest structure"),
        ('{"frames": []}', "Invalid manifest structure"),
        ('{"frames": [{"frame_number": 0, "timestamp": 0, "type": "full_frame"}]}', "No valid"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            await embed()
    file.write_text(
        '{"video_path": "/no/such.mp4",'
        ' "frames": [{"frame_number": 0, "timestamp": 0, "type": "full_frame"}]}'
    )
    with pytest.raises(RuntimeError, match="Failed to get video embedding from frames manifest: "):
        await embed()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "cat.png").write_bytes(encoded(FRAMES[2]))
    (tmp_path / "clip").write_bytes(CLIP)
    serve = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_urls_are_fetched_without_holding_the_loop_up(
    site: str, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYVEC_ALLOWED_MEDIA_NETWORK", "127.0.0.0/8")
    monkeypatch.setenv("POLYVEC_MEDIA_ALLOWED_PORTS", site.rpartition(":")[2])
    monkeypatch.setenv("POLYVEC_MEDIA_TRUST_ENV_PROXIES", "no")
    handler = sdk.get_model_handler("polyvec-demo", use_openvino=False)
    handler.load_model()
    web = sdk.EmbeddingModel(handler)
    picture, video = await asyncio.gather(
        web.get_image_embedding_from_url(f"{site}/cat.png"),
        web.get_video_embedding_from_url(f"{site}/clip", {"frame_indexes": [0, 3]}),
    )
    np.testing.assert_allclose(picture, application.handler.encode_image(FRAMES[2])[0], atol=1e-6)
    whole = application.get_video_embedding_from_base64(text_of(CLIP))
    np.testing.assert_allclose(video, np.asarray(whole)[[0, 3]], atol=1e-6)
    handler.embedder.close()


async def test_addresses_that_are_not_public_are_refused(site: str, application: Any) -> None:
    with pytest.raises(RuntimeError, match=r"^Failed to get image embedding from URL: image: "):
        await application.get_image_embedding_from_url(f"{site}/cat.png")
    with pytest.raises(RuntimeError, match=r"^Failed to get video embedding from URL: video: "):
        await application.get_video_embedding_from_url(f"{site}/clip")


def test_there_is_nothing_to_convert_for_a_model_of_pictures(loaded: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nothing to convert"):
        loaded.convert_to_openvino(str(tmp_path))


def test_a_text_model_is_written_as_a_graph(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path / "qwen", "Qwen3-Embedding")
    handler = sdk.get_model_handler(str(folder))
    for _ in range(2):  # as the original, over what is there
        found = handler.convert_to_openvino(str(tmp_path / "out"))
    assert found == (None, str(tmp_path / "out/qwen/openvino_model.xml"))
    assert Path(found[1]).is_file()


def test_the_default_model_is_one_that_is_listed() -> None:
    family, _, name = _wanted.DEFAULT_MODEL.partition("/")
    assert name in sdk.list_available_models()[family]
