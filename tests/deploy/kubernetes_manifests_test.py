#!/usr/bin/python3
"""deploy/kubernetes as text: every overlay builds, fits the API's schemas, and its parts agree with each other and with the
programs' flags.

usage: kubernetes_manifests_test.py FOLDER_OF_PROGRAMS; exits with 77 (skipped) without kubectl or Python's yaml.
"""

import fnmatch
import functools
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import kustomize
from kustomize import KUBERNETES, OVERLAYS, build, build_text, build_variant, pod_specs, role_templates

MONITORING = KUBERNETES.parent / "monitoring"
VALIDATE = next((p / "shared/k8s/validate" for p in KUBERNETES.parents if (p / "shared/k8s/validate").exists()), None)
DRAIN_SECONDS = 30  # a server that gets SIGTERM ends within this


def of_kind(documents, kind):
    return [d for d in documents if d["kind"] == kind]


def selects(selector, labels):
    """A label selector, with the operators used here."""
    expressions = selector.get("matchExpressions", [])
    assert all(e["operator"] == "In" for e in expressions), expressions
    return (all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and
            all(labels.get(e["key"]) in e["values"] for e in expressions))


def flags_of(documents, container):
    """The program's flags as {name: value}, from its flag files and arguments; the last one counts."""
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    flags = {}

    def read(lines):
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, _, value = line.lstrip("-").partition("=")
            if name != "flagfile":
                flags[name] = value
                continue
            path = pathlib.PurePosixPath(value)
            assert mounts[str(path.parent)] == "flags", value
            role = {"server": "cddp-server-flags", "worker": "cddp-worker-flags"}[container["name"]]
            config, = (d for d in of_kind(documents, "ConfigMap") if d["metadata"]["name"] == role)
            read(config["data"][path.name].splitlines())

    read(container["args"])
    return flags


def for_each_overlay(test):
    @functools.wraps(test)
    def run(self):
        for overlay in OVERLAYS:
            with self.subTest(overlay=overlay):
                test(self, build(KUBERNETES / "overlays" / overlay))
    return run


class ManifestsTest(unittest.TestCase):
    def test_fits_the_schemas(self):
        if VALIDATE is None:
            self.skipTest("the API's schemas (shared/k8s/validate) are not here")
        folders = [*(KUBERNETES / "overlays").iterdir(), *(KUBERNETES / "files").iterdir(), KUBERNETES / "base"]
        with tempfile.TemporaryDirectory() as name:
            for folder in folders:
                (pathlib.Path(name) / f"{folder.name}.yaml").write_text(build_text(folder))
            files = sorted(pathlib.Path(name).iterdir())
            result = subprocess.run([VALIDATE, *files], capture_output=True, text=True)
        self.assertEqual(len(files), len(folders))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        unchecked = re.findall(r"unchecked .* \(([^/]+)/", result.stdout)
        self.assertLessEqual(set(unchecked), {"cert-manager.io", "monitoring.coreos.com"})

    @for_each_overlay
    def test_everything_is_in_the_namespace(self, documents):
        namespace, = of_kind(documents, "Namespace")
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
        for document in documents:
            if document is not namespace:
                self.assertEqual(document["metadata"].get("namespace"), namespace["metadata"]["name"],
                                 document["metadata"]["name"])

    def test_pods_are_restricted_and_bounded(self):
        builds = [build(KUBERNETES / folder) for folder in [*(f"overlays/{o}" for o in OVERLAYS), "files/pod"]]
        for name, template in (pod for documents in builds for pod in pod_specs(documents)):
            spec = template["spec"]
            with self.subTest(pod=name):
                self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
                self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertIs(spec["automountServiceAccountToken"], "end-servers" in name)
                self.assertFalse(any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")))
                self.assertFalse(any("hostPath" in v for v in spec.get("volumes", [])))
                for container in spec["containers"] + spec.get("initContainers", []):
                    self.assertEqual(container["securityContext"], {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                    resources = container["resources"]
                    self.assertEqual(resources["requests"], resources["limits"])
                    self.assertLessEqual({"cpu", "memory"}, set(resources["limits"]))
                    self.assertRegex(container["image"], r":v?\d+\.\d+\.\d+$", "no floating tag")

    @for_each_overlay
    def test_flags_are_the_programs(self, documents):
        for role, template in role_templates(documents).items():
            container, = template["spec"]["containers"]
            self.assertEqual(container["command"], [role])
            text = subprocess.run([PROGRAMS / role, "--help"], check=True, capture_output=True, text=True).stdout
            known = set(re.findall(r"^  --(\w+)", text, re.M))
            self.assertLessEqual(set(flags_of(documents, container)), known, role)

    @for_each_overlay
    def test_ports_agree(self, documents):
        templates = role_templates(documents)
        for role, template in templates.items():
            container, = template["spec"]["containers"]
            flags = flags_of(documents, container)
            port = {flag: int(flags[flag].rpartition(":")[2]) for flag in ("listen", "health_listen", "metrics_listen")
                    if flag in flags}
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            expected = {"metrics": port["metrics_listen"]}
            if role == "cddp-server":
                expected |= {"grpc": port["listen"], "health": port["health_listen"]}
                for probe in ("startupProbe", "readinessProbe"):
                    self.assertEqual(container[probe]["grpc"], {"port": port["health_listen"]})
                self.assertNotIn("livenessProbe", container)
                grpc = port["listen"]
            self.assertEqual(ports, expected)
            annotations = template["metadata"]["annotations"]
            self.assertEqual(annotations["prometheus.io/scrape"], "true")
            self.assertEqual(annotations["prometheus.io/port"], str(port["metrics_listen"]))
            self.assertEqual(annotations["prometheus.io/path"], "/metrics")
        worker, = templates["cddp-worker"]["spec"]["containers"]
        self.assertTrue(flags_of(documents, worker)["servers"].endswith(f":{grpc}"))
        self.check_traffic(documents, templates, grpc, ports["metrics"])
        for service in of_kind(documents, "Service"):
            self.assertEqual(service["spec"]["clusterIP"], "None")
            self.assertIs(service["spec"]["publishNotReadyAddresses"], True)
            named = {p["name"]: p["containerPort"] for p in templates["cddp-server"]["spec"]["containers"][0]["ports"]}
            for entry in service["spec"]["ports"]:
                self.assertEqual(entry["port"], named[entry["targetPort"]])
            self.check_selector({"matchLabels": service["spec"]["selector"]}, templates, ["cddp-server"])
        for monitor in of_kind(documents, "PodMonitor"):
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                self.assertEqual((endpoint["port"], endpoint["path"]), ("metrics", "/metrics"))
            self.check_selector(monitor["spec"]["selector"], templates, ["cddp-server", "cddp-worker"])

    def check_selector(self, selector, templates, roles):
        self.assertEqual([r for r, t in sorted(templates.items()) if selects(selector, t["metadata"]["labels"])], roles)

    def check_traffic(self, documents, templates, grpc, metrics):
        """What the NetworkPolicies let through, by role: TCP ports from workers, and from elsewhere in the cluster."""
        labels = {role: template["metadata"]["labels"] for role, template in templates.items()}
        open_ports = {(role, source): set() for role in labels for source in [*labels, "elsewhere"]}
        egress = set()
        for policy in of_kind(documents, "NetworkPolicy"):
            spec = policy["spec"]
            for role in labels:
                if not selects(spec["podSelector"], labels[role]):
                    continue
                for rule in spec.get("ingress", []):
                    for source in [*labels, "elsewhere"]:
                        if any("namespaceSelector" in f or source in labels and selects(f["podSelector"], labels[source])
                               for f in rule["from"]):
                            open_ports[role, source] |= {p["port"] for p in rule["ports"]}
                for rule in spec.get("egress", []):
                    targets = [t for t in labels if any(selects(f["podSelector"], labels[t]) for f in rule.get("to", []))]
                    egress |= {(role, t, p["port"]) for t in targets or ["anywhere"] for p in rule["ports"]}
        denied = [p for p in of_kind(documents, "NetworkPolicy") if set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"}
                  and "ingress" not in p["spec"] and "egress" not in p["spec"]]
        self.assertEqual(len(denied), 1, "a policy that denies all")
        for _, template in pod_specs(documents):
            self.assertTrue(selects(denied[0]["spec"]["podSelector"], template["metadata"]["labels"]))
        self.assertEqual(open_ports, {
            ("cddp-server", "cddp-worker"): {grpc, metrics}, ("cddp-server", "cddp-server"): {metrics},
            ("cddp-server", "elsewhere"): {metrics}, ("cddp-worker", "cddp-worker"): {metrics},
            ("cddp-worker", "cddp-server"): {metrics}, ("cddp-worker", "elsewhere"): {metrics}})
        self.assertEqual(egress, {("cddp-worker", "cddp-server", grpc), ("cddp-worker", "anywhere", 53)})

    @for_each_overlay
    def test_selectors_and_references(self, documents):
        templates = role_templates(documents)
        for workload in of_kind(documents, "StatefulSet"):
            self.check_selector(workload["spec"]["selector"], templates, ["cddp-server"])
            self.assertEqual(workload["spec"]["podManagementPolicy"], "Parallel")
            self.assertIn(workload["spec"]["serviceName"],
                          [s["metadata"]["name"] for s in of_kind(documents, "Service")])
        for budget in of_kind(documents, "PodDisruptionBudget"):
            self.check_selector(budget["spec"]["selector"], templates, ["cddp-server"])
        for role, template in templates.items():
            for constraint in template["spec"]["topologySpreadConstraints"]:
                self.check_selector(constraint["labelSelector"], templates, [role])
        made = {(d["kind"], d["metadata"]["name"]) for d in documents}
        made |= {("Secret", d["spec"]["secretName"]) for d in of_kind(documents, "Certificate")}
        made |= {("PersistentVolumeClaim", d["metadata"]["name"])
                 for d in of_kind(build(KUBERNETES / "files" / "many-nodes"), "PersistentVolumeClaim")}
        for name, template in pod_specs(documents):
            spec = template["spec"]
            self.assertIn(("ServiceAccount", spec["serviceAccountName"]), made, name)
            claims = [t["metadata"]["name"] for d in of_kind(documents, "StatefulSet") if name.startswith("StatefulSet")
                      for t in d["spec"]["volumeClaimTemplates"]]
            volumes = {v["name"]: v for v in spec.get("volumes", [])}
            for container in spec["containers"] + spec.get("initContainers", []):
                for mount in container["volumeMounts"]:
                    self.assertIn(mount["name"], [*volumes, *claims], name)
                for entry in container.get("env", []):
                    if "configMapKeyRef" in entry.get("valueFrom", {}):
                        reference = entry["valueFrom"]["configMapKeyRef"]
                        config, = (d for d in of_kind(documents, "ConfigMap")
                                   if d["metadata"]["name"] == reference["name"])
                        self.assertIn(reference["key"], config["data"])
            for volume in volumes.values():
                for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"),
                                         ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName")):
                    if field in volume:
                        self.assertIn((kind, volume[field][key]), made, name)

    @for_each_overlay
    def test_the_drain_has_time_and_exit_codes_have_consequences(self, documents):
        self.assertGreater(role_templates(documents)["cddp-server"]["spec"]["terminationGracePeriodSeconds"],
                           DRAIN_SECONDS)
        jobs = [d["spec"] for d in of_kind(documents, "Job") if d["metadata"]["name"] == "cddp-worker"]
        jobs += [j["template"]["spec"] for d in of_kind(documents, "JobSet") for j in d["spec"]["replicatedJobs"]]
        self.assertTrue(jobs)
        for job in jobs:
            self.assertEqual(job["completionMode"], "Indexed")
            self.assertEqual(job["template"]["spec"]["restartPolicy"], "Never", "podFailurePolicy needs it")
            ignored, failed = job["podFailurePolicy"]["rules"]
            self.assertEqual(ignored, {"action": "Ignore",
                                       "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
            self.assertEqual(failed["action"], "FailJob")
            self.assertEqual(failed["onExitCodes"]["values"], [2])
            self.assertEqual([failed["onExitCodes"]["containerName"]],
                             [c["name"] for c in job["template"]["spec"]["containers"]])

    @for_each_overlay
    def test_ending_the_servers_may_do_what_it_does(self, documents):
        jobs = [d for d in of_kind(documents, "Job") if d["metadata"]["name"] == "cddp-end-servers"]
        self.assertEqual(len(jobs) + len(of_kind(documents, "JobSet")), 1, "one way for servers to end")
        for job in jobs:
            role, = of_kind(documents, "Role")
            allowed = {(r, n): set(rule["verbs"]) for rule in role["rules"] for r in rule["resources"]
                       for n in rule["resourceNames"]}
            wait, = job["spec"]["template"]["spec"]["initContainers"]
            scale, = job["spec"]["template"]["spec"]["containers"]
            awaited, scaled = wait["args"][-1], scale["args"][-1]
            self.assertEqual((wait["args"][0], scale["args"][0]), ("wait", "scale"))
            self.assertIn("--replicas=0", scale["args"])
            self.assertLessEqual({"get", "list", "watch"}, allowed["jobs", awaited.removeprefix("job/")])
            name = scaled.removeprefix("statefulset/")
            self.assertLessEqual({"get"}, allowed["statefulsets", name])
            self.assertLessEqual({"get", "update", "patch"}, allowed["statefulsets/scale", name])
            self.assertIn(awaited.removeprefix("job/"), [d["metadata"]["name"] for d in of_kind(documents, "Job")])
            self.assertIn(name, [d["metadata"]["name"] for d in of_kind(documents, "StatefulSet")])
            binding, = of_kind(documents, "RoleBinding")
            self.assertEqual(binding["roleRef"]["name"], role["metadata"]["name"])
            self.assertEqual(binding["subjects"][0]["name"], job["spec"]["template"]["spec"]["serviceAccountName"])

    def sizes(self, documents):
        """Every place where the numbers of servers and workers stand."""
        config, = (d["data"] for d in of_kind(documents, "ConfigMap") if d["metadata"]["name"] == "cddp-cluster")
        servers, workers = {int(config["servers"])}, {int(config["workers"])}
        for d in of_kind(documents, "StatefulSet"):
            servers.add(d["spec"]["replicas"])
        jobs = {d["metadata"]["name"]: d["spec"] for d in of_kind(documents, "Job")}
        for d in of_kind(documents, "JobSet"):
            jobs |= {f"cddp-{j['name']}": j["template"]["spec"] for j in d["spec"]["replicatedJobs"]}
        for name, numbers in (("cddp-server", servers), ("cddp-worker", workers)):
            if name in jobs:
                numbers |= {jobs[name]["completions"], jobs[name]["parallelism"]}
        return servers, workers

    def test_sizes_and_images_have_one_place(self):
        for overlay in OVERLAYS:
            with self.subTest(overlay=overlay), tempfile.TemporaryDirectory() as folder:
                self.assertEqual(self.sizes(build(KUBERNETES / "overlays" / overlay)), ({2}, {4}))
                documents = build_variant(overlay, folder, README_VARIANT)
                self.assertEqual(self.sizes(documents), ({3}, {8}))
                images = {role: template["spec"]["containers"][0]["image"]
                          for role, template in role_templates(documents).items()}
                worker = "cddp-worker-cuda" if overlay == "gpu" else "cddp-worker"
                self.assertEqual(images, {"cddp-server": "registry.example/cddp-server:0.2.0",
                                          "cddp-worker": f"registry.example/{worker}:0.2.0"})

    def test_components_go_together(self):
        with tempfile.TemporaryDirectory() as folder:
            relative = os.path.relpath(KUBERNETES, pathlib.Path(folder).resolve())
            names = ("gpu", "tls", "monitoring", "jobset", "cluster")
            components = ", ".join(f"{relative}/components/{name}" for name in names)
            (pathlib.Path(folder) / "kustomization.yaml").write_text(
                f"resources: [{relative}/base]\ncomponents: [{components}]\n")
            documents = build(folder)
        self.assertFalse(of_kind(documents, "StatefulSet") + of_kind(documents, "Job") + of_kind(documents, "Service"))
        templates = role_templates(documents)
        worker, = templates["cddp-worker"]["spec"]["containers"]
        self.assertEqual(worker["image"], "cddp-worker-cuda:0.1.0")
        self.assertEqual(worker["resources"]["limits"]["nvidia.com/gpu"], 1)
        self.assertEqual(flags_of(documents, worker)["device"], "cuda")
        for role, template in templates.items():
            container, = template["spec"]["containers"]
            self.assertIn("tls_ca_file", flags_of(documents, container), role)
            self.assertIn("certificate", [v["name"] for v in template["spec"]["volumes"]], role)

    def test_the_readme_shows_that_variant(self):
        readme = (KUBERNETES / "README.md").read_text()
        for line in README_VARIANT.replace("KUBERNETES", "../deploy/kubernetes").splitlines():
            self.assertIn(line, readme)

    def test_monitoring_is_that_of_deploy_monitoring(self):
        import yaml
        documents = build(KUBERNETES / "overlays" / "monitoring")
        path = KUBERNETES / "components" / "monitoring" / "make_rules"
        loader = importlib.machinery.SourceFileLoader("make_rules", str(path))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_rules", loader))
        loader.exec_module(module)
        self.assertEqual((path.parent / "rules.yaml").read_text(), module.rules(),
                         "run deploy/kubernetes/components/monitoring/make_rules")
        rule, = of_kind(documents, "PrometheusRule")
        files = [yaml.safe_load((MONITORING / f).read_text()) for f in ("recording.yml", "alerts.yml")]
        self.assertEqual(rule["spec"]["groups"], [group for file in files for group in file["groups"]])
        dashboard, = (d for d in of_kind(documents, "ConfigMap") if d["metadata"]["name"] == "cddp-dashboard")
        self.assertEqual(dashboard["data"],
                         {"cddp.json": (MONITORING / "grafana" / "dashboards" / "cddp.json").read_text()})
        # The rules know the jobs by these names.
        monitor, = of_kind(documents, "PodMonitor")
        jobs = {t["metadata"]["labels"][monitor["spec"]["jobLabel"]] for t in role_templates(documents).values()}
        named = set(re.findall(r'job="([^"]+)"', json.dumps(rule["spec"]).replace("\\", "")))
        self.assertTrue(named)
        self.assertLessEqual(named, jobs)

    def test_certificates_name_servers_and_roles(self):
        documents = build(KUBERNETES / "overlays" / "tls")
        certificates = {d["metadata"]["name"]: d["spec"] for d in of_kind(documents, "Certificate")}
        templates = role_templates(documents)
        for role, template in templates.items():
            secret, = (v["secret"] for v in template["spec"]["volumes"] if "secret" in v)
            self.assertEqual(secret["secretName"], certificates[role]["secretName"])
        flags = flags_of(documents, templates["cddp-worker"]["spec"]["containers"][0])
        host = flags["servers"].removeprefix("dns:///").rpartition(":")[0]
        host = (host.replace("$(CDDP_SERVER_PODS)", "cddp-server").replace("{$(CDDP_SERVERS)}", "0")
                .replace("$(CDDP_NAMESPACE)", documents[0]["metadata"]["name"]))
        self.assertEqual(host, "cddp-server-0.cddp-server.cddp.svc")
        self.assertTrue(any(fnmatch.fnmatch(host, name) for name in certificates["cddp-server"]["dnsNames"]))
        self.assertEqual({name: c["subject"]["organizationalUnits"] for name, c in certificates.items() if "subject" in c},
                         {"cddp-worker": ["worker"], "cddp-operator": ["operator"]})
        self.assertNotIn("insecure", flags_of(documents, templates["cddp-server"]["spec"]["containers"][0]))


# What the README tells users to write for sizes and images of their own.
README_VARIANT = """\
configMapGenerator:
  - {name: cddp-cluster, namespace: cddp, behavior: merge, literals: [servers=3, workers=8]}
components: [KUBERNETES/components/cluster]
images:
  - {name: cddp-server, newName: registry.example/cddp-server, newTag: 0.2.0}
  - {name: cddp-worker, newName: registry.example/cddp-worker, newTag: 0.2.0}
  - {name: cddp-worker-cuda, newName: registry.example/cddp-worker-cuda, newTag: 0.2.0}
"""

if __name__ == "__main__":
    kustomize.require_tools()
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
