"""Makes the PDF files in `reports/`; run it again only when their text changes.

Needs reportlab, which the project itself does not depend on: `pip install reportlab && python make_pdfs.py`.
The output is the same on every run. Belongs here: the reports' text and layout, nothing else.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    ListFlowable,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

REPORTS = Path(__file__).resolve().parent / "reports"
DAMAGED_BYTES = 900
STYLES = getSampleStyleSheet()
BODY = ParagraphStyle("body", parent=STYLES["BodyText"], fontSize=10.5, leading=15, spaceAfter=6)

# A report is a list of (kind, content): "h1", "h2", "p" hold text; "list" and "table" hold rows; "page" breaks.
Part = tuple[str, str | list[str] | list[list[str]]]

ANNUAL_REPORT: list[Part] = [
    ("p", "A year with calm water, one hard winter storm and more passengers than ever before."),
    ("h2", "The year in brief"),
    (
        "p",
        "In 2025 Skarrow Ferries carried 1,914,000 passengers and 402,000 cars, 4.1 percent more than in the "
        "year before. Of 17,640 planned sailings we cancelled 318, three out of four of them because of wind.",
    ),
    (
        "p",
        "Punctuality was 93.8 percent. A sailing counts as punctual if it arrives no more than five minutes "
        "late. The target of 95 percent was missed for the second time, mainly because of long loading times "
        "in Brannoch, where the new waiting lanes opened only in September.",
    ),
    ("h2", "Key figures"),
    (
        "table",
        [
            ["", "2023", "2024", "2025"],
            ["Passengers (thousands)", "1,771", "1,839", "1,914"],
            ["Cars (thousands)", "371", "388", "402"],
            ["Revenue (EUR million)", "38.2", "40.9", "43.6"],
            ["Result before tax (EUR million)", "1.1", "2.4", "2.9"],
            ["Diesel (tonnes)", "9,480", "9,350", "9,110"],
            ["Employees", "322", "331", "340"],
        ],
    ),
    ("page", ""),
    ("h2", "Passengers and sales"),
    (
        "p",
        "For the first time more than half of all tickets were bought on a telephone: 54 percent. Kiosks fell "
        "to 19 percent, and the crew sold 11 percent on board. The rest came through travel agencies.",
    ),
    (
        "p",
        "Complaints went down to 2.3 for every 10,000 passengers. The most frequent reason was the heating in "
        "the waiting room in Inverlyne, which was replaced in November.",
    ),
    ("h2", "People"),
    (
        "p",
        "We trained 26 cadets, nine of them women. Sick leave fell from 6.1 to 5.4 percent. Captain Elspeth "
        "Marr became head of nautical services on 1 June.",
    ),
    ("h2", "Environment"),
    (
        "p",
        "Shore power in Aldersay has supplied three berths since April. Together with slower crossings in the "
        "evening it saved 240 tonnes of diesel. From 2026 the hybrid ferry MV Skerra will save far more.",
    ),
    ("p", "We collected 1.7 tonnes of rubbish from the beaches of Tarsay with the help of 410 volunteers."),
    ("page", ""),
    ("h2", "Fleet"),
    (
        "table",
        [
            ["Ship", "Built", "Passengers", "Cars", "Route"],
            ["MV Corriel", "1991", "390", "60", "Aldersay - Brannoch"],
            ["MV Marrit", "2004", "310", "44", "Brannoch - Inverlyne"],
            ["MV Brae Wind", "2011", "180", "none", "Inverlyne - Holmquay"],
            ["MV Tarn Light", "2008", "350", "52", "Aldersay - Tarsay"],
            ["MV Linnet", "1998", "240", "31", "relief vessel"],
            ["MV Skerra", "2026", "420", "68", "under construction"],
        ],
    ),
    ("h2", "Outlook"),
    (
        "p",
        "We expect two million passengers in 2026. Fares stay unchanged until October. In autumn we decide "
        "whether the Tarsay to Holmquay route, so far a summer service, can run all year.",
    ),
]

SAFETY_AUDIT: list[Part] = [
    (
        "p",
        "Audit of 11 and 12 February 2026 by Samuel Achterberg and Aud Sinclair. The report goes to operations "
        "control, the harbour masters and the safety committee.",
    ),
    ("h2", "1 Scope"),
    (
        "p",
        "The audit looked at the passenger gangway, the linkspan, the fire equipment and the emergency drills of "
        "the terminal in Inverlyne. The ships were not part of it.",
    ),
    ("h2", "2 Findings"),
    (
        "table",
        [
            ["No.", "Finding", "Grade", "Due"],
            ["F1", "Hydraulic hose of the linkspan past its service life", "major", "20 March 2026"],
            ["F2", "Two of nine fire extinguishers without inspection tag", "minor", "28 February 2026"],
            ["F3", "Emergency lighting in the tunnel lasts 22 minutes instead of 60", "major", "15 April 2026"],
            ["F4", "Assembly point sign hidden by a vending machine", "minor", "at once"],
        ],
    ),
    (
        "p",
        "Finding F1 repeats a finding of 2023. The hose was ordered then, delivered, and is still in its box in "
        "the workshop. We therefore raise its grade from minor to major.",
    ),
    ("h2", "3 Drills"),
    (
        "p",
        "In the evacuation drill 86 volunteers left the building in 4 minutes and 10 seconds. The limit is six "
        "minutes. Two persons in wheelchairs waited at the lift, which does not work in an alarm; the evacuation "
        "chair was found, but nobody on duty had been trained to use it.",
    ),
    ("page", ""),
    ("h2", "4 Recommendations"),
    (
        "list",
        [
            "Train at least two persons on every shift to use the evacuation chair, by the end of May.",
            "Replace the batteries of the tunnel lights every four years instead of on failure.",
            "Keep a list of open findings on the wall of the duty office, with names.",
        ],
    ),
    ("h2", "5 What is good"),
    (
        "p",
        "The first-aid room is exemplary. The staff know where the shut-off valves are without looking at the "
        "plan, and the log of small leaks is complete since 2019.",
    ),
    ("h2", "6 Next audit"),
    (
        "p",
        "The next audit of Inverlyne takes place in February 2028, unless F1 or F3 is still open on 30 April 2026; "
        "in that case a further visit follows in June.",
    ),
]

BOARD_PAPER: list[Part] = [
    ("p", "Paper for the board meeting of 26 March 2026, presented by Henrike Vogt. Confidential."),
    ("h2", "Decision asked for"),
    (
        "p",
        "The board is asked to approve a second hybrid ferry as the replacement for MV Corriel, with a ceiling of "
        "EUR 31.5 million, and to give the managing director power to sign the option with Reuterwerft before it "
        "lapses on 31 May 2026.",
    ),
    ("h2", "Why now"),
    (
        "p",
        "MV Corriel needs a new main engine before the 2029 season. It would cost EUR 3.8 million and extend her "
        "life by six years at most. The option from the contract for MV Skerra fixes the yard price of 2023.",
    ),
    ("h2", "Options compared"),
    (
        "table",
        [
            ["Option", "Investment", "Yearly fuel", "Cost per passenger"],
            ["Keep MV Corriel, new engine", "EUR 3.8 million", "EUR 1.42 million", "EUR 4.61"],
            ["Buy a used ferry", "EUR 12.0 million", "EUR 1.28 million", "EUR 4.38"],
            ["Second hybrid ferry", "EUR 31.5 million", "EUR 0.51 million", "EUR 4.12"],
        ],
    ),
    ("page", ""),
    ("h2", "Financing"),
    (
        "p",
        "Forty percent come from a green loan of the Coastal Development Bank at 3.1 percent over 18 years. A state "
        "grant covers EUR 6.0 million if the contract is signed this year. The rest is paid from reserves.",
    ),
    ("p", "After the purchase, reserves fall to EUR 5.2 million. The loan agreement wants at least EUR 4.0 million."),
    ("h2", "Risks"),
    (
        "list",
        [
            "A delay of the yard by more than four months would leave the Tarsay route without a relief vessel.",
            "Battery prices may rise; the option allows an increase of up to five percent.",
            "If the grant is refused, the payback time grows from 14 to 19 years.",
        ],
    ),
    ("h2", "Recommendation"),
    ("p", "The finance committee recommends the second hybrid ferry with four votes to one."),
]


class Heading(Paragraph):
    """A heading that also becomes a bookmark, so that a reader can tell it from bold text."""

    def draw(self) -> None:
        key = self.getPlainText()
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(key, key, level=0 if self.style.name == "Title" else 1)
        super().draw()


def flowables(title: str, parts: list[Part]) -> list[Flowable]:
    """Turn a report's parts into what reportlab lays out."""
    makers = {
        "h2": lambda content: [Heading(content, STYLES["Heading2"])],
        "p": lambda content: [Paragraph(content, BODY)],
        "list": lambda content: [ListFlowable([Paragraph(row, BODY) for row in content], bulletType="bullet")],
        "table": lambda content: [table(content), Spacer(1, 4 * mm)],
        "page": lambda _: [PageBreak()],
    }
    return [Heading(title, STYLES["Title"])] + [made for kind, content in parts for made in makers[kind](content)]


def table(rows: list[list[str]]) -> Table:
    """A ruled table whose first row is the header."""
    style = [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
    ]
    return Table(rows, style=style, hAlign="LEFT")


def frame(title: str, canvas: Canvas, document: SimpleDocTemplate) -> None:
    """Draw the running header and the page number."""
    canvas.setFont("Helvetica", 8)
    canvas.drawString(20 * mm, 285 * mm, f"Skarrow Ferries | {title}")
    canvas.drawRightString(190 * mm, 12 * mm, f"Page {document.page}")


def make(name: str, title: str, author: str, parts: list[Part]) -> None:
    """Write one report to `reports/`."""
    path = REPORTS / name
    document = SimpleDocTemplate(
        str(path), pagesize=A4, title=title, author=author, invariant=1, topMargin=25 * mm, bottomMargin=22 * mm
    )
    on_page = partial(frame, title)
    document.build(flowables(title, parts), onFirstPage=on_page, onLaterPages=on_page)


def main() -> None:
    """Write the three reports, and a damaged one that has lost all but its first bytes."""
    make("annual-report-2025.pdf", "Annual report 2025", "Skarrow Ferries", ANNUAL_REPORT)
    make("safety-audit-inverlyne.pdf", "Safety audit of the Inverlyne terminal", "Samuel Achterberg", SAFETY_AUDIT)
    make("board-fleet-renewal.pdf", "Renewal of the fleet", "Henrike Vogt", BOARD_PAPER)
    whole = (REPORTS / "safety-audit-inverlyne.pdf").read_bytes()
    (REPORTS / "scan-damaged.pdf").write_bytes(whole[:DAMAGED_BYTES])


if __name__ == "__main__":
    main()
