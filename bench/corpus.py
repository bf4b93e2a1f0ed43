"""Texts to embed: plain words, log-normal lengths."""

import random

WORDS = (
    "time person year way day thing man world life hand part child eye woman place work week "
    "case point government company number group problem fact river mountain engine signal "
    "market language picture memory system question answer window garden ocean planet bridge "
    "history"
).split()


def mixed(count: int, *, mean_tokens: int = 80, limit: int = 250, seed: int = 0) -> list[str]:
    """Different texts of log-normal length, about ``mean_tokens`` words on average."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        length = min(limit, max(3, round(rng.lognormvariate(0, 0.7) * mean_tokens / 1.28)))
        texts.append(" ".join(rng.choices(WORDS, k=length)))
    return texts


def of_length(count: int, words: int, *, seed: int = 1) -> list[str]:
    """Different texts of one length."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]
