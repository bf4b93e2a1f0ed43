"""Convolutions of many branches → one convolution each, folded when a checkpoint is loaded.

Networks of the MobileOne and FastViT kind are trained with several convolutions side by side, each
with a batch normalisation, beside a skip and with learned scales. All of that is linear, so each
such group is one convolution; it is worked out in float64. Files that were folded before they were
published are left as they are.

Names are timm's. Source: https://arxiv.org/abs/2206.04040, https://arxiv.org/abs/2303.14189.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.weights import Weights

Array = NDArray[np.float64]
Conv = tuple[Array, Array]
"""Kernels (C', C / groups, h, w) and what is added to each channel (C',)."""

_BATCH_NORM_EPS = 1e-5


def fold_branches(weights: Weights) -> Weights:
    """Every group of branches, batch normalisation and layer scale in its one convolution.

    A group at ``x`` becomes ``x.reparam_conv``; a convolution ``x.conv`` with its ``x.bn`` keeps
    its name and gets a bias. The kernels of perceptrons on single numbers become matrices.
    """
    sheet = _Sheet(weights)
    for pattern, fold in _FOLDS:
        for match in list(sheet.matching(pattern)):
            fold(sheet, match)
    return sheet.folded()


class _Sheet:
    """Tensors of a checkpoint, of which some are taken and others put in their place."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._made: dict[str, Array] = {}
        self._taken: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._made or (name in self._weights and name not in self._taken)

    def matching(self, pattern: str) -> Iterator[str]:
        """What the pattern's group holds in each name that it matches in full."""
        names = [name for name in self._weights if name not in self._taken]
        for name in [*names, *self._made]:
            found = re.fullmatch(pattern, name)
            if found:
                yield found[1]

    def take(self, name: str) -> Array:
        """A tensor that is not to be seen under this name any more."""
        if name in self._made:
            return self._made.pop(name)
        array = self._weights.float32(name).astype(np.float64)
        self._taken.add(name)
        return array

    def put(self, name: str, array: Array) -> None:
        self._made[name] = array

    def put_conv(self, name: str, conv: Conv) -> None:
        self.put(f"{name}.weight", conv[0])
        self.put(f"{name}.bias", conv[1])

    def folded(self) -> Weights:
        made = {name: array.astype(np.float32) for name, array in self._made.items()}
        return self._weights.joined(made, instead_of=self._taken) if made else self._weights


# Batch normalisation.


def _affine(sheet: _Sheet, name: str) -> tuple[Array, Array]:
    """A batch normalisation as the factor and the shift of each channel."""
    scale = sheet.take(f"{name}.weight") / np.sqrt(
        sheet.take(f"{name}.running_var") + _BATCH_NORM_EPS
    )
    return scale, sheet.take(f"{name}.bias") - sheet.take(f"{name}.running_mean") * scale


def _conv_norm(sheet: _Sheet, name: str) -> Conv:
    """``name.conv`` and the normalisation ``name.bn`` after it."""
    kernels = sheet.take(f"{name}.conv.weight")
    scale, shift = _affine(sheet, f"{name}.bn")
    if f"{name}.conv.bias" in sheet:
        shift = shift + sheet.take(f"{name}.conv.bias") * scale
    return kernels * scale[:, None, None, None], shift


def _skip_norm(sheet: _Sheet, name: str, shape: tuple[int, ...]) -> Conv:
    """A skip with the normalisation ``name``, as kernels of a shape."""
    scale, shift = _affine(sheet, name)
    return _identity(shape) * scale[:, None, None, None], shift


def _identity(shape: tuple[int, ...]) -> Array:
    """Kernels that leave every channel as it is."""
    made, taken, height, width = shape
    kernels = np.zeros(shape)
    channels = np.arange(made)
    kernels[channels, channels % taken, height // 2, width // 2] = 1
    return kernels


def _sum(first: Conv, second: Conv) -> Conv:
    """One convolution for two, of which the second may have smaller kernels."""
    (large, shift), (small, other) = first, second
    margins = [
        ((full - part) // 2,) * 2 for full, part in zip(large.shape, small.shape, strict=True)
    ]
    return large + np.pad(small, margins), shift + other


# Groups of branches.


def _mobile_one(sheet: _Sheet, at: str) -> Conv:
    """Convolutions side by side, one with kernels of one number, and a skip."""
    conv = _conv_norm(sheet, f"{at}.conv_kxk.0")
    more = 1
    while f"{at}.conv_kxk.{more}.conv.weight" in sheet:
        conv = _sum(conv, _conv_norm(sheet, f"{at}.conv_kxk.{more}"))
        more += 1
    if f"{at}.conv_scale.conv.weight" in sheet:
        conv = _sum(conv, _conv_norm(sheet, f"{at}.conv_scale"))
    if f"{at}.identity.weight" in sheet:
        conv = _sum(conv, _skip_norm(sheet, f"{at}.identity", conv[0].shape))
    return conv


def _fold_mixer(sheet: _Sheet, at: str) -> None:
    """``x + scale * (mixer(x) - norm(x))``."""
    kernels, shift = _mobile_one(sheet, f"{at}.mixer")
    skipped, other = _skip_norm(sheet, f"{at}.norm.identity", kernels.shape)
    kernels, shift = kernels - skipped, shift - other
    if f"{at}.layer_scale.gamma" in sheet:
        scale = sheet.take(f"{at}.layer_scale.gamma").reshape(-1)
        kernels, shift = kernels * scale[:, None, None, None], shift * scale
    sheet.put_conv(f"{at}.reparam_conv", (kernels + _identity(kernels.shape), shift))


def _fold_mobile_one(sheet: _Sheet, at: str) -> None:
    sheet.put_conv(f"{at}.reparam_conv", _mobile_one(sheet, at))


def _fold_large_kernel(sheet: _Sheet, at: str) -> None:
    """A convolution with large kernels beside one with small ones."""
    conv = _conv_norm(sheet, f"{at}.large_conv")
    if f"{at}.small_conv.conv.weight" in sheet:
        conv = _sum(conv, _conv_norm(sheet, f"{at}.small_conv"))
    sheet.put_conv(f"{at}.reparam_conv", conv)


def _fold_position(sheet: _Sheet, at: str) -> None:
    """``x + pos_enc(x)``."""
    kernels, shift = sheet.take(f"{at}.pos_enc.weight"), sheet.take(f"{at}.pos_enc.bias")
    sheet.put_conv(f"{at}.reparam_conv", (kernels + _identity(kernels.shape), shift))


def _fold_conv_norm(sheet: _Sheet, at: str) -> None:
    sheet.put_conv(f"{at}.conv", _conv_norm(sheet, at))


# Around attention and perceptrons.


def _fold_attention_norm(sheet: _Sheet, at: str) -> None:
    """A batch normalisation before the projections of queries, keys and values."""
    scale, shift = _affine(sheet, f"{at}.norm")
    name = f"{at}.token_mixer.qkv"
    matrix = sheet.take(f"{name}.weight")
    bias = sheet.take(f"{name}.bias") if f"{name}.bias" in sheet else 0
    sheet.put(f"{name}.weight", matrix * scale)
    sheet.put(f"{name}.bias", matrix @ shift + bias)


def _scaling(last: str, layer: str) -> Callable[[_Sheet, str], None]:
    """Folds the layer scale ``last`` into the layer before it."""

    def fold(sheet: _Sheet, at: str) -> None:
        scale = sheet.take(f"{at}.{last}.gamma").reshape(-1)
        weight = sheet.take(f"{at}.{layer}.weight")
        by_row = scale.reshape(-1, *(1,) * (weight.ndim - 1))
        sheet.put(f"{at}.{layer}.weight", weight * by_row)
        sheet.put(f"{at}.{layer}.bias", sheet.take(f"{at}.{layer}.bias") * scale)

    return fold


def _flatten(sheet: _Sheet, name: str) -> None:
    """Kernels of one number on rows → a matrix; kernels along texts → one row per channel."""
    array = sheet.take(f"{name}.weight")
    sheet.put(f"{name}.weight", array.reshape(len(array), -1))


_FOLDS: tuple[tuple[str, Callable[[_Sheet, str], None]], ...] = (
    (r"(.*)\.mixer\.conv_kxk\.0\.conv\.weight", _fold_mixer),
    (r"(.*)\.conv_kxk\.0\.conv\.weight", _fold_mobile_one),
    (r"(.*)\.large_conv\.conv\.weight", _fold_large_kernel),
    (r"(.*)\.pos_enc\.weight", _fold_position),
    (r"(.*)\.bn\.running_mean", _fold_conv_norm),
    (r"(.*)\.norm\.running_mean", _fold_attention_norm),
    (r"(.*)\.layer_scale_1\.gamma", _scaling("layer_scale_1", "token_mixer.proj")),
    (r"(.*)\.layer_scale_2\.gamma", _scaling("layer_scale_2", "mlp.fc2")),
    (r"(.*)\.layer_scale\.gamma", _scaling("layer_scale", "mlp.fc2")),
    (r"(.*\.se\.fc[12])\.weight", _flatten),
    (r"(text\..*(?:reparam_conv|\.conv|\.mlp\.fc[12]))\.weight", _flatten),
)
"""In this order: what an earlier one takes, a later one does not see."""
