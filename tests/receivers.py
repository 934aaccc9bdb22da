"""Notifications against receivers that others wrote: Prometheus's Alertmanager, and a verifier of Standard Webhooks.

Run by hand; CONTRIBUTING.md has the command. Takes about two and a half minutes, because the shortest time in which a
success can be expected is a minute.
"""

import http.server
import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/debug/ocf-scheduler"
ALERTMANAGER = os.environ.get("ALERTMANAGER", "prometheus-alertmanager")
OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TOKEN = "a-long-text-that-nobody-guesses"
SECONDS_MAX = 150
FILE = f"""
[[app]]
name = "app"
space = "space"
[[token]]
token = "{TOKEN}"
user = "dev"
role = "developer"
spaces = ["space"]
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """The target of the call, the receiver of signed messages, and that of Alertmanager's."""

    status = 500
    signed = queue.Queue()
    alerted = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200
        if self.path == "/target":
            status = Receiver.status
        elif self.path == "/signed":
            Receiver.signed.put((dict(self.headers.items()), body))
        elif self.path == "/alerted":
            for alert in json.loads(body)["alerts"]:
                Receiver.alerted.put((alert["status"], alert["labels"]["event"]))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def asked(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def wait(what, look):
    began = time.monotonic()
    while time.monotonic() - began < SECONDS_MAX:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen:
            print(f"ok    {what} ({time.monotonic() - began:.1f} s)")
            return seen
        time.sleep(0.2)
    sys.exit(f"WRONG {what}: waited in vain")


def held(what, holds):
    if not holds:
        sys.exit(f"WRONG {what}")
    print(f"ok    {what}")


def verified(kind):
    """The next signed message, which each secret verifies, and no other one."""
    headers, body = Receiver.signed.get(timeout=SECONDS_MAX)
    for secret in (OLD, NEW):
        message = Webhook(secret).verify(body, headers)
    held(f"{kind} is verified with both secrets", message["type"] == kind)
    for changed in (body + b" ", body.replace(b'"type"', b'"Type"')):
        try:
            Webhook(OLD).verify(changed, headers)
        except WebhookVerificationError:
            continue
        sys.exit("WRONG a changed body is verified")
    return message


def main(directory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = f"http://127.0.0.1:{server.server_port}"
    manager = f"http://127.0.0.1:{free_port()}"
    config = directory / "alertmanager.yml"
    # JSON is YAML.
    config.write_text(json.dumps({
        "route": {"receiver": "own", "group_by": ["space_guid"], "group_wait": "1s", "group_interval": "2s"},
        "receivers": [{"name": "own", "webhook_configs": [{"url": f"{own}/alerted", "send_resolved": True}]}],
    }))
    (directory / "standalone.toml").write_text(FILE)
    (directory / "standalone.toml").chmod(0o600)
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "LOG_LEVEL": "warn"}
    started = [
        subprocess.Popen(
            [ALERTMANAGER, f"--config.file={config}", f"--storage.path={directory}/alerts", "--cluster.listen-address=",
             "--web.listen-address=" + manager.removeprefix("http://"), "--log.level=error"]),
        subprocess.Popen([pathlib.Path(PROGRAM).absolute(), "standalone", "--config", "standalone.toml"],
                         cwd=directory, env=environment, stdout=subprocess.DEVNULL),
    ]
    try:
        check(own, manager, f"http://127.0.0.1:{port}")
    finally:
        for process in started:
            process.terminate()
            process.wait(30)


def check(own, manager, service):
    wait("Alertmanager is ready", lambda: urllib.request.urlopen(f"{manager}/-/ready"))
    wait("the service is ready", lambda: urllib.request.urlopen(f"{service}/healthz"))
    call = asked("POST", f"{service}/calls?app_guid=app", {"name": "ping", "url": f"{own}/target", "auth_header": ""})
    notifications = f"{service}/notifications?space_guid=space"
    asked("POST", notifications, {"name": "am", "url": manager, "format": "alertmanager"})
    secret = f"{OLD} {NEW}"
    signed = asked("POST", notifications, {"name": "signed", "url": f"{own}/signed", "secret": secret})

    def run(status):
        Receiver.status = status
        asked("POST", f"{service}/calls/{call['guid']}/execute")

    def active():
        return sorted(alert["labels"]["event"] for alert in asked("GET", f"{manager}/api/v2/alerts"))

    def alerted(status, event):
        seen = Receiver.alerted.get(timeout=SECONDS_MAX)
        # What fires is repeated in each message of its group.
        while seen == ("firing", "failed") != (status, event):
            seen = Receiver.alerted.get(timeout=SECONDS_MAX)
        held(f"Alertmanager tells {status} {event}: {' '.join(seen)}", seen == (status, event))

    asked("POST", f"{service}/notifications/{signed['guid']}/test")
    verified("test")
    run(500)
    wait("Alertmanager has what fails", lambda: active() == ["failed"])
    alert = asked("GET", f"{manager}/api/v2/alerts")[0]
    held("it is active", alert["status"]["state"] == "active")
    held("its labels are the event and guids", alert["labels"] == {
        "alertname": "OcfScheduler_failed", "event": "failed", "space_guid": "space", "app_guid": "app",
        "call_guid": call["guid"]})
    held("its annotations are texts", alert["annotations"]["summary"] == "call ping fails")
    held("it ends five minutes ahead", 200 < seconds_until(alert["endsAt"]) <= 300)
    alerted("firing", "failed")
    failed = verified("execution.failed")
    held("the failure is that of the call", failed["data"]["call"] == {"guid": call["guid"], "name": "ping"})
    wait("it is repeated each minute", lambda: asked("GET", f"{manager}/api/v2/alerts")[0]["endsAt"] > alert["endsAt"])
    run(200)
    wait("Alertmanager has nothing after the recovery", lambda: active() == [])
    alerted("resolved", "failed")
    verified("execution.recovered")

    asked("PATCH", f"{service}/calls/{call['guid']}", {"expect_success_within_seconds": 60})
    wait("Alertmanager has what is overdue", lambda: active() == ["overdue"])
    alerted("firing", "overdue")
    verified("job.overdue")
    run(200)
    wait("Alertmanager has nothing after the success", lambda: active() == [])
    alerted("resolved", "overdue")
    verified("execution.recovered")
    time.sleep(5)
    held("Alertmanager tells nothing else", Receiver.alerted.empty())
    held("nobody is told anything else", Receiver.signed.empty())


def seconds_until(text):
    instant = time.strptime(re.sub(r"\.\d+", "", text), "%Y-%m-%dT%H:%M:%SZ")
    return time.mktime(instant) - time.mktime(time.gmtime())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(pathlib.Path(directory))
