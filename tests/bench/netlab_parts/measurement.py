"""What one run showed, a step."""

import dataclasses


@dataclasses.dataclass
class Measurement:
    name: str
    step_seconds: float
    sent_bytes: float   # by all hosts together
    cpu_seconds: float  # likewise
    compute_seconds: float
    parts: dict = dataclasses.field(default_factory=dict)  # where a worker's time went, seconds

    @property
    def efficiency(self):
        return self.compute_seconds / self.step_seconds


def table(measurements):
    """Markdown; the first row is what the others are compared with."""
    lines = ["| | step, ms | efficiency | times ours | MB sent by all hosts | CPU, s |", "| --- " + "| ---: " * 5 + "|"]
    ours = measurements[0].step_seconds
    for row in measurements:
        lines.append(f"| {row.name} | {1e3 * row.step_seconds:.0f} | {100 * row.efficiency:.1f} % "
                     f"| {row.step_seconds / ours:.1f} | {row.sent_bytes / 1e6:.1f} | {row.cpu_seconds:.2f} |")
    return "\n".join(lines)
