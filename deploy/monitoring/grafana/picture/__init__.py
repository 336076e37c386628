"""For make_picture: draws the dashboard as Grafana would show it, as SVG."""
