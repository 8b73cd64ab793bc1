"""How people write, in twenty-odd languages, and in code: nothing to be warned of. Written for these tests.

What is invisible in them is written as an escape, or as a sign that stands for it (`_lines`).
"""

from __future__ import annotations

NBSP, NNBSP, ZWNJ, ZWJ, ZWSP = "\u00a0", "\u202f", "\u200c", "\u200d", "\u200b"


def _lines(text: str, **stands_for: str) -> list[str]:
    names = {"nbsp": "~", "nnbsp": "`", "zwnj": "^", "zwj": "|", "zwsp": "_"}
    for name, character in stands_for.items():
        text = text.replace(names[name], character)
    return [line for line in text.strip().split("\n") if line]


ENGLISH = _lines("""
The build takes 12 minutes – far too long; “cache” the wheel.
Don’t retry on 404… it isn’t coming back.
Café menu, naïve façade, résumé, coöperate.
Temperature is 21 °C ± 0.5, price £5 or €6.
Section §4 says: see footnote† and ©2026 Example, Inc.™
1⁄2 cup of sugar, ½ teaspoon of salt, 3∶2 odds
Use → to go on and ← to go back; ✓ is done, ✗ is not.
He said 'either/or' – and/or 'neither'.
See https://example.com/a/b?q=1#top, or mail me@example.org.
x² + y² ≤ r², α is the angle, ∑ over all i
""")
FRENCH = _lines("""
Bonjour~! Comment ça va~?
Il a dit~: «~Ne touche pas à ça~», puis il est parti.
Le prix est de 10`000~€ environ~; merci.
À l’été, l’œuvre coûte 25~%.
Voir n°~5, §~3 de l’annexe.
Êtes-vous sûr`? «`Oui`»
La façade est jaune – où donc est Noël~?
Durée~: 3~h, distance~: 12~km
C’est l’«~API~» de M.~Dupont.
Fichier déjà présent~! Réessayer~?
""", nbsp=NBSP, nnbsp=NNBSP)  # fmt: skip
GERMAN = _lines("""
Größe ändern: z.~B. auf 10~MB, s.~u.
„Straße“ heißt jetzt „Gasse“ – oder?
Übermäßig schön, ÄÖÜ äöü ß ẞ
Dr.~Müller, §~12, 5~%, 20~€
Die Datei Prüfung.txt fehlt.
Öffne https://münchen.example/straße
»Ja«, sagte sie, ›vielleicht‹.
Wärme in kΩ·m, Winkel 45°
d.~h. mindestens 3~Zeilen
Änderung rückgängig machen… fertig!
""", nbsp=NBSP)  # fmt: skip
SPANISH = _lines("""
¿Dónde está el archivo? ¡Aquí!
El niño pequeño comió piñones el 1.º de mayo.
La función devuelve «nulo», según la página 3ª.
Pingüino, acción, corazón, Ñandú
Más rápido: ~25~% menos
""".replace("~25~", "25~"), nbsp=NBSP)  # fmt: skip
PORTUGUESE = _lines("""
Não há configuração; tente à noite, às 20h.
Ação, coração, pão, avó e avô
O nº 5 é o último.
Você já atualizou o repositório?
""")
RUSSIAN = _lines("""
Привет, мир! Ёлка стоит во дворе.
# Функция возвращает список файлов
Сохранить в файл.txt? Да/Нет
Он сказал: «Я не знаю» — и ушёл.
Версия 2.0: исправлены ошибки, см. README.md
а о у с хор сера роса ухо
Цена~— 10~000~₽, скидка 5~%
Запустите make test, а потом git push.
и/или, он/она, 24/7
API-ключ и HTTP-запрос, Wi-Fi-сеть
Номер №~5, стр.~12
hello мир, test_привет, тест123
""", nbsp=NBSP)  # fmt: skip
UKRAINIAN = _lines("""
Привіт, як справи? Їжак їсть ґрунт.
Об’єднання файлів завершено
Київ — столиця України.
Зберегти зміни? Так / Ні
""")
GREEK = _lines("""
Καλημέρα κόσμε! Τι κάνεις;
Η συνάρτηση επιστρέφει «κενό».
Αρχείο κείμενο.txt, έκδοση 2.0
Ο χρόνος είναι 5 μs και η αντίσταση 3 kΩ
και/ή, ναι/όχι
""")
TURKISH = _lines("""
Işık hızı çok yüksek; kapı açık mı?
Dosya adı: sınıf.py, çıktı.txt
İstanbul'da ılık bir akşam
Hızlı ve sıkı: ÇĞİÖŞÜ çğıöşü
Yapılandırma dosyası bulunamadı.
docs/kullanım.md dosyasına bakın
""")
POLISH = _lines("""
Zażółć gęślą jaźń – w~domu i~w~pracy.
„Łódź” leży nad rzeką.
Plik konfiguracja.json zapisano, 10~MB
Dziękuję bardzo!
""", nbsp=NBSP)  # fmt: skip
CZECH = _lines("""
Příliš žluťoučký kůň úpěl ďábelské ódy.
Soubor v~adresáři k~dispozici, 5~%
„Ano,“ řekl.
""", nbsp=NBSP)  # fmt: skip
VIETNAMESE = _lines("""
Xin chào thế giới, tôi đang viết mã.
Tệp cấu hình không tồn tại
Đường dẫn: tài_liệu/hướng_dẫn.md
Tiếng Vie\u0302\u0323t viết bằng dấu rời
""")
PERSIAN = _lines("""
می^خواهم فایل را ذخیره کنم.
کتاب^ها و خانه^ای بزرگ
نمی^شود؛ دوباره تلاش کنید
پرونده^های متنی را ببندید
سال ۱۴۰۳ ه|.ش، ۲۵٪
آیا مطمئن^اید؟
""", zwnj=ZWNJ, zwj=ZWJ)  # fmt: skip
ARABIC = _lines("""
مرحبا بالعالم، كيف الحال؟
الملف غير موجود: config.json
النسخة ٢٫٠ صدرت في ٢٠٢٦
قال: «لا أعرف»
لُغَةٌ عَرَبِيَّةٌ
""")
HEBREW = _lines("""
שלום עולם! מה שלומך?
הקובץ README.md לא נמצא
צה״ל וד״ר כהן
שָׁלוֹם
""")
URDU = _lines("""
کیا آپ محفوظ کرنا چاہتے ہیں؟
فائل نہیں ملی۔ دوبارہ کوشش کریں۔
""")
HINDI = _lines("""
क्|ष और ज्ञ अक्षर
नमस्ते दुनिया! फ़ाइल नहीं मिली।
कृपया प्रतीक्षा करें…
श्री^राम, विद्^या
संस्करण २.० जारी हुआ
""", zwnj=ZWNJ, zwj=ZWJ)  # fmt: skip
INDIC = _lines("""
বাংলা ভাষা: র|্যাব, উদ্দেশ্য
தமிழ் மொழி: கோப்பு இல்லை
മലയാളം: അവന്| വന്നു
ಕನ್ನಡ: ರ|್ಯಾಂಕ್
తెలుగు: క్^ష
සිංහල: ශ්|රී ලංකා
ગુજરાતી ફાઇલ મળી નથી
ਪੰਜਾਬੀ ਫਾਈਲ
""", zwnj=ZWNJ, zwj=ZWJ)  # fmt: skip
SOUTHEAST = _lines("""
สวัสดี_ชาวโลก ไฟล์ไม่พบ
ភាសា_ខ្មែរ_ស្រួល
မြန်မာ_ဘာသာ
ພາສາ_ລາວ
Selamat pagi, berkas tidak ditemukan.
Magandang umaga sa inyong lahat.
""", zwsp=ZWSP)  # fmt: skip
CHINESE = _lines("""
你好，世界！请先阅读README.md。
\u3000\u3000段落开头空两格。
使用pip安装。Python版本须为3.11。
和／或，是/否，上／下
文件路径：文档/说明.txt
他说：“可以吗？”
價格：１２３元（含稅）
运行 npm install，然后重启。
""")
JAPANESE = _lines("""
漢字\u3000かな\u3000カナ
ファイルが見つかりません。再試行しますか？
葛\U000e0100城市と辻\U000e0101さん
ＮＨＫのニュース、Ｔシャツ、Tシャツ
「はい」／「いいえ」を選ぶ
設定.jsonを開いて、Enterキーを押す。
〜から〜まで、①②③
""")
KOREAN = _lines("""
안녕하세요, 세계! 파일을 찾을 수 없습니다.
설정.json 파일을 여세요.
예/아니오 중에서 고르세요.
버전 2.0이 출시되었습니다.
""")
OTHERS = _lines("""
Բարև աշխարհ
გამარჯობა მსოფლიო
ሰላም ልዑል
Xin chao, Habari ya dunia, Sannu duniya
Þetta reddast, ekki satt? Ðað er gott.
Håndtér æ, ø og å; Århus
Ett smörgåsbord på ön, 5~%
Tere, õhtu on käes: šokolaad, žürii
Sveiki, ąčęėįšųūž, ķeņģ
Szép öreg őrült űrhajós
Ștefan țese în grădină
Ħażin u għani
Ja, vi elsker dette landet – kjøtt, ære, ås
Hyvää päivää, äiti! Yö on pimeä.
Dobrý deň, ľúbim ťa; vôňa ruží
Dober dan, češnja žari, šola
Laba diena, vakaro žvaigždė
Ći, đak, žaba; Љубав је вечна, ђак учи
Добър ден, ще се видим утре
Сәлем, әлем! Қазақстан
Сайн байна уу, өнөөдөр үүлтэй
Dia dhuit, a Sheáin; Gàidhlig
Ngā mihi, kia ora tātou, ʻŌlelo Hawaiʻi
""", nbsp=NBSP)  # fmt: skip
EMOJI = [
    "# ⚠\ufe0f Warning",
    "1\ufe0f\u20e3 first, 2\ufe0f\u20e3 second",
    "ℹ\ufe0f note ✔\ufe0f ok",
    "👨\u200d💻 dev, 👩\u200d👩\u200d👧\u200d👦 family",
    "👍🏽 thanks 👩🏿\u200d🚀",
    "🏳\ufe0f\u200d🌈 and 🏴\u200d☠\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Scotland",
    "🇩🇪 🇯🇵 🇧🇷",
    "❤\ufe0f \u200b".rstrip(ZWSP).rstrip() + " ☕",
    "✨ New: 🚀 ship it 🎉",
    "🫨 🫷 are newer than some tables",
    "| ✅ | ❌ | ⚙\ufe0f |",
]
CODE = [
    "def f(x: int) -> str:\n\treturn f'{x}'",
    "line one\r\nline two\r\n",
    "\ufeffusing System;\r\nclass A { }\r\n",
    "/* page */\n\f\nint main(void) { return 0; }",
    "μs = 1e-6; kΩ = 1e3  # µm, MΩ",
    "const Δt = t1 - t0, λ = 2 * π / k",
    'msg = "Привет, %s" % name',
    "// Возвращает true, если файл существует",
    "# 注意: 必须是整数",
    'print("…")  # TODO(jörg): fix',
    "├── src\n│   └── main.py",
    "grep -rn 'naïve' src | sed 's/é/e/'",
    "git commit -m 'Ajoute la gestion des accents'",
    "git commit -m 'Исправлена ошибка с путями'",
    "SELECT * FROM users WHERE name = 'Zoë';",
    "<p>© 2026 – Tous droits réservés</p>",
    '{"title": "日本語", "n": 1}',
    "assert 'ß'.upper() == 'SS'",
    "let ñ = 1; let größe = 2;",
    "for θ in np.linspace(0, 2*np.pi): pass",
    "[![build](https://img.example.com/x.svg)](https://ci.example.com)",
    "RUN echo 'deb http://deb.example.org/ stable main' > /etc/apt/x.list",
    "var fahrenheit = celsius × 9 ÷ 5 + 32 // °F",
    "⠋ ⠙ ⠹ spinner; bars ▁▂▃▄▅▆▇█",
    "“smart” — ‘quotes’ … and – dashes",
    "<!-- Größe -->\r\n<b>fett</b>\r\n",
    "echo 'Ünïcödé' >> notes.txt",
    "name: Überprüfung\non: [push]\n",
    "def résumé(): return 'été'",
    "console.log(`¿Qué?`)",
    "# -*- coding: utf-8 -*-\n# Автор: Иван",
    "\\u00e9 and \\x1b[0m are written as escapes",
    "if a ≠ b and c ≥ d: pass",
]

ORDINARY = [
    *ENGLISH, *FRENCH, *GERMAN, *SPANISH, *PORTUGUESE, *RUSSIAN, *UKRAINIAN, *GREEK, *TURKISH, *POLISH, *CZECH,
    *VIETNAMESE, *PERSIAN, *ARABIC, *HEBREW, *URDU, *HINDI, *INDIC, *SOUTHEAST, *CHINESE, *JAPANESE, *KOREAN, *OTHERS,
    *EMOJI, *CODE,
]  # fmt: skip
