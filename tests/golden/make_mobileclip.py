"""Writes mobileclip.json: vectors that timm and open_clip give for the zoo's checkpoints.

Neither library is needed by the tests. To make the file anew, with both installed beside torch and
torchvision: ``python -m tests.golden.make_mobileclip``. It was made with timm 1.0.31 and
open_clip_torch 3.3.0.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import torch
from open_clip.model import CustomTextCLIP
from timm.layers import HybridEmbed, LayerNorm, LayerNorm2d
from timm.models import register_model
from timm.models.fastvit import FastVit, RepConditionalPosEnc, checkpoint_filter_fn
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem

from polyvec.models import _fastvit, mobileclip
from polyvec.models._resolve import resolve
from tests.parity import token_ids
from tests.zoo import mobileclip as zoo

FILE = Path(__file__).with_name("mobileclip.json")
_POSITIONS = partial(RepConditionalPosEnc, spatial_shape=(7, 7))


def _fastvit_of(name: str, **given: object) -> FastVit:
    tower = zoo.TOWERS[name]
    assert isinstance(tower, _fastvit.FastVit)
    stages = tower.stages
    norm = {"norm_layer": partial(LayerNorm2d, eps=1e-5)} if tower.layer_norm else {}
    return FastVit(
        layers=tuple(stage.depth for stage in stages),
        embed_dims=tuple(stage.width for stage in stages),
        mlp_ratios=(3,) * len(stages),
        se_downsamples=tuple(stage.squeezes for stage in stages),
        pos_embs=tuple(_POSITIONS if stage.attends else None for stage in stages),
        token_mixers=tuple("attention" if stage.attends else "repmixer" for stage in stages),
        lkc_use_act=True,
        stem_use_scale_branch=not tower.layer_norm,
        num_classes=given["num_classes"],
        global_pool=given["global_pool"],
        **norm,
    )


def _vit_of(name: str, **given: object) -> VisionTransformer:
    tower = zoo.TOWERS[name]
    assert isinstance(tower, mobileclip.Vit)
    kinds = {"num_classes": given["num_classes"], "global_pool": given["global_pool"]}
    sizes = {"embed_dim": tower.width, "depth": tower.depth, "num_heads": tower.heads}
    if not tower.has_conv_stem:
        norm = partial(LayerNorm, eps=tower.layer_norm_eps)
        stem = {"patch_size": tower.patch_size, "pre_norm": True, "norm_layer": norm}
        return VisionTransformer(img_size=zoo.SIDE, **stem, **sizes, **kinds)
    part = tower.width // 4
    backbone = ConvStem(
        channels=(part, part, tower.width),
        stride=(4, 2, 2),
        kernel_size=(4, 2, 2),
        padding=0,
        act_layer=torch.nn.GELU,
    )
    embed = partial(HybridEmbed, backbone=backbone, proj=False)
    stem = {"patch_size": 1, "no_embed_class": True, "embed_layer": embed}
    return VisionTransformer(img_size=zoo.SIDE, **stem, **sizes, **kinds)


def _register(name: str) -> None:
    def entry(pretrained: bool = False, **given: object) -> torch.nn.Module:  # noqa: FBT001, FBT002
        return (_vit_of if name.startswith("vit") else _fastvit_of)(name, **given)

    entry.__name__ = name
    entry.__module__ = __name__
    register_model(entry)


def _vectors(kind: zoo.Kind) -> dict[str, list[list[float]]]:
    config = zoo.model_config(kind)
    genuine = CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).eval()
    reference = zoo.Reference(kind)
    if kind.folded:
        for module in genuine.modules():
            if hasattr(module, "reparameterize"):
                module.reparameterize()
    genuine.load_state_dict(reference.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        ids = token_ids(resolve(str(zoo.make(Path(folder), kind))))
    with torch.inference_mode():
        images = genuine.encode_image(torch.from_numpy(zoo.pixels()))
        texts = genuine.encode_text(torch.from_numpy(zoo.filled(ids)))
    return {"images": _rounded(images), "texts": _rounded(texts)}


def _rounded(rows: torch.Tensor) -> list[list[float]]:
    return [[float(f"{number:.7g}") for number in row] for row in rows.tolist()]


def _check_apple_names(kind: zoo.Kind) -> None:
    """Hold the zoo's Apple names to what timm makes of them."""
    reference = zoo.Reference(kind)
    theirs = zoo.apple_names(zoo.published(reference))
    genuine = _fastvit_of(kind.tower, num_classes=zoo.EMBED_DIM, global_pool="avg")
    genuine.load_state_dict(checkpoint_filter_fn(theirs, genuine))


def main() -> None:
    """Write the file."""
    for name, tower in zoo.TOWERS.items():
        mobileclip.IMAGE_TOWERS[name] = tower
        _register(name)
    _check_apple_names(zoo.S0)
    made = {name: _vectors(kind) for name, kind in zoo.KINDS.items()}
    FILE.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
