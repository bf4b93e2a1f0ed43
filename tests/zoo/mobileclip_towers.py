"""The towers of MobileCLIP written out in torch, with every branch they are trained with.

Names are those of timm and open_clip.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from polyvec.models._fastvit import FastVit, Stage
from polyvec.models.mobileclip import Vit

EMBED_DIM = 24
SIDE = 64
TEXT = {"context_length": 20, "vocab_size": 200, "width": 32, "heads": 4, "layers": 2}

# Image towers, with timm's names.


class ConvNorm(nn.Module):
    def __init__(
        self, taken: int, made: int, kernel: int | tuple[int, int], stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(taken, made, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class Squeeze(nn.Module):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // ratio, 1)
        self.fc2 = nn.Conv2d(width // ratio, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        row = self.fc1(x.mean((2, 3), keepdim=True)).relu()
        return x * self.fc2(row).sigmoid()


class Branches(nn.Module):
    """MobileOne's block."""

    def __init__(
        self,
        taken: int,
        made: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        groups: int = 1,
        *,
        count: int = 1,
        scales: bool = True,
        squeezes: bool = False,
    ) -> None:
        super().__init__()
        first = kernel if isinstance(kernel, int) else kernel[0]
        self.conv_kxk = nn.ModuleList(
            ConvNorm(taken, made, kernel, stride, groups) for _ in range(count)
        )
        self.conv_scale = (
            ConvNorm(taken, made, 1, stride, groups) if first > 1 and scales and count else None
        )
        self.identity = nn.BatchNorm2d(taken) if taken == made and stride == 1 else None
        self.se = Squeeze(made, 16) if squeezes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [branch(x) for branch in self.conv_kxk]
        parts += [branch(x) for branch in (self.conv_scale, self.identity) if branch is not None]
        return self.se(sum(parts))


class Folded(nn.Module):
    """A block as files hold it that were folded before they were published."""

    def __init__(
        self,
        taken: int,
        made: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        scales: bool = True,
        squeezes: bool = False,
    ) -> None:
        super().__init__()
        self.reparam_conv = nn.Conv2d(taken, made, kernel, stride, kernel // 2, groups=groups)
        self.se = Squeeze(made, 4 if kernel == 7 else 16) if squeezes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.se(self.reparam_conv(x))


class LargeKernel(nn.Module):
    def __init__(self, taken: int, made: int, *, squeezes: bool) -> None:
        super().__init__()
        self.large_conv = ConvNorm(taken, made, 7, 2, taken)
        self.small_conv = ConvNorm(taken, made, 3, 2, taken)
        self.se = Squeeze(made, 4) if squeezes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.se(self.large_conv(x) + self.small_conv(x))


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class RepMixer(nn.Module):
    def __init__(self, width: int, kernel: int | tuple[int, int]) -> None:
        super().__init__()
        self.norm = Branches(width, width, kernel, groups=width, count=0)
        self.mixer = Branches(width, width, kernel, groups=width)
        self.layer_scale = Scale(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer_scale(self.mixer(x) - self.norm(x))


class ConvMlp(nn.Module):
    def __init__(self, width: int, kernel: int | tuple[int, int]) -> None:
        super().__init__()
        self.conv = ConvNorm(width, width, kernel, groups=width)
        self.fc1 = nn.Conv2d(width, width * 3, 1)
        self.fc2 = nn.Conv2d(width * 3, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(self.conv(x))))


class MixingBlock(nn.Module):
    def __init__(
        self,
        width: int,
        kernel: int | tuple[int, int] = 3,
        mlp_kernel: int | tuple[int, int] = 7,
        *,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.token_mixer = (
            Folded(width, width, 3, groups=width) if folded else RepMixer(width, kernel)
        )
        self.mlp = ConvMlp(width, mlp_kernel)
        self.layer_scale = Scale(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.token_mixer(x)
        return x + self.layer_scale(self.mlp(x))


class ChannelNorm(nn.LayerNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class MapAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (part.unflatten(-1, (-1, 32)) for part in self.qkv(tokens).chunk(3, -1))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / 32**0.5
        out = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)
        return self.proj(out).transpose(1, 2).reshape(x.shape)


class AttendingBlock(nn.Module):
    def __init__(self, width: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.norm = ChannelNorm(width) if layer_norm else nn.BatchNorm2d(width)
        self.token_mixer = MapAttention(width)
        self.layer_scale_1, self.layer_scale_2 = Scale(width), Scale(width)
        self.mlp = ConvMlp(width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.layer_scale_1(self.token_mixer(self.norm(x)))
        return x + self.layer_scale_2(self.mlp(x))


class Positions(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_enc = nn.Conv2d(width, width, 7, padding=3, groups=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.pos_enc(x)


class Downsample(nn.Module):
    def __init__(self, taken: int, made: int, *, squeezes: bool, folded: bool) -> None:
        super().__init__()
        first = (
            Folded(taken, made, 7, 2, taken, squeezes=squeezes)
            if folded
            else LargeKernel(taken, made, squeezes=squeezes)
        )
        self.proj = nn.ModuleList([first, (Folded if folded else Branches)(made, made, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.proj[1](F.gelu(self.proj[0](x))))


class StageBlocks(nn.Module):
    def __init__(self, taken: int | None, stage: Stage, *, layer_norm: bool, folded: bool) -> None:
        super().__init__()
        width = stage.width
        self.downsample = (
            nn.Identity()
            if taken is None
            else Downsample(taken, width, squeezes=stage.squeezes, folded=folded)
        )
        positions = Folded(width, width, 7, groups=width) if folded else Positions(width)
        self.pos_emb = positions if stage.attends else nn.Identity()
        self.blocks = nn.Sequential(
            *(
                AttendingBlock(width, layer_norm=layer_norm)
                if stage.attends
                else MixingBlock(width, folded=folded)
                for _ in range(stage.depth)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.pos_emb(self.downsample(x)))


class Projection(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, EMBED_DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean((2, 3)))


class FastVitTower(nn.Module):
    def __init__(self, tower: FastVit, *, folded: bool = False) -> None:
        super().__init__()
        block: Any = Folded if folded else Branches
        widths = [stage.width for stage in tower.stages]
        scales = not tower.layer_norm
        self.stem = nn.ModuleList(
            [
                block(3, widths[0], 3, 2, scales=scales),
                block(widths[0], widths[0], 3, 2, widths[0], scales=scales),
                block(widths[0], widths[0], 1),
            ]
        )
        self.stages = nn.Sequential(
            *(
                StageBlocks(taken, stage, layer_norm=tower.layer_norm, folded=folded)
                for taken, stage in zip([None, *widths], tower.stages, strict=False)
            )
        )
        last = widths[-1]
        self.final_conv = block(last, 2 * last, 3, 1, last, squeezes=True)
        self.head = Projection(2 * last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.stem:
            x = F.gelu(block(x))
        return self.head(F.gelu(self.final_conv(self.stages(x))))


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(attended(*self.qkv(x).chunk(3, -1), self.heads))


class TwoLayers(nn.Module):
    def __init__(self, width: int, names: tuple[str, str]) -> None:
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.Linear(width, 4 * width))
        self.add_module(names[1], nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up, down = (self.get_submodule(name) for name in self.names)
        return down(F.gelu(up(x)))


class VitLayer(nn.Module):
    def __init__(self, tower: Vit) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(tower.width, eps=tower.layer_norm_eps)
        self.norm2 = nn.LayerNorm(tower.width, eps=tower.layer_norm_eps)
        self.attn = SelfAttention(tower.width, tower.heads)
        self.mlp = TwoLayers(tower.width, ("fc1", "fc2"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ConvStem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // 4
        first, second, third = nn.Module(), nn.Module(), nn.Module()
        first.conv, first.bn = nn.Conv2d(3, part, 4, 4, bias=False), nn.BatchNorm2d(part)
        second.conv, second.bn = nn.Conv2d(part, part, 2, 2, bias=False), nn.BatchNorm2d(part)
        third.conv = nn.Conv2d(part, width, 2, 2)
        self.backbone = nn.ModuleList([first, second, third])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.backbone[:2]:
            x = F.gelu(step.bn(step.conv(x)))
        return self.backbone[2].conv(x)


class PatchStem(nn.Module):
    def __init__(self, tower: Vit) -> None:
        super().__init__()
        side = tower.patch_size
        self.proj = nn.Conv2d(3, tower.width, side, side, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x)


class VitTower(nn.Module):
    def __init__(self, tower: Vit) -> None:
        super().__init__()
        patches = (SIDE // tower.patch_size) ** 2
        width = tower.width
        self.tower = tower
        self.patch_embed = ConvStem(width) if tower.has_conv_stem else PatchStem(tower)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        places = patches + (not tower.has_conv_stem)
        self.pos_embed = nn.Parameter(torch.zeros(1, places, width))
        if not tower.has_conv_stem:
            self.norm_pre = nn.LayerNorm(width, eps=tower.layer_norm_eps)
        self.blocks = nn.Sequential(*(VitLayer(tower) for _ in range(tower.depth)))
        self.norm = nn.LayerNorm(width, eps=tower.layer_norm_eps)
        self.head = nn.Linear(width, EMBED_DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        first = self.cls_token.expand(len(x), 1, -1)
        if self.tower.has_conv_stem:
            x = torch.cat([first, x + self.pos_embed], 1)
        else:
            x = self.norm_pre(torch.cat([first, x], 1) + self.pos_embed)
        return self.head(self.norm(self.blocks(x))[:, 0])


def attended(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *, causal: bool = False
) -> torch.Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores + torch.full(scores.shape[-2:], float("-inf")).triu(1)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


# The text tower, with open_clip's names.


class FusedAttention(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        return self.out_proj(attended(q, k, v, self.heads, causal=self.causal))


class TextLayer(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = FusedAttention(width, heads, causal=causal)
        self.mlp = TwoLayers(width, ("c_fc", "c_proj"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class ConvolvingTextLayer(MixingBlock):
    """S0's first and last layer: what images have, along one axis."""

    def __init__(self, width: int) -> None:
        super().__init__(width, (1, 11), (1, 11))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        as_map = x.transpose(1, 2)[:, :, None]
        return super().forward(as_map)[:, :, 0].transpose(1, 2)


class TextTower(nn.Module):
    def __init__(self, *, causal: bool, convolves: bool) -> None:
        super().__init__()
        width, heads = TEXT["width"], TEXT["heads"]
        layers: list[nn.Module] = [
            TextLayer(width, heads, causal=causal) for _ in range(TEXT["layers"])
        ]
        if convolves:
            layers = [ConvolvingTextLayer(width), *layers, ConvolvingTextLayer(width)]
        self.token_embedding = nn.Embedding(TEXT["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.zeros(TEXT["context_length"], width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, EMBED_DIM))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(ids) + self.positional_embedding
        x = self.ln_final(self.transformer.resblocks(x))
        return x[torch.arange(len(ids)), ids.argmax(1)] @ self.text_projection
