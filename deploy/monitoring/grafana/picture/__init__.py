"""What make_picture draws with: the dashboard as Grafana would show it, as SVG."""
