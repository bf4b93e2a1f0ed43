"""FastViT: an image tower of convolutions whose last stages attend.

Written for weights with one convolution for each group of branches; see
`polyvec.models._branches`.

Source: https://arxiv.org/abs/2303.14189, timm.models.fastvit.
"""

from dataclasses import dataclass

from polyvec.models._ops import ImageOps, Tensor

_HEAD_WIDTH = 32
_LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks on feature maps of one size.

    Attributes:
        width: Channels.
        depth: Blocks.
        attends: Whether they attend to one another's places rather than to near ones alone.
        squeezes: Whether channels are weighed when the map is made smaller before the stage.
    """

    width: int
    depth: int
    attends: bool = False
    squeezes: bool = False


@dataclass(frozen=True, slots=True)
class FastVit:
    """The geometry of a tower.

    Attributes:
        stages: Each but the first begins with halving the map.
        layer_norm: Whether attention reads layer-normalised tokens, not batch-normalised ones,
            whose normalisation is part of the weights.
    """

    stages: tuple[Stage, ...]
    layer_norm: bool = False

    def num_tokens(self, side: int) -> int:
        """Cost of a picture: places of the map on which most of the blocks run."""
        busiest = max(range(len(self.stages)), key=lambda index: self.stages[index].depth)
        return int((side // (4 << busiest)) ** 2)


def fastvit(ops: ImageOps, tower: FastVit, name: str, head: str, *, side: int) -> Tensor:
    """Pictures → rows: the mean over the last map, projected.

    Args:
        ops: The backend's.
        tower: Its geometry.
        name: Of the tower in the weights.
        head: Of the projection.
        side: Of the picture, in pixels.
    """
    first = tower.stages[0].width
    x = _conv(ops, ops.pixels(), f"{name}.stem.0", stride=2, padding=1)
    x = _conv(ops, ops.activation(x, "gelu"), f"{name}.stem.1", stride=2, padding=1, groups=first)
    x = ops.activation(_conv(ops, ops.activation(x, "gelu"), f"{name}.stem.2"), "gelu")
    height, width = _halved(_halved(side)), first
    for index, stage in enumerate(tower.stages):
        at = f"{name}.stages.{index}"
        if index:
            x = _smaller(ops, x, f"{at}.downsample.proj", width, squeezes=stage.squeezes)
            height, width = _halved(height), stage.width
        if stage.attends:
            x = _conv(ops, x, f"{at}.pos_emb", padding=3, groups=width)
        for block in range(ops.depth(stage.depth)):
            if stage.attends:
                x = _attend(ops, x, f"{at}.blocks.{block}", tower, (width, height))
            else:
                x = _conv(ops, x, f"{at}.blocks.{block}.token_mixer", padding=1, groups=width)
            x = ops.add(x, _mlp(ops, x, f"{at}.blocks.{block}.mlp", width))
    x = _conv(ops, x, f"{name}.final_conv", padding=1, groups=width)
    x = _squeeze(ops, x, f"{name}.final_conv")
    return ops.linear(ops.mean_over_map(ops.activation(x, "gelu")), head)


def _halved(side: int) -> int:
    return (side + 1) // 2


def _conv(
    ops: ImageOps, x: Tensor, at: str, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> Tensor:
    """One group of branches."""
    return ops.conv2d(
        x, f"{at}.reparam_conv", stride=stride, padding=padding, groups=groups, bias=True
    )


def _smaller(ops: ImageOps, x: Tensor, at: str, width: int, *, squeezes: bool) -> Tensor:
    """Halve the map and widen it."""
    x = _conv(ops, x, f"{at}.0", stride=2, padding=3, groups=width)
    x = ops.activation(_squeeze(ops, x, f"{at}.0") if squeezes else x, "gelu")
    return ops.activation(_conv(ops, x, f"{at}.1"), "gelu")


def _squeeze(ops: ImageOps, x: Tensor, at: str) -> Tensor:
    """Weigh the channels by what the whole map holds."""
    row = ops.activation(ops.linear(ops.mean_over_map(x), f"{at}.se.fc1"), "relu")
    return ops.scale_channels(x, ops.activation(ops.linear(row, f"{at}.se.fc2"), "sigmoid"))


def _attend(ops: ImageOps, x: Tensor, at: str, tower: FastVit, size: tuple[int, int]) -> Tensor:
    width, height = size
    tokens = ops.grid_tokens(x)
    if tower.layer_norm:
        tokens = ops.layer_norm(tokens, f"{at}.norm", eps=_LAYER_NORM_EPS)
    q, k, v = (
        ops.linear(
            tokens,
            f"{at}.token_mixer.qkv",
            bias=not tower.layer_norm,
            rows=(part * width, (part + 1) * width),
        )
        for part in range(3)
    )
    out = ops.attention(q, k, v, heads=width // _HEAD_WIDTH)
    out = ops.linear(out, f"{at}.token_mixer.proj")
    return ops.add(x, ops.token_grid(out, height=height))


def _mlp(ops: ImageOps, x: Tensor, at: str, width: int) -> Tensor:
    x = ops.conv2d(x, f"{at}.conv.conv", stride=1, padding=3, groups=width, bias=True)
    x = ops.activation(ops.conv2d(x, f"{at}.fc1", stride=1, bias=True), "gelu")
    return ops.conv2d(x, f"{at}.fc2", stride=1, bias=True)
