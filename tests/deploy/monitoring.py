"""What the delivered dashboard, rules and alerts ask Prometheus for."""

import json
import pathlib
import re
import urllib.parse
import urllib.request

MONITORING = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "monitoring"


def delivered_dashboard():
    return json.loads((MONITORING / "grafana" / "dashboards" / "cddp.json").read_text())


def queries(dashboard, rate_interval):
    """Name and expression of everything that asks for metrics; rates need an interval of several scrapes."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel '{panel['title']}'", target["expr"].replace("$__rate_interval", rate_interval).replace("$shard", ".*")
    for file in ("recording.yml", "alerts.yml"):
        # What an alert or recorded series is made of exists; whether an alert fires is promtool's part.
        for metric in sorted(set(re.findall(r"\bcddp_(?:server|worker)_\w+", (MONITORING / file).read_text()))):
            yield file, metric
    for metric in re.findall(r"record: (\S+)", (MONITORING / "recording.yml").read_text()):
        yield "recorded", metric


def answer(port, expression):
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)["data"]["result"]
