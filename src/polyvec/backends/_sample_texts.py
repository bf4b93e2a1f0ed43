"""Texts that polyvec brings along, of many languages, scripts and lengths.

`VERIFIED` shows how far a precision is from float32. `CALIBRATION` shows nncf what activations look
like; the two share no text, so that the first still tells the truth about the second.
"""

_PARAGRAPH = (
    "The harbour had been rebuilt twice since the storm, first in timber and then in stone, and "
    "each time the town had argued for years about who should pay. In the end the fishermen gave "
    "a tenth of every catch, the merchants lent the rest at four per cent, and the mayor, who had "
    "promised never to raise a tax, raised two. When the last crane was taken away, nobody could "
    "remember what the old harbour had looked like, and the painter who had drawn it every summer "
    "sold more pictures in a month than in the ten years before. "
)

VERIFIED = (
    "ok",
    "What is the capital of France?",
    "A dog runs across the wet grass to fetch a red ball.",
    "Der Zug nach Hamburg fährt heute wegen eines Sturms erst um 18:40 Uhr ab.",
    "¿Dónde puedo cambiar dinero cerca de la estación, y a qué hora cierran los bancos?",
    "Поезд прибывает на второй путь; просим пассажиров отойти от края платформы.",
    "机器学习模型把文本转换成向量,相似的句子在空间里彼此接近。",
    "東京の桜は三月の終わりに咲き始め、一週間ほどで散ってしまいます。",
    "تقع المكتبة الوطنية في وسط المدينة وتفتح أبوابها كل يوم ما عدا الجمعة.",
    "यह पुस्तक भारत के पुराने व्यापार मार्गों के इतिहास के बारे में है।",
    "def mean(values): return sum(values) / len(values) if values else 0.0",
    _PARAGRAPH * 4,
)

_OPENINGS = (
    "The committee decided that",
    "Last winter, in a village near the lake,",
    "According to the manual,",
    "How can I tell whether",
    "query: reasons why",
    "Our quarterly report shows that",
    "She wrote to her brother that",
    "Doctors recommend this when",
)
_ENDINGS = (
    "the bridge must be closed before the river rises any further.",
    "two of the three samples were mixed up in the laboratory?",
    "prices fell by 12.5 % although demand grew in every region.",
    "the battery is charged for at least four hours before first use.",
    "nobody had seen the grey cat since the neighbours moved away.",
    "children sleep badly and the fever does not go down within two days.",
)
_FOREIGN = (
    "La réunion de demain est reportée à jeudi, dans la même salle.",
    "Les prix des loyers ont augmenté plus vite que les salaires.",
    "Bitte senden Sie uns die unterschriebenen Unterlagen bis Monatsende zurück.",
    "Im Herbst ziehen die Kraniche in großen Schwärmen nach Süden.",
    "El museo ofrece visitas guiadas gratuitas los domingos por la mañana.",
    "Não consigo iniciar sessão desde a última atualização do aplicativo.",
    "Il treno regionale ferma in tutte le stazioni della valle.",
    "De fiets staat in de schuur achter het huis, naast de ladder.",
    "Książka, którą mi pożyczyłeś, leży na stole w kuchni.",
    "Tåget till Malmö är försenat på grund av snö på spåret.",
    "Docházka na kurz je dobrovolná, ale zkouška je povinná.",
    "Bu tarif için iki yumurta ve bir bardak süt gerekiyor.",
    "Lãi suất ngân hàng giảm nhẹ trong quý này.",
    "Harga cabai naik karena hujan turun sepanjang minggu.",
    "Более миллиона старинных рукописей хранится в библиотеке.",
    "Я забыл пароль и не могу войти в свою учётную запись.",
    "Ο γιατρός της είπε να ξεκουραστεί για μια εβδομάδα.",  # noqa: RUF001  (Greek letters)
    "הרכבת האחרונה יוצאת מהתחנה בחצות.",
    "أعلنت الشركة عن نتائج أفضل مما توقعه المحللون.",
    "هوا فردا در شمال کشور بارانی خواهد بود.",
    "इस शहर में पानी की आपूर्ति सुबह छह बजे शुरू होती है।",
    "এই নদীটি বর্ষাকালে প্রায়ই দুই কূল ছাপিয়ে যায়।",
    "ร้านอาหารนี้เปิดทุกวันตั้งแต่สิบโมงเช้าถึงสี่ทุ่ม",
    "会议改到下周三下午三点,请提前准备材料。",
    "这家餐馆的面条很好吃,但是要排很长时间的队。",
    "昨日の試合は雨のため中止になりました。",
    "パスワードを忘れた場合は、下のリンクを押してください。",
    "이 제품은 구입한 날부터 일 년 동안 무상으로 수리해 드립니다.",
)
_OTHER = (
    "no",
    "red shoes size 42",
    "SELECT name, total FROM orders WHERE total > 100 ORDER BY total DESC;",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    "https://example.org/articles/2024/05/17?ref=newsletter#comments",
    "{'id': 7, 'tags': ['a', 'b'], 'score': 0.93}",
    "E = mc², a² + b² = c², ∑ 1/n² = π²/6",
    "!!! URGENT !!! call +49 30 123456 NOW 🙂🙂",
)

CALIBRATION = (
    *(f"{opening} {ending}" for opening in _OPENINGS for ending in _ENDINGS),
    *_FOREIGN,
    *_OTHER,
    *(" ".join(_FOREIGN[start : start + 7]) for start in range(0, len(_FOREIGN), 7)),
    *(" ".join(f"{opening} {_ENDINGS[0]}" for opening in _OPENINGS[: size + 2]) for size in (0, 6)),
)
