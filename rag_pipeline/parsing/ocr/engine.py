"""The engine: lines of text, with their places, of one picture.

Belongs here: rapidocr's detector and recogniser, the sizes they are given, one thread, processor time for each page.
Does not belong here: reading order (`lines.py`), opening files (`pictures.py`, `pdf/scanned.py`).

Its models run on OpenVINO, which embeds too. OpenVINO keeps what it made for each size of input, so pages and lines
are padded to few sizes: without that, two hundred pages fill the memory of a worker.
"""

from __future__ import annotations

import math
import resource
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.ocr.lines import Line
from rag_pipeline.parsing.ocr.options import OcrOptions, models_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Pixels. A4 at 150 dots per inch is 1,754 high; small print is read from that as well as from more, in half the time.
LONGEST_SIDE = 1_760
# Pixels. Letters of a scan in low resolution are read better when they are made larger.
SHORTEST_LONGEST_SIDE = 1_100
# Pixels; a page is padded with white to a multiple of it.
PAGE_STEP = 160
# Pixels of height that the recogniser wants, and the widths that a line is padded to.
LINE_HEIGHT = 48
LINE_WIDTHS = (160, 320, 480, 640, 960, 1280, 1920, 2560)
# What the recogniser makes of a line below this is more often wrong than right: a drawing, a stain.
MIN_CONFIDENCE = 0.5
# Times as high as wide: a line that stands upright.
UPRIGHT = 1.5
# Lines on a page that is turned; fewer do not say how it lies.
MIN_TURNED_LINES = 3
# Lines on a page, and what they may have beside them; a page of a newspaper has a thousand.
MAX_LINES = 3_000
# Of what the engine says of a failure; enough to look it up.
MAX_FAILURE_CHARS = 200
# What the models take for grey: it is zero to them.
GREY, WHITE = 128, 255


class PageReader:
    """Reads pages of one object, and counts them."""

    def __init__(self, options: OcrOptions) -> None:
        self._options = options
        self._claimed = 0
        self.failures: list[str] = []
        """What the engine said of each page that it failed on."""
        self.unsure_lines = 0
        """Lines that were found and left out: the engine was not sure of them, or a page had too many."""

    @property
    def reads_all(self) -> bool:
        """Whether pictures are read that stand beside text, too."""
        return self._options.reads_all

    def may_read_another(self) -> bool:
        """Claim one more picture; False where the object has had as many as it may: the rest of it is read."""
        is_allowed = self._claimed < self._options.max_ocr_pages
        self._claimed += is_allowed
        return is_allowed

    def claim(self, pages: int, address: str) -> None:
        """Ask for so many pages before reading the first of them.

        Raises:
            LimitExceeded: They are more than the object may have, with those read before.
        """
        self._claimed += pages
        check_count(self._claimed, self._options.max_ocr_pages, "pages to read", address)

    def begin_page(self) -> None:
        """Let this page have its own processor time, where there is a limit at all; it never shrinks."""
        soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
        if soft == resource.RLIM_INFINITY:
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        wanted = math.ceil(usage.ru_utime + usage.ru_stime) + self._options.page_seconds
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if allowed > soft:
            resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard))

    def read(self, page: NDArray[np.uint8]) -> list[Line]:
        """Lines of a page in the engine's order; none where there is no text, or the engine fails: see `failures`.

        Args:
            page: Height by width by blue, green, red.
        """
        try:
            lines, unsure = _read(page)
        except (MemoryError, ImportError):
            raise
        # What the engine cannot take leaves this page unread and is told; the rest is read.
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}"[:MAX_FAILURE_CHARS])
            return []
        self.unsure_lines += unsure
        return lines


class BlindReader(PageReader):
    """Reads nothing, and has pages that nobody read count as read: for who wants the pictures on them alone."""

    def __init__(self) -> None:
        super().__init__(OcrOptions())

    def claim(self, pages: int, address: str) -> None:
        """Nothing is read, so any number may be."""

    def begin_page(self) -> None:
        """It takes no time."""

    def read(self, page: NDArray[np.uint8]) -> list[Line]:  # noqa: ARG002 - nobody looks
        """A line of nothing."""
        return [Line("-", 0.1, 0.1, 0.9, 0.2, 1.0)]


def fitted_scale(width: float, height: float) -> float:
    """What sides are multiplied by to make a picture as large as the engine wants it."""
    longest = max(width, height, 1.0)
    return min(LONGEST_SIDE / longest, max(1.0, SHORTEST_LONGEST_SIDE / longest))


def _read(page: NDArray[np.uint8]) -> tuple[list[Line], int]:
    """Lines of a page, and how many were found beside them."""
    import cv2

    engine = _engine()
    found, crops = _detected(engine, page)
    if len(crops) >= MIN_TURNED_LINES and 2 * sum(_stands(box) for box in found) > len(found):
        page = cv2.rotate(page, cv2.ROTATE_90_COUNTERCLOCKWISE).astype(page.dtype, copy=False)
        found, crops = _detected(engine, page)
    if len(crops) >= MIN_TURNED_LINES and _is_upside_down(engine, crops):
        page = cv2.rotate(page, cv2.ROTATE_180).astype(page.dtype, copy=False)
        found, crops = _detected(engine, page)
    if not crops:
        return [], 0
    height, width = page.shape[:2]
    texts = _recognised(engine, crops)
    lines = [
        Line(
            text,
            float(box[:, 0].min()) / width,
            float(box[:, 1].min()) / height,
            float(box[:, 0].max()) / width,
            float(box[:, 1].max()) / height,
            round(score, 4),
        )
        for box, (text, score) in zip(found, texts, strict=False)
        if text and score >= MIN_CONFIDENCE
    ]
    return lines, len(found) - len(lines)


def _detected(engine: Any, page: NDArray[np.uint8]) -> tuple[list[Any], list[Any]]:
    """Corners of each line in pixels of the page, and the lines cut out."""
    import numpy as np

    height, width = page.shape[:2]
    padded = np.full(
        (PAGE_STEP * math.ceil(height / PAGE_STEP), PAGE_STEP * math.ceil(width / PAGE_STEP), 3), WHITE, np.uint8
    )
    padded[:height, :width] = page
    found = engine.text_det(padded).boxes
    boxes = [] if found is None else list(found)
    return boxes, engine.crop_text_regions(padded, boxes[:MAX_LINES]) if boxes else []


def _stands(box: Any) -> bool:
    wide, high = box[:, 0].max() - box[:, 0].min(), box[:, 1].max() - box[:, 1].min()
    return bool(high > UPRIGHT * wide)


def _is_upside_down(engine: Any, crops: list[Any]) -> bool:
    # Long lines say it best, and a dozen is enough.
    longest = sorted(crops, key=lambda crop: -crop.shape[1])[:12]
    turned = sum(label == "180" for label, _ in engine.text_cls(longest).cls_res)
    return bool(2 * turned > len(longest))


def _recognised(engine: Any, crops: list[Any]) -> list[tuple[str, float]]:
    from rapidocr.ch_ppocr_rec import TextRecInput

    lines = [_sized(crop) for crop in crops]
    output = engine.text_rec(TextRecInput(img=lines, return_word_box=False))
    return [(text.strip(), float(score)) for text, score in zip(output.txts, output.scores, strict=True)]


def _sized(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A line of the height that is wanted, padded to the next of few widths."""
    import cv2
    import numpy as np

    height, width = crop.shape[:2]
    wanted = max(1, min(LINE_WIDTHS[-1], math.ceil(LINE_HEIGHT * width / max(1, height))))
    line = np.full((LINE_HEIGHT, next(step for step in LINE_WIDTHS if step >= wanted), 3), GREY, np.uint8)
    line[:, :wanted] = cv2.resize(crop, (wanted, LINE_HEIGHT))
    return line


@lru_cache(maxsize=1)
def _engine() -> Any:
    """Opened once in each process, with one thread: workers share the machine's cores already."""
    import cv2
    from rapidocr import EngineType, RapidOCR

    cv2.setNumThreads(1)
    folder = models_folder()
    files = {
        "Det": "PP-OCRv6_det_small.onnx",
        "Rec": "PP-OCRv6_rec_small.onnx",
        "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    }
    params: dict[str, Any] = {"Global.log_level": "critical", "Rec.rec_batch_num": 1, "Cls.cls_batch_num": 1}
    params |= {f"{part}.engine_type": EngineType.OPENVINO for part in files}
    params |= {f"{part}.model_path": str(folder / name) for part, name in files.items()}
    params |= {
        "Rec.rec_img_shape": [3, LINE_HEIGHT, LINE_WIDTHS[0]],
        "EngineConfig.openvino.inference_num_threads": 1,
        "EngineConfig.openvino.performance_hint": "LATENCY",
        "EngineConfig.openvino.num_streams": 1,
    }
    engine: Any = RapidOCR(params=params)
    # They are opened at their first use, which has to happen within this function's guard.
    engine._load_det_model()
    engine._load_cls_model()
    engine._load_rec_model()
    return engine
