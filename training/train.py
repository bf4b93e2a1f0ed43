"""Trains the demo checkpoint from nothing but generated scenes.

``python -m training.train --out DIR`` writes a folder that transformers' ``CLIPModel`` loads. All
randomness comes from fixed seeds: batch ``i`` is the same in every run, whoever draws it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPConfig, CLIPModel

from training.captions import Caption, describe, truths
from training.scenes import (
    FIELD_VALUES,
    IMAGE_SIZE,
    Scene,
    draw_scene,
    encode,
    is_held_out,
    preprocess,
    render,
    vary,
)
from training.tokenizer import END, MAX_LENGTH, build_tokenizer, special_ids, write_tokenizer

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SEED = 20260
MUON_FACTOR = 2.5
"""Muon's learning rate over AdamW's."""
HEADS_WEIGHT = 0.3
"""First weight of the heads' loss; it falls to 0, so that the end is CLIP's loss alone."""

# quick_gelu(x) is x * sigmoid(1.702 x), which is silu(1.702 x) / 1.702. Training uses silu, for
# which torch has a fused kernel (a fifth of the time of a step), and the factor moves into the
# weights around it when they are written.
_TRAINED_ACTIVATION = "silu"
_QUICK_GELU_FACTOR = 1.702


@dataclass
class Batch:
    """One training batch of N scenes.

    Attributes:
        pixels: uint8 ``(N, 3, IMAGE_SIZE, IMAGE_SIZE)``.
        ids: int64 ``(N, L)`` token ids, padded with the end token to the longest caption.
        also_true: bool ``(N, N)``; entry ``[t, s]`` says that caption ``t``, written for another
            scene, is true of scene ``s``. Such pairs are neither positive nor negative.
    """

    pixels: Tensor
    ids: Tensor
    also_true: Tensor
    codes: Tensor
    claims: Tensor


class Batches(Dataset[Batch]):  # type: ignore[misc]  # torch is untyped here
    """Draws training batches; batch ``i`` is a pure function of ``i``."""

    def __init__(
        self, size: int, count: int, *, first: int = 0, near: float = 0.6, counts: float = 0.0
    ) -> None:
        """Sets the sizes.

        Args:
            size: Scenes in a batch.
            count: Batches in all.
            first: Number of the first batch.
            near: Share of the scenes that bring near misses with them, in [0, 1].
            counts: Share of the scenes that are counts beyond those of the usual mixture.
        """
        self._size, self._count, self._first = size, count, first
        self._near, self._counts = near, counts
        self._tokenizer = build_tokenizer()
        self._tokenizer.enable_truncation(MAX_LENGTH)
        end = special_ids(self._tokenizer)[1]
        self._tokenizer.enable_padding(pad_id=end, pad_token=END)

    def __len__(self) -> int:
        """Counts the batches."""
        return self._count

    def __getitem__(self, index: int) -> Batch:
        """Draws one batch.

        Args:
            index: Which batch, from 0.

        Returns:
            The batch.
        """
        rng = random.Random(SEED * 1_000_003 + self._first + index)
        scenes = training_scenes(self._size, rng, self._near, self._counts)
        captions = [describe(scene, rng) for scene in scenes]
        pixels = np.stack([preprocess(render(scene, rng)) for scene in scenes])
        encoded = self._tokenizer.encode_batch([caption.text for caption in captions])
        return Batch(
            torch.from_numpy(pixels),
            torch.tensor([one.ids for one in encoded]),
            torch.from_numpy(_also_true(captions, scenes)),
            torch.tensor([encode(scene) for scene in scenes]),
            torch.tensor([caption.claims[0] for caption in captions]),
        )


def training_scenes(
    count: int, rng: random.Random, near: float = 0.6, counts: float = 0.0
) -> list[Scene]:
    """Draws distinct scenes that are not held out, near misses among them.

    Args:
        count: How many.
        rng: Random stream.
        near: Share of the drawn scenes that bring one to three near misses with them.
        counts: Share of the drawn scenes that are counts beyond those of the usual mixture.

    Returns:
        ``count`` scenes. Many differ from another in a single attribute, because those are the
        negatives that teach order, place and number.
    """
    scenes: dict[Scene, None] = {}
    while len(scenes) < count:
        scene = draw_scene(rng, "count" if counts and rng.random() < counts else None)
        family = [scene]
        if rng.random() < near:
            family += [vary(scene, rng) for _ in range(rng.randint(1, 3))]
        scenes.update((one, None) for one in family if not is_held_out(one))
    return list(scenes)[:count]


def _also_true(captions: list[Caption], scenes: list[Scene]) -> NDArray[np.bool_]:
    codes = np.asarray([encode(scene) for scene in scenes], np.int8)
    table = truths(captions, codes)
    np.fill_diagonal(table, False)
    return table


def build_config(vocabulary: int, start: int, end: int) -> CLIPConfig:
    """Describes the architecture.

    Args:
        vocabulary: Number of tokens.
        start: Id of the start token.
        end: Id of the end token, the highest one; it pads as well.

    Returns:
        The configuration of a CLIP with 2.4 million parameters.
    """
    return CLIPConfig(
        projection_dim=128,
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": 128,
            "intermediate_size": 512,
            "projection_dim": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": MAX_LENGTH,
            "hidden_act": _TRAINED_ACTIVATION,
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={
            "hidden_size": 160,
            "intermediate_size": 640,
            "projection_dim": 128,
            "num_hidden_layers": 5,
            "num_attention_heads": 5,
            "image_size": IMAGE_SIZE,
            "patch_size": 8,
            "hidden_act": _TRAINED_ACTIVATION,
        },
    )


class FieldHeads(nn.Module):  # type: ignore[misc]
    """Reads the fields of the specification off both towers' embeddings, in training only.

    The contrastive loss alone teaches what a batch happens to ask for. Asked for every field by
    name as well, the model reached the same contrastive loss in a quarter to a third fewer steps.
    """

    def __init__(self, width: int) -> None:
        """Creates the heads.

        Args:
            width: Width of the embeddings.
        """
        super().__init__()
        self._sizes = [len(names) + 2 for names in FIELD_VALUES]
        self.image = nn.Linear(width, sum(self._sizes))
        self.text = nn.Linear(width, sum(self._sizes))

    def forward(self, image: Tensor, text: Tensor, batch: Batch) -> Tensor:
        """Computes the loss.

        Args:
            image: float32 ``(N, width)``, not normalised.
            text: float32 of the same shape.
            batch: The scenes and captions they belong to.

        Returns:
            Scalar: cross entropy summed over the fields, mean over the batch and the towers.
        """
        by_image = self._loss(self.image(image), batch.codes)
        return (by_image + self._loss(self.text(text), batch.claims)) / 2

    def _loss(self, scores: Tensor, codes: Tensor) -> Tensor:
        # "No such object" is -2 and "not said" is -1, so the classes start there.
        targets = (codes + 2).unbind(dim=1)
        pairs = zip(scores.split(self._sizes, dim=1), targets, strict=True)
        return torch.stack([nn.functional.cross_entropy(*pair) for pair in pairs]).sum()


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Momentum whose update is orthogonalised, for weight matrices.

    Small transformers are known to learn in fewer steps with it than with AdamW. torch's own
    version works in bfloat16, which processors without such instructions emulate slowly; this one
    stays in float32.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, decay: float = 0.02) -> None:
        """Sets the rates.

        Args:
            params: Two-dimensional parameters.
            lr: Learning rate, on AdamW's scale.
            decay: Decoupled weight decay.
        """
        super().__init__(params, {"lr": lr, "decay": decay})

    def step(self) -> None:
        """Takes one step from the gradients in place."""
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    self._update(weight, group["lr"], group["decay"])

    def _update(self, weight: Tensor, rate: float, decay: float) -> None:
        buffer = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        buffer.lerp_(weight.grad, 0.05)
        update = orthogonalised(weight.grad.lerp(buffer, 0.95))
        weight.mul_(1 - rate * decay)
        # The factor gives the update the size that AdamW's updates have.
        weight.add_(update, alpha=-rate * 0.2 * math.sqrt(max(weight.shape)))


def orthogonalised(matrix: Tensor) -> Tensor:
    """Moves a matrix's singular values to about 1 by a Newton-Schulz iteration.

    Args:
        matrix: float32 of shape ``(rows, columns)``.

    Returns:
        float32 of the same shape.
    """
    turned = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if turned else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if turned else x


def _optimizers(model: CLIPModel, heads: FieldHeads, rate: float) -> list[torch.optim.Optimizer]:
    matrices: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        if ".layers." in name and weight.ndim == 2:
            matrices.append(weight)
        elif "projection" in name or "patch_embedding" in name:
            decayed.append(weight)
        else:
            rest.append(weight)
    rest += heads.parameters()
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-8)
    return [Muon(matrices, lr=MUON_FACTOR * rate), adam]


def _rate_share(step: int, steps: int) -> float:
    """Gives the learning rate's share of its peak: a short rise, then a cosine fall."""
    warm = min(60, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def normalised(pixels: Tensor) -> Tensor:
    """Rescales and normalises as the checkpoint's preprocessor does.

    Args:
        pixels: uint8 ``(N, 3, H, W)``.

    Returns:
        float32 of the same shape.
    """
    mean = torch.tensor(MEAN).view(3, 1, 1)
    std = torch.tensor(STD).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def losses(model: CLIPModel, heads: FieldHeads, batch: Batch) -> tuple[Tensor, Tensor]:
    """Computes CLIP's symmetric loss, and the heads' loss.

    Args:
        model: The model.
        heads: The heads on its towers.
        batch: N scenes with a caption each.

    Returns:
        Two scalars, float32. The contrastive one leaves pairs that happen to be true out of the
        softmax.
    """
    output = model(input_ids=batch.ids, pixel_values=normalised(batch.pixels))
    logits: Tensor = output.logits_per_text
    logits = logits.masked_fill(batch.also_true, -torch.inf)
    target = torch.arange(len(logits))
    by_text = nn.functional.cross_entropy(logits, target)
    by_image = nn.functional.cross_entropy(logits.T, target)
    by_field: Tensor = heads(
        output.vision_model_output.pooler_output, output.text_model_output.pooler_output, batch
    )
    return (by_text + by_image) / 2, by_field


def write_checkpoint(model: CLIPModel, folder: Path) -> None:
    """Writes a complete checkpoint folder, file by file under temporary names.

    Args:
        model: A float32 model.
        folder: Created if missing; a file in it is replaced only once its successor is whole.
    """
    new = folder / ".new"
    new.mkdir(parents=True, exist_ok=True)
    weights = {
        name: _rescaled(name, value.detach(), _QUICK_GELU_FACTOR).half().contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, new / "model.safetensors", {"format": "pt"})
    (new / "model.safetensors").chmod(0o644)
    write_tokenizer(new)
    _write_json(new / "config.json", _published_config(model.config))
    _write_json(new / "preprocessor_config.json", _preprocessor_config())
    for file in sorted(new.iterdir()):
        file.replace(folder / file.name)
    new.rmdir()


def _rescaled(name: str, value: Tensor, factor: float) -> Tensor:
    """Rescales the weights around an activation: by 1.702 from silu's to quick_gelu's."""
    if ".fc1." in name:
        return value / factor
    if name.endswith(".fc2.weight"):
        return value * factor
    return value


def read_weights(model: CLIPModel, folder: Path) -> None:
    """Reads what :func:`write_checkpoint` wrote back into a model, to train on.

    Args:
        model: A float32 model of the same architecture; changed in place.
        folder: A checkpoint folder.
    """
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict(
        {
            name: _rescaled(name, value.float(), 1 / _QUICK_GELU_FACTOR)
            for name, value in weights.items()
        }
    )


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


_SHARED_KEYS = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "layer_norm_eps",
    "attention_dropout",
    "initializer_range",
    "initializer_factor",
)
_TEXT_KEYS = (
    *_SHARED_KEYS,
    "vocab_size",
    "max_position_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
_VISION_KEYS = (*_SHARED_KEYS, "num_channels", "image_size", "patch_size")


def _published_config(config: CLIPConfig) -> dict[str, object]:
    """Writes the configuration out in full, the ids above all, so that no default decides."""
    activation = {"hidden_act": "quick_gelu"}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "initializer_factor": 1.0,
        "logit_scale_init_value": config.logit_scale_init_value,
        "projection_dim": config.projection_dim,
        "text_config": {key: getattr(config.text_config, key) for key in _TEXT_KEYS} | activation,
        "torch_dtype": "float16",
        "vision_config": {key: getattr(config.vision_config, key) for key in _VISION_KEYS}
        | activation,
    }


def _preprocessor_config() -> dict[str, object]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": IMAGE_SIZE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


def _loader(batches: Batches, workers: int) -> Iterator[Batch]:
    loader: DataLoader[Batch] = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: Optimizer steps of the learning rate's rise and fall.
        stop: Steps to take; fewer than ``steps`` leaves the end of the fall to a second run.
        batch: Scenes in a batch.
        rate: Peak learning rate.
        first: Number of the first batch; a second run goes on where the first one stopped.
        near: Share of the scenes that bring near misses with them.
        counts: Share of the scenes that are counts beyond those of the usual mixture.
        workers: Processes that draw batches.
        every: Steps between writes.
    """

    steps: int
    stop: int
    batch: int = 128
    rate: float = 2e-3
    first: int = 0
    near: float = 0.6
    counts: float = 0.0
    workers: int = 1
    every: int = 100


def train(folder: Path, plan: Plan, start: Path | None = None) -> None:
    """Trains a model and writes it.

    Args:
        folder: Where the checkpoint goes; also written along the way.
        plan: Steps, rates and sizes.
        start: Checkpoint to start from; random weights if ``None``.
    """
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    model = CLIPModel(build_config(tokenizer.get_vocab_size(), *special_ids(tokenizer)))
    if start is not None:
        read_weights(model, start)
    model.train()
    heads = FieldHeads(model.visual_projection.out_features)
    optimizers = _optimizers(model, heads, plan.rate)
    started, mean_loss = time.monotonic(), 0.0
    batches = Batches(plan.batch, plan.stop, first=plan.first, near=plan.near, counts=plan.counts)
    for step, batch in enumerate(_loader(batches, plan.workers)):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * _rate_share(step, plan.steps)
        loss, by_field = losses(model, heads, batch)
        (loss + HEADS_WEIGHT * (1 - step / plan.steps) * by_field).backward()
        _update(model, optimizers)
        mean_loss = loss.item() if step == 0 else 0.95 * mean_loss + 0.05 * loss.item()
        if (step + 1) % 25 == 0:
            seconds = time.monotonic() - started
            scale = model.logit_scale.exp().item()
            print(
                f"step {step + 1}/{plan.steps} loss {mean_loss:.3f} fields {by_field.item():.2f} "
                f"scale {scale:.1f} {seconds:.0f} s",
                flush=True,
            )
        if (step + 1) % plan.every == 0:
            write_checkpoint(model, folder)
    write_checkpoint(model, folder)


def _update(model: CLIPModel, optimizers: list[torch.optim.Optimizer]) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        model.logit_scale.clamp_(max=math.log(100))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--start", type=Path, help="checkpoint folder to start from")
    parser.add_argument("--steps", type=int, default=2200, help="length of the schedule")
    parser.add_argument("--stop", type=int, help="steps to take, if not the whole schedule")
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--near", type=float, default=0.6, help="share with near misses")
    parser.add_argument("--counts", type=float, default=0.0, help="share of extra counts")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plan = Plan(
        steps=arguments.steps,
        stop=arguments.stop or arguments.steps,
        batch=arguments.batch,
        rate=arguments.rate,
        first=arguments.first,
        near=arguments.near,
        counts=arguments.counts,
        workers=arguments.workers,
    )
    train(arguments.out, plan, arguments.start)


if __name__ == "__main__":
    main()
