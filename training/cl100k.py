"""Packs the tokens of OpenAI's cl100k encoding as ``polyvec.checkpoints.cl100k`` reads them.

Source: https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken, which tiktoken
downloads and other libraries bundle. Run ``python -m training.cl100k FILE``.
"""

import argparse
import base64
import hashlib
import lzma
from pathlib import Path

SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
"""Of the published file; tiktoken checks the same one."""
OUT = Path(__file__).parents[1] / "src/polyvec/checkpoints/cl100k/tokens.xz"


def packed(ranks: bytes) -> bytes:
    """The published file → all lengths, one byte each, then all tokens, compressed."""
    if hashlib.sha256(ranks).hexdigest() != SHA256:
        raise ValueError("this is not the published cl100k_base.tiktoken")
    lines = [line.split() for line in ranks.splitlines()]
    tokens = {int(rank): base64.b64decode(token) for token, rank in lines}
    in_order = [tokens[rank] for rank in range(len(tokens))]
    return lzma.compress(
        bytes(map(len, in_order)) + b"".join(in_order), preset=9 | lzma.PRESET_EXTREME
    )


def main() -> None:
    """Read the published file and write ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="cl100k_base.tiktoken")
    OUT.write_bytes(packed(parser.parse_args().file.read_bytes()))


if __name__ == "__main__":
    main()
