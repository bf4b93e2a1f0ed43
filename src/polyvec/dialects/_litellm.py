"""What litellm needs of a ranking: its providers send equal bodies and read different answers."""

from collections.abc import Mapping
from typing import Any, Final

from polyvec.dialects._base import Call

_AGENT: Final = "litellm/"
# Where litellm sends the bodies of its providers infinity and hosted_vllm.
_SHARED_PATH: Final = "/rerank"


def suited_to_litellm(answer: Mapping[str, Any], call: Call) -> Mapping[str, Any]:
    """Return the answer of ``/rerank`` as every provider of litellm can read it.

    Its ``voyage`` finds results under ``data``. On ``/rerank``, its ``infinity`` wants documents
    that are strings and fails on objects, and its ``hosted_vllm`` wants objects and fails on
    strings; so there they are left out, and its callers know them by their index.

    Source: https://github.com/BerriAI/litellm/tree/main/litellm/llms, the files
    ``rerank/transformation.py`` of these providers.
    """
    if not call.headers.get("user-agent", "").startswith(_AGENT):
        return answer
    results = answer["results"]
    if call.path.rstrip("/") == _SHARED_PATH:
        results = [
            {name: value for name, value in result.items() if name != "document"}
            for result in results
        ]
    return {**answer, "results": results, "data": results}
