"""Invitations in mail (iCalendar): what, when, where and with whom as lines of text.

Belongs here: events of a calendar part. Does not belong here: MIME (`mime`).
"""

from __future__ import annotations

import re

from rag_pipeline.parsing.decode import clean_text

# An invitation has a few; a whole calendar as a mail is no invitation.
MAX_EVENTS = 1_000
# The events that are read lie well within it.
MAX_CALENDAR_CHARS = 1_000_000
# As many recipients as are shown of a message.
MAX_ATTENDEES_CHARS = 500
_FIELDS = {
    "SUMMARY": "Event",
    "DTSTART": "Start",
    "DTEND": "End",
    "LOCATION": "Location",
    "ORGANIZER": "Organizer",
    "ATTENDEE": "Attendees",
    "RRULE": "Repeats",
    "STATUS": "Status",
    "DESCRIPTION": "Description",
}
_LINE = re.compile(r"([A-Za-z-]+)((?:;[^:\"\n]*(?:\"[^\"\n]*\"[^:\"\n]*)*)?):(.*)$")
_NAME = re.compile(r";CN=\"?([^\";:]+)", re.I)
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?$")


def event_texts(text: str) -> list[str]:
    """One text an event, a line a field; empty for text that holds no event."""
    unfolded = re.sub(r"\n[ \t]", "", text[:MAX_CALENDAR_CHARS].replace("\r\n", "\n"))
    events: list[dict[str, str]] = []
    is_inside = False
    for line in unfolded.split("\n"):
        mark = line.strip().upper()
        if mark in ("BEGIN:VEVENT", "BEGIN:VTODO") and len(events) < MAX_EVENTS:
            is_inside = True
            events.append({})
        elif mark in ("END:VEVENT", "END:VTODO", "BEGIN:VALARM"):
            # An alarm has a description of its own, and comes after the event's fields.
            is_inside = False
        elif is_inside and (match := _LINE.match(line)):
            name, parameters, value = match.groups()
            label = _FIELDS.get(name.upper())
            if label:
                said = _value(label, parameters, value)
                known = events[-1].setdefault(label, said)
                if label == "Attendees" and known != said and len(known) < MAX_ATTENDEES_CHARS:
                    events[-1][label] = f"{known}, {said}"
    texts = (
        "\n".join(f"{label}: {event[label]}" for label in _FIELDS.values() if event.get(label)) for event in events
    )
    return [text for text in texts if text]


def _value(label: str, parameters: str, value: str) -> str:
    if label in ("Organizer", "Attendees"):
        named = _NAME.search(parameters)
        value = named.group(1) if named else re.sub(r"^mailto:", "", value, flags=re.I)
    moment = _MOMENT.match(value.strip())
    if moment and label in ("Start", "End"):
        year, month, day, hour, minute, zulu = moment.groups()
        return f"{year}-{month}-{day}" + (f" {hour}:{minute}{' UTC' if zulu else ''}" if hour else "")
    value = re.sub(r"\\([nN,;\\])", lambda match: " " if match.group(1) in "nN" else match.group(1), value)
    return " ".join(clean_text(value).split())
