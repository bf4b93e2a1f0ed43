"""Rules of this code base that no linter knows."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/polyvec"
MODULES = sorted(PACKAGE.rglob("*.py"))
SDK = sorted((ROOT / "src/multimodal_embedding_serving").rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc"}

# Modules without a test file of their own, each with the reason. A file that goes from here to its
# own tests must be taken off the list.
TESTED_ELSEWHERE = {
    "__init__.py": "the version; test_public_api.py",
    "__main__.py": "one line; every process that tests/e2e starts runs it",
    "backends/_base.py": "protocols and data only; every backend's tests use them",
    "backends/_export_folder.py": "cli/test_export.py",
    "backends/_masks.py": "families/test_encoders.py, at every distance",
    "backends/_openvino_build.py": "backends/test_parity.py, through every graph",
    "backends/_openvino_calibrate.py": "backends/test_quantized.py",
    "backends/_openvino_device.py": "backends/test_openvino.py and backends/test_quantized.py",
    "backends/_openvino_export.py": "cli/test_export.py",
    "backends/_openvino_ops.py": "backends/test_parity.py holds every op to the reference",
    "backends/_openvino_padded.py": "cli/test_export.py",
    "backends/_openvino_prebuilt.py": "backends/test_prebuilt.py",
    "backends/_openvino_text.py": "tests/families hold every op to the reference",
    "backends/_openvino_tokenizer.py": "cli/test_export.py",
    "backends/_openvino_weights.py": "backends/test_quantized.py and backends/test_parity.py",
    "backends/_outputs.py": "families/test_heads.py",
    "backends/_parameters.py": "backends/test_parity.py: nothing is right if weights are not",
    "backends/_sample_texts.py": "data only; backends/test_precision.py looks at it",
    "backends/_torch_ops.py": "backends/test_parity.py runs every case on both backends",
    "backends/_torch_text.py": "tests/families run every case on both backends",
    "backends/_transformers_class.py": "backends/test_transformers.py",
    "backends/_transformers_convert.py": "backends/test_transformers.py",
    "backends/_transformers_eager.py": "backends/test_transformers.py",
    "backends/torch.py": "backends/test_parity.py runs every case on both backends",
    "checkpoints/adapter_folders.py": "families/test_adapter_folders.py",
    "checkpoints/cl100k/__init__.py": "checkpoints/test_cl100k.py",
    "checkpoints/control_tokens.py": "checkpoints/test_chat_template.py, through templates",
    "checkpoints/jinja_sandbox.py": "checkpoints/test_chat_template.py holds it to transformers",
    "checkpoints/registered_templates.py": "checkpoints/test_chat_template.py renders them",
    "checkpoints/template_conversation.py": "checkpoints/test_chat_template.py, through templates",
    "checkpoints/template_syntax.py": "checkpoints/test_chat_template.py, through templates",
    "checkpoints/mobileclip.py": "families/test_mobileclip.py",
    "checkpoints/open_clip.py": "families/test_clip_layouts.py",
    "checkpoints/ovms_graph.py": "backends/test_prebuilt.py",
    "checkpoints/pair_encoding.py": "families/test_heads.py",
    "checkpoints/static_embedding.py": "families/test_heads.py",
    "checkpoints/text_cleaning.py": "families/test_clip_layouts.py",
    "checkpoints/token_spans.py": "engine/test_tokenizing.py",
    "cli/__init__.py": "cli/test_cli.py",
    "cli/_flags.py": "cli/test_cli.py",
    "cli/config.py": "cli/test_cli.py",
    "cli/models.py": "cli/test_cli.py",
    "cli/serve.py": "cli/test_cli.py and e2e/test_lifecycle.py",
    "config/compose.py": "test_config.py",
    "config/definitions.py": "test_config.py",
    "config/hosting.py": "test_config_hosting.py",
    "config/load.py": "test_config.py",
    "config/mmes.py": "test_config_mmes.py",
    "config/foreign.py": "cli/test_foreign.py",
    "config/foreign_flags.py": "cli/test_foreign.py, every row",
    "config/gather.py": "cli/test_foreign.py",
    "config/variables.py": "test_config_variables.py",
    "config/repository.py": "test_config_repository.py",
    "config/show.py": "test_config.py",
    "config/stamp.py": "test_config_repository.py",
    "config/values.py": "test_config.py",
    "dialects/_cohere/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_infinity/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_jina/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_kserve/infer.py": "dialects/test_kserve.py",
    "dialects/_kserve/tensors.py": "dialects/test_kserve.py",
    "dialects/_kserve/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_mmes/fields.py": "dialects/test_mmes.py",
    "dialects/_mmes/frames.py": "dialects/test_mmes_video.py",
    "dialects/_mmes/input.py": "dialects/test_mmes.py",
    "dialects/_mmes/wire.py": "types only; e2e/test_openapi.py sends what they say",
    "dialects/_ollama/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_number_formats.py": "dialects/test_openai_encoding.py",
    "dialects/_openai/params.py": "dialects/test_openai_embed.py",
    "dialects/_openai/schema.py": "types only",
    "dialects/_openai/wire.py": "dialects/test_openai_input.py and dialects/test_openai_embed.py",
    "dialects/_vllm/schema.py": "types only",
    "dialects/_ovms/requests.py": "dialects/test_ovms.py",
    "dialects/_ovms/wire.py": "types and texts only; dialects/test_ovms.py looks at the texts",
    "dialects/_sglang/info.py": "dialects/test_sglang.py",
    "dialects/_sglang/input.py": "dialects/test_sglang.py",
    "dialects/_sglang/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_plain_error.py": "dialects/test_contract.py, for each dialect that writes it",
    "dialects/_qdrant/input.py": "dialects/test_qdrant.py",
    "dialects/_qdrant/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_tei/replies.py": "dialects/test_tei.py",
    "dialects/_tei/wire.py": "dialects/test_tei.py",
    "dialects/_voyage/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "dialects/_recognise.py": "dialects/test_client_bodies.py",
    "dialects/_weaviate/wire.py": "types only; dialects/test_client_bodies.py sends what they say",
    "engine/decoding.py": "protocols only; every engine test passes one in",
    "engine/finishing.py": "engine/test_engine.py and engine/test_visual.py",
    "engine/flights.py": "engine/test_engine.py: sharing and leaving need the whole engine",
    "engine/frame_reader.py": "engine/test_visual.py, with the threads that read",
    "engine/names.py": "engine/test_local.py",
    "engine/served.py": "data only; engine/test_shelf.py",
    "engine/slot.py": "engine/test_shelf.py: a slot does nothing by itself",
    "engine/pool.py": "engine/test_engine.py: threads need the whole engine",
    "engine/prepare_text.py": "engine/test_prepare.py",
    "engine/worker.py": "engine/test_engine.py: threads need the whole engine",
    "errors.py": "data only; test_contract.py of dialects renders every class",
    "media/connect.py": "media/test_fetch.py, with real connections",
    "media/encoded.py": "media/test_source.py",
    "media/_decoder_answers.py": "media/test_decoders.py: answers need a process that gives them",
    "media/_decoder_pool.py": "media/test_decoders.py: threads need real processes",
    "media/_decoder_process.py": "media/test_decoders.py, which runs it",
    "media/_decoder_wire.py": "media/test_decoders.py, through both its ends",
    "media/_decoder_worker.py": "media/test_decoders.py: it is one real process",
    "media/_frame_pixels.py": "media/test_video.py: colours and turns of decoded frames",
    "media/_packet_index.py": "media/test_video.py: seeks and cuts need real files",
    "media/_video_file.py": "media/test_video.py, with real files",
    "media/_video_frames.py": "media/test_video.py, with real files",
    "media/_video_open.py": "media/test_video.py, with hostile files",
    "media/animation_times.py": "media/test_animation.py",
    "media/frame.py": "data only",
    "media/decoder_options.py": "media/test_decoders.py and test_config.py",
    "media/jpeg.py": "media/test_image.py, through the decoder that asks it",
    "media/patch_grid.py": "families/test_siglip.py, against the reference's own search",
    "media/policy.py": "media/test_image.py, through the decoder that obeys it",
    "media/rgb.py": "media/test_image.py, through the decoder that ends in it",
    "media/signatures.py": "media/test_image.py, through the decoder that asks it",
    "models/_bert_layers.py": "backends/test_parity.py",
    "models/_blocks.py": "backends/test_parity.py",
    "models/_clip_towers.py": "backends/test_parity.py",
    "models/_config.py": "models/test_resolve.py",
    "models/_decoder.py": "families/test_decoders.py",
    "models/_family.py": "data only",
    "models/_heads.py": "families/test_heads.py",
    "models/_late_interaction.py": "families/test_heads.py",
    "models/_model.py": "data only",
    "models/_ops.py": "a protocol; backends/test_parity.py holds both lowerings to it",
    "models/_open_clip.py": "families/test_clip_layouts.py",
    "models/_open_clip_siglip.py": "families/test_siglip.py",
    "models/_padding.py": "families/test_siglip.py",
    "models/_patches.py": "families/test_siglip.py",
    "models/_options.py": "data only; test_config.py compares its defaults",
    "models/_prebuilt.py": "backends/test_prebuilt.py",
    "models/_projections.py": "families/test_heads.py and backends/test_parity.py",
    "models/_jina_adapters.py": "families/test_adapter_folders.py",
    "models/_rerank_templates.py": "families/test_heads.py",
    "models/_resolve_heads.py": "families/test_heads.py",
    "models/_resolve_late.py": "families/test_heads.py",
    "models/_rope.py": "families/test_decoders.py",
    "models/bert.py": "backends/test_parity.py",
    "models/blip2.py": "families/test_blip2.py",
    "models/chinese_clip.py": "families/test_chinese_clip.py",
    "models/clip.py": "backends/test_parity.py",
    "models/decoder.py": "families/test_decoders.py",
    "models/distilbert.py": "families/test_encoders.py",
    "models/gemma.py": "families/test_decoders.py",
    "models/gte.py": "families/test_custom_encoders.py",
    "models/jina_bert.py": "families/test_encoders.py",
    "models/jina_v3.py": "families/test_custom_encoders.py",
    "models/_branches.py": "families/test_mobileclip.py",
    "models/_fastvit.py": "families/test_mobileclip.py",
    "models/_mobileclip_names.py": "families/test_mobileclip.py",
    "models/mobileclip.py": "families/test_mobileclip.py",
    "models/modernbert.py": "families/test_encoders.py",
    "models/mpnet.py": "families/test_encoders.py",
    "models/nomic_bert.py": "families/test_custom_encoders.py",
    "models/siglip.py": "families/test_siglip.py",
    "models/static.py": "families/test_heads.py",
    "models/t5.py": "families/test_encoders.py",
    "server/metrics.py": "server/test_app.py and server/test_run.py",
    "server/middleware.py": "server/test_auth.py and server/test_app.py",
    "server/options.py": "data only; test_config.py compares its defaults",
    "server/routes.py": "server/test_app.py",
    "service.py": "a protocol",
    "tools/export.py": "cli/test_export.py",
    "types/__init__.py": "names only",
    "types/arrays.py": "data only",
    "types/cards.py": "data only",
    "types/inputs.py": "data only",
    "types/requests.py": "data only",
    "types/results.py": "data only",
}


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def has_code(module: Path) -> bool:
    """Whether there is anything in it but docstrings."""
    body = ast.parse(module.read_text()).body
    is_text = [isinstance(getattr(node, "value", None), ast.Constant) for node in body]
    is_bare = [isinstance(node, ast.Expr) for node in body]
    return not all(text and bare for text, bare in zip(is_text, is_bare, strict=True))


def variants(package: str) -> set[str]:
    """Modules of a package that are files of one idea each, not machinery."""
    return {f"polyvec.{package}.{path.stem}" for path in (PACKAGE / package).glob("[a-z]*.py")}


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 50
    assert len(SDK) > 5


@pytest.mark.parametrize("module", [*MODULES, *SDK], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_FILE_LINES
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(module)}
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}


def test_names_say_what_is_inside() -> None:
    stems = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert {stem for stem in stems if set(stem.split("_")) & VAGUE_NAMES} == set()


@pytest.mark.parametrize("package", ["dialects", "models"])
def test_independence_contracts_list_every_variant(package: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    listed = [set(one["modules"]) for one in settings["contracts"] if one["type"] == "independence"]
    assert variants(package) in listed


def test_every_package_is_a_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [one["layers"] for one in settings["contracts"] if one["type"] == "layers"]
    there = {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith(("_", "."))}
    assert there - {"py"} == set(layers)


def mirror_of(module: Path) -> Path:
    """Tests of ``x/_y/z.py``, machinery of ``x/y.py``, are ``x/test_y_z.py``."""
    folders = module.relative_to(PACKAGE).parts[:-1]
    machinery = [folder[1:] for folder in folders if folder.startswith("_")]
    plain = [folder for folder in folders if not folder.startswith("_")]
    name = "_".join(("test", *machinery, module.name.lstrip("_")))
    return ROOT.joinpath("tests", *plain, name)


def test_every_module_with_code_has_its_test_file_or_a_reason() -> None:
    bare = {name_of(one) for one in MODULES if has_code(one) and not mirror_of(one).is_file()}
    assert bare == set(TESTED_ELSEWHERE)


def test_reasons_name_test_files_that_exist() -> None:
    words = " ".join(TESTED_ELSEWHERE.values()).split()
    named = {word.strip(":;,.") for word in words if ".py" in word}
    there = {path.name for path in (ROOT / "tests").rglob("*.py")}
    assert {name for name in named if Path(name).name not in there} == set()
