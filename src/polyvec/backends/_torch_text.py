"""`TextOps` computed right away on torch tensors: texts laid end to end, attention in a loop."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from polyvec.backends._base import TokenBatch
from polyvec.backends._masks import bias_reach, bucket_of_distance, slope_of_distance
from polyvec.backends._packing import pack
from polyvec.backends._parameters import check_rows
from polyvec.backends._torch_ops import Tensors, TorchOps, attend
from polyvec.models._family import ONE_TOKEN, Pooling
from polyvec.models._ops import Activation, Adapters, BucketBias, ExpertNames, Rope, ScoreBias


class PackedTextOps(TorchOps):
    """Texts laid end to end: tokens are (T, D); attention loops over the texts.

    Args:
        tensors: Weights.
        batch: What is computed.
        poolings: The checkpoint's.
        max_positions: No text is longer.
        eos: For ``eos`` pooling; see `Tower.eos_token_id`.
        keeps_tokens: Whether `pool` leaves tokens as they are, for outputs per token.
    """

    def __init__(
        self,
        tensors: Tensors,
        batch: TokenBatch,
        poolings: tuple[Pooling, ...],
        *,
        max_positions: int,
        eos: int | None = None,
        keeps_tokens: bool = False,
    ) -> None:
        super().__init__(tensors)
        self._arrays = pack(batch, poolings, eos)
        self._poolings = poolings
        self._max_positions = max_positions
        self._keeps_tokens = keeps_tokens
        self._adapter = batch.adapter
        self._attended = batch.attended
        self._ids = torch.from_numpy(batch.ids).to(tensors.device)
        self._places = self._fed("positions")[: len(batch.ids)]
        ends = np.cumsum(batch.lengths)
        self._spans = [
            (int(end - length), int(end)) for end, length in zip(ends, batch.lengths, strict=True)
        ]

    def _fed(self, name: str) -> torch.Tensor:
        array = self._arrays[name]
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        return torch.from_numpy(array.astype(kind)).to(self._tensors.device)

    def token_ids(self) -> torch.Tensor:
        """(T,)."""
        return self._ids

    def segments(self) -> torch.Tensor:
        """(T,)."""
        return self._fed("segments")[: len(self._ids)]

    def positions(self, *, offset: int = 0) -> torch.Tensor:
        """(T,)."""
        return self._places + offset

    # Pooling.

    def picks(self) -> bool:
        """True when only one token of each text is needed at the end."""
        return (
            not self._keeps_tokens and len(self._poolings) == 1 and self._poolings[0] in ONE_TOKEN
        )

    def pick(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D)."""
        return x[self._fed(f"picked.{self._poolings[0]}")]

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D), or x itself when tokens are kept."""
        return x if self._keeps_tokens else self.rows(x)

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D), several poolings laid end to end."""
        return torch.cat([self._pooled(x, pooling) for pooling in self._poolings], -1)

    def _pooled(self, x: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        if pooling in ONE_TOKEN:
            return x[self._fed(f"picked.{pooling}")]
        weights = self._fed(f"weights.{pooling}")
        rows = []
        for (start, end), own in zip(self._spans, weights, strict=True):
            kept = own[: end - start]
            if pooling == "max":
                rows.append(x[start:end][kept > 0].amax(0))
            else:  # summed in float32 whatever the precision of the layers
                rows.append((kept @ x[start:end].float()).to(x.dtype))
        return torch.stack(rows)

    def max_over_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D)."""
        return torch.stack([x[start:end].amax(0) for start, end in self._spans])

    def sum_over_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D)."""
        return torch.stack([x[start:end].sum(0) for start, end in self._spans])

    # Attention.

    def attention(  # noqa: PLR0913  (as `ops` has it)
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        heads: int,
        kv_heads: int | None = None,
        causal: bool = False,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        bias: ScoreBias | None = None,
        picked: bool = False,
    ) -> torch.Tensor:
        """Attention within each text."""
        out = []
        places = self.pick(self._places) if picked else self._places
        for index, (start, end) in enumerate(self._spans):
            rows = slice(index, index + 1) if picked else slice(start, end)
            distance = self._places[start:end] - places[rows, None]
            added = self._added(distance, causal=causal, window=window, bias=bias)
            if self._attended is not None:
                added = _hiding(added, distance, int(self._attended[index]))
            out.append(
                attend(
                    q[rows],
                    k[start:end],
                    v[start:end],
                    (heads, kv_heads or heads),
                    added=None if added is None else added.to(q.dtype),
                    scale=scale,
                    softcap=softcap,
                )
            )
        return torch.cat(out)

    def _added(
        self,
        distance: torch.Tensor,
        *,
        causal: bool,
        window: int | None,
        bias: ScoreBias | None,
    ) -> torch.Tensor | None:
        """What is added to scores, (Lq, L) or (H, Lq, L); None for nothing."""
        if not causal and window is None and bias is None:
            return None
        hidden = torch.zeros_like(distance, dtype=torch.bool)
        if causal:
            hidden |= distance > 0
        if window is not None:
            hidden |= distance.abs() > window
        added = torch.zeros_like(distance, dtype=torch.float32)
        if bias is not None:
            added = self._bias(bias, distance)
        return added.masked_fill(hidden, float("-inf"))

    def _bias(self, bias: ScoreBias, distance: torch.Tensor) -> torch.Tensor:
        """(H, Lq, L)."""
        reach = bias_reach(bias, self._max_positions)
        if isinstance(bias, BucketBias):
            buckets = torch.from_numpy(bucket_of_distance(bias)).to(distance.device)
            table = self.parameter(f"{bias.name}.weight")[buckets]
        else:
            table = torch.from_numpy(slope_of_distance(bias, reach)).to(distance.device)
        return table[distance.clamp(-reach, reach) + reach].movedim(-1, 0).float()

    def rope(
        self, x: torch.Tensor, rope: Rope, *, heads: int, picked: bool = False
    ) -> torch.Tensor:
        """Turn every head by its token's place; angles stay float32."""
        places = self.pick(self._places) if picked else self._places
        frequencies = torch.tensor(rope.frequencies, dtype=torch.float32, device=x.device)
        angles = places[:, None, None].float() * frequencies
        factor = rope.scale
        if rope.growth:
            steps = (places[:, None, None] // rope.growth_step).float()
            factor = rope.scale * (1 + rope.growth * torch.log1p(steps))
        cos, sin = angles.cos() * factor, angles.sin() * factor
        half = len(rope.frequencies)
        split = x.unflatten(-1, (heads, -1)).float()
        turned, kept = split[..., : 2 * half], split[..., 2 * half :]
        if rope.interleaved:
            a, b = turned[..., ::2], turned[..., 1::2]
            turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
        else:
            a, b = turned[..., :half], turned[..., half:]
            turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        return torch.cat([turned, kept], -1).flatten(-2).to(x.dtype)

    # Parts of few families.

    def convolve_tokens(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """(T, D) → (T, D), text by text."""
        kernels = self.parameter(f"{name}.weight")[:, None]
        shift = self.parameter(f"{name}.bias")
        out = [
            F.conv1d(
                x[start:end].T, kernels, shift, padding=kernels.shape[2] // 2, groups=x.shape[1]
            ).T
            for start, end in self._spans
        ]
        return torch.cat(out)

    def experts(
        self, x: torch.Tensor, names: ExpertNames, *, top_k: int, kind: Activation
    ) -> torch.Tensor:
        """Mixture of experts: each one sees only its tokens."""
        shares = torch.softmax(self.linear(x, names.router, bias=False).float(), -1)
        best, chosen = shares.topk(top_k, -1)
        up = self.parameter(names.up).unflatten(0, (shares.shape[1], -1))
        down = self.parameter(names.down).unflatten(0, (shares.shape[1], -1))
        out = torch.zeros_like(x)
        for expert in range(shares.shape[1]):
            rows, place = torch.where(chosen == expert)
            inner = self.activation(F.linear(x[rows], up[expert]), kind) @ down[expert]
            out.index_add_(0, rows, inner * best[rows, place, None].to(x.dtype))
        return out

    def adapter(
        self, x: torch.Tensor, adapters: Adapters, *, rows: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """Low-rank update of a linear layer by the batch's adapter."""
        down, up = self._factors(adapters)
        return F.linear(F.linear(x, down), up[slice(*rows or (None,))]) * self._share(adapters)

    def adapter_embedding(
        self, ids: torch.Tensor, adapters: Adapters, *, rows: int
    ) -> torch.Tensor:
        """Low-rank update of a table by the batch's adapter."""
        down, up = self._factors(adapters)
        check_rows(adapters.up, up.shape[0], rows)
        return F.embedding(ids, up) @ down * self._share(adapters)

    def _factors(self, adapters: Adapters) -> tuple[torch.Tensor, torch.Tensor]:
        down, up = self.parameter(adapters.down), self.parameter(adapters.up)
        check_rows(adapters.down, down.shape[0], adapters.count)
        check_rows(adapters.up, up.shape[0], adapters.count)
        index = self._adapter or 0
        return down[index], up[index]

    def _share(self, adapters: Adapters) -> float:
        return 0.0 if self._adapter is None else adapters.scale


def _hiding(added: torch.Tensor | None, distance: torch.Tensor, num_seen: int) -> torch.Tensor:
    """What is added to scores so that keys from ``num_seen`` on are not seen either."""
    scores = torch.zeros_like(distance, dtype=torch.float32) if added is None else added
    places = torch.arange(distance.shape[-1], device=distance.device)
    return scores.masked_fill(places >= num_seen, float("-inf"))
