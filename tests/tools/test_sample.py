import unicodedata

from polyvec.tools._sample import SAMPLE


def test_the_sample_has_each_text_once_and_fits_one_request() -> None:
    assert len(set(SAMPLE)) == len(SAMPLE) <= 32


def test_the_sample_has_many_scripts() -> None:
    names = {unicodedata.name(c, "").split()[0] for text in SAMPLE for c in text if c.isalpha()}
    assert {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA"} <= names


def test_the_sample_goes_from_nothing_to_more_than_common_models_read() -> None:
    words = [len(text.split()) for text in SAMPLE]
    assert min(words) == 0
    assert max(words) > 200
