"""How well and how fast pictures of text are read: characters and words that are wrong, and processor time a page.

    python -m benchmarks.ocr [--shared ../shared] [--pages clean serif ...]

Pages of known text are drawn here: A4 at 150 dots per inch, one thing about each that scans have. Of the scans of the
format zoo, where it is there, a phrase is known each.

characters   edits that make the truth of what was read, per character of the truth; white space counts as one blank
words        the same in words
sure         what the engine says itself; lines that it is not sure of are left out, and so wrong here
seconds      processor time of this process, which reads with one thread; the first page, which opens the models, apart

A page is what a parser gives: lines in reading order, joined to paragraphs.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.ocr.options import OcrOptions

# A4 at 150 dots per inch, in pixels; margins of 2 cm.
WIDTH, HEIGHT, MARGIN = 1240, 1754, 118
# Points to pixels.
DOTS = 150 / 72
GUTTER = 60
# Fonts that many machines have; the one that comes with the library stands for what is not there.
SANS, SERIF, MONO = "DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf"

ENGLISH = """The harbour of Lindmouth has nine berths for boats of up to 24 metres, and two for ferries. Who wants to
stay overnight registers at the office before 18:30; after that, a form hangs in the box beside its door. Dues are 4.80
for each metre and night, and 1.20 for electricity by the kilowatt-hour.

Boats over 12 tonnes moor at the stone quay (berths 1 to 4) only. The crane lifts 8 tonnes at most, on Tuesdays and
Fridays between nine and noon; its keeper, J. O'Reilly-Smith, answers at +44 1632 960 417. Fuel is sold from April to
October. Oil, paint & batteries belong in the yellow bins, never in the water: fines begin at 250.

Fog signals: one long blast every 60 seconds while the light is not seen from the outer mole. The gate of the inner
basin opens two hours before high water and closes three hours after it. Ask on channel 12 before you pass, "gate" and
the name of your boat. In winter (1 November to 15 March) the gate stays shut on Sundays and public holidays."""
GERMAN = """Der Hafen von Lindmünde hat neun Liegeplätze für Boote bis 24 Meter Länge und zwei für Fähren. Wer über
Nacht bleiben möchte, meldet sich bis 18:30 Uhr im Büro; später hängt ein Formular im Kasten neben der Tür. Die Gebühren
betragen 4,80 € je Meter und Nacht, größere Schiffe zahlen das Doppelte.

Boote über 12 Tonnen machen nur am Steinkai fest. Der Kran hebt höchstens 8 Tonnen, dienstags und freitags zwischen neun
und zwölf. Öl, Farbe und Batterien gehören in die gelben Behälter, nie ins Wasser: Bußgelder beginnen bei 250 €. Bei
Nebel ertönt alle 60 Sekunden ein langes Signal, solange man das Feuer der äußeren Mole nicht sieht."""


@dataclass(frozen=True)
class Page:
    """A page that is drawn: its text, how it is set, and what is done to it."""

    text: str = ENGLISH
    font: str = SANS
    points: float = 11
    columns: int = 1
    spoil: Callable[[Image.Image], Image.Image] = lambda image: image


def _turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def _noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(7).normal(0, 40, (image.height, image.width))
    return Image.fromarray(np.clip(np.asarray(image, np.float64) + noise, 0, 255).astype(np.uint8))


def _copied(image: Image.Image) -> Image.Image:
    """As a copy of a copy: blurred, pale, and packed until it shows."""
    file = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(1.0)).point([96 + 159 * each // 255 for each in range(256)]).save(
        file, "JPEG", quality=15
    )
    return Image.open(file).convert("L")


def _small(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


PAGES = {
    "clean": Page(),
    "serif": Page(font=SERIF),
    "typewriter": Page(font=MONO, points=10),
    "7 points": Page(points=7),
    "16 points": Page(points=16),
    "German": Page(text=GERMAN),
    "two columns": Page(points=9, columns=2),
    "leans by 1.5 degrees": Page(spoil=_turned(1.5)),
    "turned by 90": Page(spoil=_turned(90)),
    "upside down": Page(spoil=_turned(180)),
    "noise": Page(spoil=_noisy),
    "copy of a copy": Page(spoil=_copied),
    "75 dots per inch": Page(spoil=_small),
}


def drawn(page: Page) -> bytes:
    """The page as PNG."""
    image = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(image)
    size = round(page.points * DOTS)
    try:
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.truetype(page.font, size)
    except OSError:
        font = ImageFont.load_default(size)
    room = (WIDTH - 2 * MARGIN - (page.columns - 1) * GUTTER) / page.columns
    lines = [line for paragraph in paragraphs_of(page) for line in (*_broken(paragraph, font, room), "")]
    height = -(-len(lines) // page.columns)
    for number, line in enumerate(lines):
        column, row = divmod(number, height)
        draw.text((MARGIN + column * (room + GUTTER), MARGIN + row * size * 1.4), line, font=font, fill=0)
    file = io.BytesIO()
    page.spoil(image).save(file, "PNG")
    return file.getvalue()


def paragraphs_of(page: Page) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in page.text.split("\n\n")]


def _broken(paragraph: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> Iterator[str]:
    line = ""
    for word in paragraph.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > room:
            yield line
            longer = word
        line = longer
    yield line


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def edits(truth: Sequence[str], read: Sequence[str], *, anywhere: bool = False) -> int:
    """Insertions, deletions and replacements that make one of the other.

    Args:
        anywhere: The truth is a phrase that may stand anywhere in what was read.
    """
    codes = {each: number for number, each in enumerate({*truth, *read})}
    wanted = np.array([codes[each] for each in read])
    steps = np.arange(len(read) + 1)
    row = np.zeros(len(read) + 1, int) if anywhere else steps.copy()
    for number, each in enumerate(truth, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (wanted != codes[each]))
        # What is inserted runs along the row: the least of all that came before, and a step each.
        row = np.minimum.accumulate(np.concatenate(([number], best)) - steps) + steps
    return int(row.min() if anywhere else row[-1])


def read_text(raw: bytes, name: str) -> tuple[str, float]:
    """What a parser gives of a picture, and the engine's certainty; nothing where it reads nothing."""
    try:
        documents = parse(raw, media_type_of(name, raw), name, ParseLimits(), OcrOptions())
    except DocumentError as error:
        print(f"{name}: {error.code}")  # noqa: T201
        return "", 0.0
    return "\n\n".join(each.text for each in documents), float(documents[0].metadata.get("ocr_confidence", 0))


def row_of(name: str, truth: str, raw: bytes, file: str, *, pages: int = 1, anywhere: bool = False) -> str:
    started = time.process_time()
    text, sure = read_text(raw, file)
    seconds = (time.process_time() - started) / pages
    truth, text = normal(truth), normal(text)
    characters = edits(truth, text, anywhere=anywhere) / len(truth)
    words = edits(truth.split(), text.split(), anywhere=anywhere) / len(truth.split())
    return f"| {name} | {len(truth):,} | {characters:.2%} | {words:.2%} | {sure:.2f} | {seconds:.1f} |"


def zoo_rows(folder: Path) -> Iterator[str]:
    """The scans of the format zoo: the phrase that each must show, or the page that it is a picture of."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["expect"] == "ocr"]
    for row in rows:
        path = folder / row["path"]
        phrase = f"{path.name.partition('__')[2]}, a phrase"
        pages = int(row["pages"] or 1)
        yield row_of(phrase, row["key_phrase"], path.read_bytes(), path.name, pages=pages, anywhere=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--pages", nargs="*", choices=PAGES, default=list(PAGES))
    options = parser.parse_args(arguments)
    started = time.process_time()
    read_text(drawn(PAGES["clean"]), "first.png")
    print(f"The first page, with the models: {time.process_time() - started:.1f} s\n")  # noqa: T201
    columns = ("page", "characters of truth", "characters wrong", "words wrong", "sure", "seconds a page")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")  # noqa: T201
    for name in options.pages:
        truth = "\n".join(paragraphs_of(PAGES[name]))
        print(row_of(name, truth, drawn(PAGES[name]), "page.png"), flush=True)  # noqa: T201
    zoo = options.shared / "corpora" / "format_zoo"
    for line in zoo_rows(zoo) if zoo.is_dir() else ("The format zoo is not there: its scans are left out.",):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
