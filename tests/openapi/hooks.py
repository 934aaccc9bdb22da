"""What Schemathesis cannot learn from a schema: CONTRIBUTING.md, "Long runs", says how it is run.

APP and SPACE name an app and its space, as `standalone` prints them.
"""

import os
import re
import uuid

import schemathesis
from hypothesis import strategies as st

FIELDS = st.tuples(
    st.sampled_from(["*", "?", "0", "59", "*/7", "5-10/2", "1,2,3", "07"]),
    st.sampled_from(["*", "0", "23", "*/5", "9-17"]),
    st.sampled_from(["*", "?", "1", "31", "L", "L-3", "LW", "15W", "1,L"]),
    st.sampled_from(["*", "1", "DEC", "jan-Mar", "*/2"]),
    st.sampled_from(["*", "?", "0", "7", "MON-5", "FRIL", "5#2", "SUN,SAT"]),
    st.sampled_from(["", " *", " 2099", " 2030-2040/3"]),
).map(lambda fields: " ".join(fields[:5]) + fields[5])
NAMED = st.sampled_from(["@yearly", "@Monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every 1h30m", "@every 90s"])
ZONES = st.sampled_from(["", "TZ=UTC ", "CRON_TZ=Europe/Berlin ", "TZ=Australia/Lord_Howe "])

EXPRESSION = re.compile(r"\s*(\S+=\S+\s+)?(@\S+(\s+\S+)?|[\dA-Za-z*?].*(\s+\S+){4,5})\s*$")

# A regular expression cannot say what a cron expression is, nor which apps and spaces there are.
schemathesis.openapi.format("cron-expression", st.tuples(ZONES, FIELDS | NAMED).map("".join))
schemathesis.openapi.format("app-guid", st.just(os.environ["APP"]))
schemathesis.openapi.format("space-guid", st.just(os.environ["SPACE"]))


def is_valid(context, case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def with_real_values(values):
    """A schema-valid request, but for what no schema can say."""
    values = dict(values)
    # A name that is taken is refused: each gets one of its own.
    if isinstance(values.get("name"), str):
        values["name"] = values["name"][:200] + str(uuid.uuid4())
    # What chance has made is not for this machine's shell.
    if isinstance(values.get("command"), str):
        values["command"] = "echo done"
    # The apps and spaces that there are.
    for name, real in (("app_guid", "APP"), ("space_guid", "SPACE")):
        if isinstance(values.get(name), str):
            values[name] = os.environ[real]
    # Tests of the shortest and the longest text know no format: a valid expression that is as long.
    expression = values.get("expression")
    if isinstance(expression, str) and not EXPRESSION.match(expression):
        values["expression"] = "* * * * *".ljust(len(expression))
    # 1024.0 is 1024 for a schema, and no whole number for clients that send and read integers.
    for name in ("memory_in_mb", "disk_in_mb", "timeout_seconds", "expect_success_within_seconds"):
        if isinstance(values.get(name), float):
            values[name] = int(values[name])
    if isinstance(values.get("retry"), dict):
        values["retry"] = {
            name: int(value) if isinstance(value, float) else value for name, value in values["retry"].items()
        }
    # Rules of whole values, which docs/runs.md has.
    if isinstance(values.get("signing_secret"), str):
        values["signing_secret"] = "whsec_" + "A" * 32
    if isinstance(values.get("success_statuses"), str):
        values["success_statuses"] = "200-299,304"
    if isinstance(values.get("headers"), dict):
        values["headers"] = {f"X-Own-{number}": value[:100] for number, value in enumerate(values["headers"].values())}
    if isinstance(values.get("body"), str):
        values["body"] = values["body"].encode()[:100_000].decode(errors="ignore")
    if values.get("method") in ("GET", "HEAD"):
        values["body"] = None
    elif "body" in values:
        values.setdefault("method", "POST")
    return values


@schemathesis.hook
def before_call(context, case, kwargs):
    if is_valid(context, case):
        if isinstance(case.body, dict):
            case.body = with_real_values(case.body)
        if case.query:
            case.query = with_real_values(case.query)
    elif isinstance(case.body, dict) and isinstance(case.body.get("command"), str) and case.body["command"].strip():
        # One wrong field is enough; this one is never to run.
        case.body = {**case.body, "command": "echo done" + " " * (len(case.body["command"]) - 9)}
