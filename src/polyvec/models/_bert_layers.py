"""BERT's layers, which several families have. Names are those of transformers."""

from polyvec.models._blocks import LayersConfig, mlp, run_layers
from polyvec.models._config import activation
from polyvec.models._ops import Ops, Tensor


def post_norm_layers(ops: Ops, x: Tensor, config: LayersConfig, name: str) -> Tensor:
    """BERT's transformer layers, and pooling.

    Source: https://arxiv.org/abs/1810.04805, transformers BertLayer.
    """
    eps = config.layer_norm_eps
    act = activation(config.hidden_act)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        at = f"{name}.{index}"
        attended = ops.attention(
            ops.linear(x, f"{at}.attention.self.query"),
            ops.linear(context, f"{at}.attention.self.key"),
            ops.linear(context, f"{at}.attention.self.value"),
            heads=config.num_attention_heads,
            picked=picked,
        )
        attended = ops.linear(attended, f"{at}.attention.output.dense")
        x = ops.layer_norm(ops.add(attended, x), f"{at}.attention.output.LayerNorm", eps=eps)
        out = mlp(ops, x, f"{at}.intermediate.dense", f"{at}.output.dense", act)
        return ops.layer_norm(ops.add(out, x), f"{at}.output.LayerNorm", eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)
