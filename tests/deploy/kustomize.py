"""Builds of deploy/kubernetes, as the tests read them."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

KUBERNETES = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(p.name for p in (KUBERNETES / "overlays").iterdir())
SKIPPED = 77


def require_tools():
    """Ends the test as skipped, loudly, where it cannot run."""
    if not shutil.which("kubectl"):
        print("SKIPPED: kubectl is not installed; the manifests were not tested")
        sys.exit(SKIPPED)
    try:
        import yaml  # noqa: F401
    except ImportError:
        print("SKIPPED: Python's yaml is not installed (apt-get install python3-yaml); the manifests were not tested")
        sys.exit(SKIPPED)


@functools.cache
def build_text(folder):
    return subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True).stdout


def build(folder):
    import yaml
    return [d for d in yaml.load_all(build_text(folder), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if d]


def build_variant(overlay, folder, kustomization):
    """A user's overlay over one of ours, made in `folder`; `kustomization` is what it adds."""
    relative = pathlib.Path(os.path.relpath(KUBERNETES, pathlib.Path(folder).resolve()))
    text = (f"resources: [{relative}/overlays/{overlay}]\n" + kustomization.replace("KUBERNETES", str(relative)))
    (pathlib.Path(folder) / "kustomization.yaml").write_text(text)
    return build(folder)


def pod_specs(documents):
    """(name, template) of every pod that the documents make; a JobSet's are named by its Jobs."""
    for document in documents:
        kind, spec, name = document["kind"], document.get("spec", {}), document["metadata"]["name"]
        if kind in ("StatefulSet", "Job"):
            yield f"{kind}/{name}", spec["template"]
        elif kind == "JobSet":
            for job in spec["replicatedJobs"]:
                yield f"{kind}/{job['name']}", job["template"]["spec"]["template"]
        elif kind == "Pod":
            yield f"{kind}/{name}", document


def role_templates(documents):
    """The templates of servers and workers: {"cddp-server": ..., "cddp-worker": ...}."""
    roles = {}
    for _, template in pod_specs(documents):
        name = template["metadata"]["labels"]["app.kubernetes.io/name"]
        if name in ("cddp-server", "cddp-worker"):
            assert name not in roles, name
            roles[name] = template
    return roles
