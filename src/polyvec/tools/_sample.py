"""Texts to compare models on: several scripts, one letter to a few hundred words."""

_PARAGRAPH = (
    "Harbour pilots board incoming ships some miles off the coast, because no captain can know "
    "every sandbank of every port. They climb a rope ladder from a small boat, in any weather, and "
    "take over the course until the ship is moored. "
)

SAMPLE: tuple[str, ...] = (
    "",
    " ",
    ".",
    "a",
    "cat",
    "The cat sat on the mat.",
    "the CAT sat on the MAT",
    "What is the capital of Portugal?",
    "Lisbon is the capital and largest city of Portugal.",
    "La bibliothèque ferme à dix-huit heures, sauf le dimanche.",
    "Die Straßenbahn fährt über die Brücke am alten Zollhaus vorbei.",
    "¿Cuánto cuesta el billete de ida y vuelta?",
    "Поезд прибывает на третий путь в половине восьмого.",
    "Το πλοίο φεύγει αύριο το πρωί.",  # noqa: RUF001
    "القطار متأخر عشر دقائق.",
    "यह किताब पुस्तकालय की है।",
    "图书馆星期一不开门。",
    "明日の会議は午後三時からです。",
    "회의실은 이 층에 있습니다.",
    "ร้านนี้เปิดทุกวัน",
    "😀 see you at 8 🚆",
    "def area(r):\n    return 3.14159 * r ** 2",
    "id=4711; price: 1,299.00 EUR (incl. 19% VAT) — order #A-55/b",
    "naïve façade, Ångström, ﬁne ﬂow, ½ cup",
    "word " * 40,
    _PARAGRAPH,
    _PARAGRAPH * 6,
)
"""The comparison's own texts; the last is longer than many models read."""
