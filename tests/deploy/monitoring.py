"""What the delivered dashboard, rules and alerts ask Prometheus for."""

import json
import pathlib
import re
import urllib.parse
import urllib.request

MONITORING = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "monitoring"


def delivered_dashboard():
    return json.loads((MONITORING / "grafana" / "dashboards" / "cddp.json").read_text())


def filled_in(expression, rate_interval):
    """A panel's expression as Grafana sends it, with all shards chosen."""
    return expression.replace("$__rate_interval", rate_interval).replace("$shard", ".*")


def queries(dashboard, rate_interval):
    """Name and expression of everything that asks for metrics; rates need an interval of several scrapes."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel '{panel['title']}'", filled_in(target["expr"], rate_interval)
    for file in ("recording.yml", "alerts.yml"):
        # What an alert or recorded series is made of exists; whether an alert fires is promtool's part.
        for metric in sorted(set(re.findall(r"\bcddp_(?:server|worker)_\w+", (MONITORING / file).read_text()))):
            yield file, metric
    for metric in re.findall(r"record: (\S+)", (MONITORING / "recording.yml").read_text()):
        yield "recorded", metric


def _ask(port, path, **parameters):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)["data"]["result"]


def answer(port, expression):
    return _ask(port, "query", query=expression)


def answer_over_time(port, expression, start, end, step):
    """Series with their values at start, start + step, ... end (seconds)."""
    return _ask(port, "query_range", query=expression, start=start, end=end, step=step)
