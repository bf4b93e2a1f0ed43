"""What clients of Multimodal Embedding Serving rely on: shapes, statuses, texts, sources."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.e2e.clips import bars, clip, png
from tests.e2e.drawings import drawing
from tests.e2e.mmes import (
    DIMENSIONS,
    NAME,
    Mmes,
    manifest,
    nearest,
    picture,
    text_of,
    video_base64,
    video_file,
)
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e

NUMBERS = (3, 500, 77)


@pytest.fixture(scope="session")
def service(original: Mmes) -> Mmes:
    """The shared server, with three numbered pictures in its folder."""
    for number in NUMBERS:
        (original.root / f"{number}.png").write_bytes(png(bars(number)))
    return original


@pytest.fixture(scope="session")
def pictured(service: Mmes) -> np.ndarray:
    """Vectors of the numbered pictures."""
    return np.stack([service.vectors(picture(bars(number))) for number in NUMBERS])


def entry(number: int, **more: Any) -> dict[str, Any]:
    """One frame of a manifest."""
    return {
        "frame_number": number,
        "timestamp": number / 30,
        "type": "full_frame",
        "image_path": f"{number}.png",
        **more,
    }


# Shapes.


def test_every_type_has_the_originals_shape(service: Mmes) -> None:
    clip_url = service.web.url("/bars.mp4")
    frames = [picture(bars(3)), {"type": "image_url", "image_url": service.web.url("/77.png")}]
    listed = manifest(service.root, "shape.json", {"frames": [entry(n) for n in NUMBERS]})
    data = (service.root / "bars.mp4").read_bytes()
    two = {"num_frames": 2}
    flat, pair = (DIMENSIONS,), (2, DIMENSIONS)
    shapes: list[tuple[dict[str, Any], tuple[int, ...]]] = [
        ({"type": "text", "text": "a red circle"}, flat),
        ({"type": "text", "text": ""}, flat),
        ({"type": "text", "text": ["a red circle"]}, (1, DIMENSIONS)),
        ({"type": "text", "text": ["a", "b"]}, pair),
        ({"type": "text", "text": []}, (0,)),
        ({"type": "image_url", "image_url": service.web.url("/3.png")}, flat),
        (picture(bars(3)), flat),
        ({"type": "image_file", "image_path": "3.png"}, flat),
        ({"type": "video_frames", "video_frames": frames}, pair),
        ({"type": "video_frames", "video_frames": frames[:1]}, (1, DIMENSIONS)),
        ({"type": "video_url", "video_url": clip_url, "segment_config": two}, pair),
        (video_base64(data, **two), pair),
        (video_file("bars.mp4", **two), pair),
        (video_file("bars.mp4", num_frames=1), (1, DIMENSIONS)),
        (listed, (3, DIMENSIONS)),
    ]
    for value, shape in shapes:
        found = service.vectors(value)
        assert found.shape == shape, value["type"]
        assert np.linalg.norm(found.reshape(-1, DIMENSIONS), axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("given", ["float", "base64", "zzz"])
def test_any_encoding_format_gives_numbers(service: Mmes, given: str) -> None:
    answer = service.answer({"type": "text", "text": "x"}, encoding_format=given)
    assert all(isinstance(value, float) for value in answer["embedding"])


def test_fields_that_nobody_knows_change_nothing(service: Mmes) -> None:
    plain = service.answer({"type": "text", "text": "x"})
    value = {"type": "text", "text": "x", "image": 5}
    assert service.answer(value, user="me", dimensions=4, foo={}) == plain


# Statuses and texts.


def test_what_the_server_is_has_the_originals_answers(service: Mmes) -> None:
    def get(path: str) -> Any:
        return service.http.get(path).json()

    assert get("/health") == {"status": "healthy"}
    models = get("/model/list")
    assert get("/models").items() >= models.items()
    assert models == {
        "current_model": NAME,
        "available_models": {
            "MobileCLIP": [f"mobileclip_{size}" for size in ("s0", "s1", "s2", "b", "blt")],
            "CLIP": [f"clip-vit-{size}" for size in ("b-32", "b-16", "l-14", "h-14")],
            "CN-CLIP": [f"cn-clip-vit-{size}" for size in ("b-16", "l-14", "h-14")],
            "SigLIP": [
                f"siglip2-{size}" for size in ("vit-b-16", "vit-l-16", "so400m-patch16-384")
            ],
            "Blip2": ["blip2_transformers"],
            "QwenText": [f"qwen3-embedding-{size}" for size in ("0.6b", "4b", "8b")],
        },
        "total_models": 19,
    }
    current = get("/model/current")
    assert (current["model"], current["device"], current["use_openvino"]) == (NAME, "CPU", True)
    assert get("/model/capabilities") == {
        "model": NAME,
        "modalities": ["image", "text"],
        "supports_text": True,
        "supports_image": True,
        "supports_video": True,
    }


MISMATCH = (
    "Model mismatch: requested model 'CLIP/clip-vit-b-32' does not match the currently loaded "
    f"model '{NAME}'. Please use the correct model name or restart the server with the desired "
    "model."
)


@pytest.mark.parametrize(
    "value",
    [{"type": "text", "text": "x"}, {"type": "nope", "text": "x"}, video_file("nope.mp4")],
    ids=["text", "unknown type", "missing video"],
)
def test_another_model_is_the_first_thing_refused(service: Mmes, value: dict[str, Any]) -> None:
    assert service.refusal(value, 400, model="CLIP/clip-vit-b-32") == MISMATCH


@pytest.mark.parametrize("name", ["clip-vit-b-16", "CLIP/CLIP-ViT-B-16"])
def test_a_name_without_its_family_or_in_another_case_is_understood(
    service: Mmes, name: str
) -> None:
    assert service.post({"type": "text", "text": "x"}, model=name).status_code == 200


def test_an_unknown_type_has_the_originals_text(service: Mmes) -> None:
    assert service.refusal({"type": "hologram", "text": "x"}, 400) == "Invalid input type"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (picture(bars(1)), "Image inputs are not supported by the active model"),
        (video_file("a.mp4"), "Video inputs are not supported by the active model"),
        (
            {"type": "frames_batch", "frames_manifest_path": "a.json"},
            "Video inputs are not supported by the active model",
        ),
        (
            {"type": "video_frames", "video_frames": [picture(bars(1))]},
            "Video inputs are not supported by the active model",
        ),
    ],
    ids=["image", "video", "manifest", "frames"],
)
def test_a_text_model_refuses_the_rest_in_the_originals_words(
    minilm_server: ServerProcess, value: dict[str, Any], detail: str
) -> None:
    body = {"model": "minilm", "input": value}
    answer = httpx2.post(f"{minilm_server.url}/embeddings", json=body, trust_env=False)
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"type": "text", "image_url": "http://127.0.0.1/"}, ["text"]),
        ({"type": "image_base64", "text": "x"}, ["image_base64"]),
        ({"type": "video_file", "video_path": "bars.mp4"}, ["segment_config"]),
        ({**video_file("bars.mp4"), "segment_config": None}, ["segment_config"]),
        ({"type": "text", "text": 5}, ["text"]),
        ({"type": "video_frames", "video_frames": "x"}, ["video_frames"]),
    ],
)
def test_fields_that_do_not_fit_the_type_are_named(
    service: Mmes, value: dict[str, Any], place: list[str]
) -> None:
    (detail,) = service.refusal(value)
    assert detail["loc"] == ["body", "input", *place]
    assert set(detail) == {"type", "loc", "msg"}


def test_an_error_does_not_repeat_what_was_sent(service: Mmes) -> None:
    images = [text_of(b"\0" * 200_000)] * 2
    answer = service.post({"type": "image_base64", "image_base64": images})
    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (video_file("nope.mp4"), "'nope.mp4'"),
        (video_file("/etc/hostname"), "'/etc/hostname'"),
        (video_file("../secret.mp4"), "'../secret.mp4'"),
        ({"type": "frames_batch", "frames_manifest_path": "nope.json"}, "'nope.json'"),
        ({"type": "image_file", "image_path": "nope.png"}, "'nope.png'"),
    ],
)
def test_a_file_that_is_not_there_is_404(service: Mmes, value: dict[str, Any], text: str) -> None:
    detail = service.refusal(value, 404)
    assert detail.startswith("File not found: ")
    assert text in detail


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "file reference must be a non-empty string"),
        ("a.exe", "Unsupported local artifact extension: .exe"),
        ("a\0.mp4", "Null bytes are not allowed in local artifact references"),
    ],
)
def test_a_path_that_can_be_none_has_the_originals_text(
    service: Mmes, path: str, said: str
) -> None:
    (detail,) = service.refusal(video_file(path))
    assert detail["msg"] == f"Value error, {said}"


# Pictures.


def spelled(mode: str, kind: str) -> bytes:
    """A coloured picture in one of the image library's modes."""
    source = drawing("a red circle", 96)
    if mode == "I;16":
        grey = np.asarray(source.convert("L"), np.uint16) * 257
        made = Image.fromarray(grey)
    elif mode in {"LA", "RGBA"}:
        made = source.convert(mode)
        made.putalpha(source.convert("L"))
    else:
        made = source.convert(mode)
    file = io.BytesIO()
    made.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *((mode, "PNG") for mode in ("RGB", "P", "L", "LA", "RGBA", "1", "I;16")),
        *((mode, "JPEG") for mode in ("RGB", "L", "CMYK")),
        *((mode, "WEBP") for mode in ("RGB", "RGBA")),
        ("CMYK", "TIFF"),
        ("RGB", "BMP"),
        ("P", "GIF"),
    ],
)
def test_a_picture_has_one_vector_however_it_comes(service: Mmes, mode: str, kind: str) -> None:
    data = spelled(mode, kind)
    (service.root / "mode").write_bytes(data)
    sent = service.vectors({"type": "image_base64", "image_base64": text_of(data)})
    for value in (
        {"type": "image_url", "image_url": service.web.url("/mode")},
        {"type": "image_file", "image_path": "mode"},
    ):
        assert np.abs(service.vectors(value) - sent).max() <= 1e-5
    if mode in {"RGB", "P", "CMYK"}:
        plain = service.vectors(picture(np.asarray(drawing("a red circle", 96))))
        assert sent @ plain > 0.95  # the colours of a palette and of print are near


def test_a_photograph_is_turned_as_its_camera_says(service: Mmes) -> None:
    lying = np.asarray(drawing("a green triangle", 96))
    tags = Image.Exif()
    tags[0x0112] = 6  # to be turned a quarter to the right
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(lying))).save(file, "PNG", exif=tags)
    value = {"type": "image_base64", "image_base64": text_of(file.getvalue())}
    assert service.vectors(value) @ service.vectors(picture(lying)) > 0.9999


def folded(text: str) -> str:
    return "\r\n".join(text[place : place + 76] for place in range(0, len(text), 76))


def test_base64_is_understood_in_all_its_forms(service: Mmes) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = png(noise)
    text = text_of(data)
    assert {"+", "/"} <= set(text)
    urlsafe = base64.urlsafe_b64encode(data).decode()
    sent = service.vectors(picture(noise))
    for spelling in (
        f"data:image/png;base64,{text}",
        f"whatever,{text}",
        folded(text),
        urlsafe,
        urlsafe.rstrip("="),
        text.rstrip("="),
    ):
        found = service.vectors({"type": "image_base64", "image_base64": spelling})
        assert np.abs(found - sent).max() <= 1e-5, spelling[:40]


@pytest.mark.parametrize("kind", ["image_base64", "video_base64"])
@pytest.mark.parametrize(
    "text",
    ["", "abcde", "!!!!", "data:image/png;base64,", text_of(b"no media at all" * 20), "aGk=,", "é"],
)
def test_base64_of_nothing_is_refused_by_its_field(service: Mmes, kind: str, text: str) -> None:
    more = {"segment_config": {}} if kind == "video_base64" else {}
    detail = service.refusal({"type": kind, kind: text, **more})
    assert detail.startswith(f"Invalid input data: input.{kind}: ")


# URLs.


@pytest.mark.parametrize("hops", [1, 3])
def test_a_few_redirects_are_followed(service: Mmes, hops: int) -> None:
    url = service.web.url(f"/hops/{hops}/3.png")
    found = service.vectors({"type": "image_url", "image_url": url})
    assert found @ service.vectors(picture(bars(3))) > 0.9999
    url = service.web.url(f"/hops/{hops}/bars.mp4")
    value = {"type": "video_url", "video_url": url, "segment_config": {"num_frames": 2}}
    assert service.vectors(value).shape == (2, DIMENSIONS)


def test_urls_that_are_not_fetched_tell_nothing_apart(service: Mmes) -> None:
    web = service.web
    urls = [
        web.url("/nope.png"),
        web.url("/hops/4/3.png"),
        web.url("/3.png", host="127.0.0.9"),
        "http://10.0.0.1/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/a.png",
        "http://no-such-host.invalid/a.png",
        "http://127.0.0.1:1/a.png",
    ]
    said = {service.refusal({"type": "image_url", "image_url": url}) for url in urls}
    assert len(said) == 1
    said = {
        service.refusal({"type": "video_url", "video_url": url, "segment_config": {}})
        for url in urls
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/a.png",
        "http://me:secret@127.0.0.1/a.png",
        "http://",
        "3.png",
        "",
    ],
)
def test_what_is_no_web_address_is_refused(service: Mmes, url: str) -> None:
    detail = service.refusal({"type": "image_url", "image_url": url})
    assert detail.startswith("Invalid input data: input.image_url: ")
    assert "secret" not in detail


# Files.


def test_a_file_may_be_named_in_every_known_way(service: Mmes) -> None:
    folder = service.root / "deeper"
    folder.mkdir(exist_ok=True)
    data = (service.root / "bars.mp4").read_bytes()
    (folder / "bars").write_bytes(data)
    wanted = service.vectors(video_file("bars.mp4", num_frames=2))
    for path in (
        "  bars.mp4 ",
        str(service.root / "bars.mp4"),
        "deeper/bars",
        str(folder / "bars"),
        (service.root / "bars.mp4").as_uri(),
    ):
        assert np.abs(service.vectors(video_file(path, num_frames=2)) - wanted).max() <= 1e-5


# Manifests.


def test_a_manifest_of_pictures_gives_one_vector_for_each_entry(
    service: Mmes, pictured: np.ndarray
) -> None:
    absolute = entry(77, image_path=str(service.root / "77.png"), detected_label="cat")
    more = {
        "type": "detected_crop",
        "is_detected_crop": True,
        "detection_confidence": 0.5,
        "crop_bbox": [0, 0, 10.4, 12],
        "crop_index": 0,
        "frame_interval": 15,
    }
    # Not in order, and one frame twice: rows follow the manifest, as its writer expects.
    frames = [entry(500, **more), absolute, entry(3), entry(500)]
    value = manifest(service.root, "pictures.json", {"frames": frames, "video_metadata": {}})
    found = service.vectors(value)
    assert nearest(found, pictured) == [1, 2, 0, 1]
    answer = service.answer(value, include=["frames"])
    assert [frame["index"] for frame in answer["frames"]] == [500, 77, 3, 500]
    assert "skipped" not in answer


def test_pictures_that_cannot_be_read_are_reported(service: Mmes, pictured: np.ndarray) -> None:
    (service.root / "broken.png").write_bytes(png(bars(9))[:60])
    frames = [
        entry(1, image_path="gone.png"),
        entry(3),
        entry(4, image_path="broken.png"),
        entry(5, image_path=None),
        entry(77),
    ]
    answer = service.answer(manifest(service.root, "gaps.json", {"frames": frames}))
    assert nearest(np.array(answer["embedding"], np.float32), pictured) == [0, 2]
    assert [skipped["entry"] for skipped in answer["skipped"]] == [0, 2, 3]
    assert all(skipped["reason"] for skipped in answer["skipped"])


def test_a_manifest_of_a_video_gives_its_numbered_frames(service: Mmes) -> None:
    alone = service.vectors(video_file("bars.mp4", frame_indexes=[3, 10, 250]))
    frames = [entry(number, image_path=None) for number in (250, 10, 10, 3)]
    for path in ("bars.mp4", str(service.root / "bars.mp4")):
        value = manifest(service.root, "video.json", {"frames": frames, "video_path": path})
        answer = service.answer(value, include=["frames"])
        assert [frame["index"] for frame in answer["frames"]] == [3, 10, 250]
        assert np.abs(np.array(answer["embedding"]) - alone).max() <= 1e-5


def test_a_manifest_with_its_own_map_gives_the_pictures_of_its_entries(
    service: Mmes, pictured: np.ndarray
) -> None:
    entries = [
        entry(n, image_path=str(service.root / f"{n}.png"), merged_boxes_count=2)
        for n in (77, 3, 500)
    ]
    content = {
        "frames": entries[:1],
        "video_path": str(service.root / "bars.mp4"),
        "total_metadata_entries": 3,
        "frame_metadata_map": {"77": [0]},
        "all_frame_metadata": [*entries, {**entries[0], "context_expansion_applied": True}],
    }
    value = manifest(service.root, "own-map.json", content)
    assert nearest(service.vectors(value), pictured) == [2, 0, 1, 2]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("{oops", "Invalid JSON in manifest file: Expecting property name"),
        (
            {"frames": [{"frame_number": 1, "type": "full_frame"}]},
            "1 validation error for FramesManifest\nframes.0.timestamp\n  Field required",
        ),
        ({"frames": []}, "Invalid manifest structure: 1 validation error"),
        ([], "Invalid manifest structure: "),
        ({"frames": [entry(1, image_path=None)]}, "No valid frame images found in manifest"),
        ({"frames": [entry(1)]}, "No valid frame images found in manifest"),
        (
            {"total_metadata_entries": 0, "frame_metadata_map": {}, "all_frame_metadata": []},
            "No valid images found in optimized manifest",
        ),
        (
            {"frames": [entry(3), entry(1, image_path="/etc/hostname")]},
            "Path outside allowed directory: /etc/hostname",
        ),
        ({"frames": [entry(400)], "video_path": "bars.mp4"}, "frame indexes"),
    ],
    ids=[
        *("JSON", "field", "empty", "list", "no path", "no file", "own map", "outside", "number"),
    ],
)
def test_a_manifest_that_is_wrong_is_422_and_says_why(
    service: Mmes, content: Any, detail: str
) -> None:
    said = service.refusal(manifest(service.root, "wrong.json", content))
    assert said.startswith("Invalid input data: ")
    assert detail in said


@pytest.mark.parametrize("path", ["nope.mp4", "/etc/hostname", "../bars.mp4"])
def test_a_manifest_of_a_video_that_is_not_there_is_refused(service: Mmes, path: str) -> None:
    content = {"frames": [entry(1)], "video_path": path}
    answer = service.post(manifest(service.root, "gone.json", content))
    assert answer.status_code in {404, 422}
    assert str(service.root) not in answer.text


# Clients.


def test_the_search_service_reads_what_it_expects(service: Mmes) -> None:
    """Wraps an answer that begins with a number, and probes with a list of one."""

    def embed(text: str | list[str]) -> list[list[float]]:
        body = {
            "model": NAME,
            "input": {"type": "text", "text": text},
            "encoding_format": "float",
        }
        answer = httpx2.post(f"{service.server.url}/embeddings", json=body, trust_env=False)
        answer.raise_for_status()
        found = answer.json()["embedding"]
        return [found] if isinstance(found[0], (int, float)) else found

    assert len(embed(["probe_text"])[0]) == DIMENSIONS
    assert [len(row) for row in embed("a query")] == [DIMENSIONS]
    documents = [f"document {number}" for number in range(5)]
    rows = embed(documents)
    assert rows == [embed([document])[0] for document in documents] or np.allclose(
        rows, [embed([document])[0] for document in documents], atol=1e-5
    )


def test_the_data_preparation_reads_its_dimension_off_a_string(service: Mmes) -> None:
    answer = service.answer({"type": "text", "text": "test"})
    assert len(answer["embedding"]) == DIMENSIONS
    crop = service.answer({"type": "image_file", "image_path": str(service.root / "3.png")})
    assert len(crop["embedding"]) == DIMENSIONS


def test_the_data_preparation_gets_a_vector_for_each_entry_of_its_manifest(
    service: Mmes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = service.root / "dataprep" / "run-1"
    folder.mkdir(parents=True)
    entries = []
    for number in range(40):
        file = folder / f"frame_{number}.png"
        file.write_bytes(png(bars(number)))
        entries.append(entry(number, image_path=str(file), detected_label=None))
    content = {
        "frames": entries,
        "video_path": str(service.root / "bars.mp4"),
        "total_metadata_entries": len(entries),
        "frame_metadata_map": {str(number): [number] for number in range(40)},
        "all_frame_metadata": entries,
    }
    manifest(folder, "frames_manifest.json", content)
    path = str(folder / "frames_manifest.json")
    rows = service.vectors({"type": "frames_batch", "frames_manifest_path": path})
    alone = np.stack([service.vectors(picture(bars(number))) for number in (0, 17, 39)])
    assert rows.shape == (40, DIMENSIONS)
    assert nearest(alone, rows) == [0, 17, 39]


def test_the_milvus_indexer_gets_a_crop_at_a_time(service: Mmes) -> None:
    """A picture in each request, ten seconds for it, from eight threads."""
    numbers = [1, 2, 4, 8, 16, 32, 64, 128, 256] * 2

    def embed(number: int) -> list[float]:
        body = {"model": NAME, "input": picture(bars(number)), "encoding_format": "float"}
        url = f"{service.server.url}/embeddings"
        answer = httpx2.post(url, json=body, timeout=10, trust_env=False)
        found: list[float] = answer.json()["embedding"]
        return found

    with ThreadPoolExecutor(8) as pool:
        rows = np.array(list(pool.map(embed, numbers)), np.float32)
    assert nearest(rows, rows[:9]) == [*range(9), *range(9)]


def test_the_evaluation_of_the_original_gets_a_list_of_vectors(service: Mmes) -> None:
    url = service.web.url("/bars.mp4")
    value = {"type": "video_url", "video_url": url, "segment_config": {"num_frames": 16}}
    assert service.vectors(value).shape == (16, DIMENSIONS)


def test_two_clips_are_told_apart(service: Mmes) -> None:
    """The point of it all: the same video has the same vectors, another one has others."""
    rows = [service.vectors(video_base64(clip(frames=[bars(n)] * 4))) for n in (3, 500, 3)]
    assert np.abs(rows[0] - rows[2]).max() <= 1e-5
    assert (rows[0] * rows[1]).sum(axis=1).max() < 0.999


def test_nothing_of_the_folder_is_changed(service: Mmes) -> None:
    before = sorted(path.name for path in Path(service.root).iterdir())
    service.vectors(video_file("bars.mp4", num_frames=1))
    assert sorted(path.name for path in Path(service.root).iterdir()) == before
